/* SPDX-License-Identifier: MIT */
/*
 * What libcurl's error codes mean to us: one documented table.
 */
#pragma once

#include "modelhealth/core/reason.h"

/* Where a transfer stood when it failed. */
enum fault_step {
	FAULT_NAME,    /* looking up addresses */
	FAULT_CONNECT, /* TCP and TLS */
	FAULT_REQUEST, /* connected, no byte of the answer yet */
	FAULT_ANSWER,  /* some of it */
};

struct fault {
	int curl_code;
	int os_errno;      /* of the failing call, 0 = unknown */
	int verify_error;  /* X509_V_ERR_*, 0 = none */
	long proxy_status; /* of the proxy's answer to CONNECT, 0 = none */
	enum fault_step step;
	const char *text; /* libcurl's error buffer, "" when empty */
};

enum reason fault_reason(const struct fault *fault);

/* Reason of an errno that stopped a socket or a connect here; REASON_N when errno is no such. */
enum reason fault_reason_of_errno(int error);
