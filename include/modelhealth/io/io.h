/* SPDX-License-Identifier: MIT */
/*
 * The services that checks stand on, opened once by the app and passed to every probe.
 */
#pragma once

struct loop;
struct dns;
struct httpc;

struct io {
	struct loop *loop;
	struct dns *dns;
	struct httpc *httpc;
};
