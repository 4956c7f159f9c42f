/* SPDX-License-Identifier: MIT */
/*
 * A loop, a resolver and a transfer engine for one test, and a way to run one transfer to its end.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/dns.h"
#include "modelhealth/io/httpc.h"
#include "modelhealth/io/loop.h"

struct bench {
	struct loop *loop;
	struct dns *dns;
	struct httpc *httpc;
	struct http_transfer *transfer; /* NULL = done */
	struct http_lane *lane;         /* for the transfers; may be NULL */
	struct result result;
	struct tls_facts tls;
	struct sbuf body;
	char header[128]; /* value of the answer's header `wanted_header` */
	const char *wanted_header;
	size_t enough; /* stop after so many bytes; 0 = never */
	bool is_mute;  /* give no on_data */
	unsigned done;
	bool is_body_cut;
	struct timer stop;
};

/* servers and resolv_conf as in dns_options; may be NULL. */
void bench_open(struct bench *bench, const struct dns_options *dns_options);
void bench_close(struct bench *bench);

/* A plain GET with roomy limits. The url is freed by bench_run. */
struct http_request bench_request(struct url **url, const char *format, ...) _printf_(2, 3);

/* Starts, runs the loop until it is done and returns the reason. */
enum reason bench_run(struct bench *bench, const struct http_request *request);

void bench_start(struct bench *bench, const struct http_request *request);

/* Runs the loop for so long, or until the transfer is done. */
void bench_loop(struct bench *bench, usec_t span);
