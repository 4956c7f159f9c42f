/* SPDX-License-Identifier: MIT */
/*
 * How a transfer ends: its times and facts are taken, it leaves libcurl, and what libcurl says
 * becomes a reason and words. Called by the steps (httpc.c) and by a dialogue. Owns nothing.
 */
#include "transfer.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/io/fault.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A handshake with all its certificates is a tenth of it. */
	MAX_BARREN_BYTES = 1024 * 1024,
	DIALLED_TEXT_SIZE = URL_MAX_HOST + 32,
};

/* libcurl counts each time from its start; a span is the difference of neighbours. Its own time of
 * the first byte is of no use: with a larger body it is that of the first byte sent. */
static void take_spans(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;
	usec_t name = transfer_time(transfer, CURLINFO_NAMELOOKUP_TIME_T);
	usec_t connect = transfer_time(transfer, CURLINFO_CONNECT_TIME_T);
	usec_t tls = transfer_time(transfer, CURLINFO_APPCONNECT_TIME_T);

	if (connect > 0 && !result->reused)
		result_set_timing(result, TIMING_CONNECT, connect - min_of(name, connect));
	if (tls > 0 && !result->reused)
		result_set_timing(result, TIMING_TLS, tls - min_of(connect, tls));
	if (transfer->step != STEP_ANSWER)
		return;
	result_set_timing(result, TIMING_FIRST_BYTE, transfer->answer_at - transfer->connected_at);
	if (result->reason == REASON_OK)
		result_set_timing(result, TIMING_TRANSFER, now_of(transfer) - transfer->answer_at);
}

static void take_facts(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;

	if (transfer->dns_time != USEC_NEVER)
		result_set_timing(result, TIMING_DNS, transfer->dns_time);
	if (transfer->step > STEP_NAME) {
		result->reused = transfer->step > STEP_CONNECT &&
				 transfer_number(transfer, CURLINFO_NUM_CONNECTS) == 0;
		take_spans(transfer);
	}
	if (!is_dialogue(transfer))
		result->http_status = (uint32_t)transfer_number(transfer, CURLINFO_RESPONSE_CODE);
	result_set_timing(result, TIMING_TOTAL, clock_monotonic() - transfer->request.begun_at);
	if (transfer->peer) {
		transfer->outcome.tls = tls_peer_facts(transfer->peer);
		result->cert_expires_at = transfer->outcome.tls->cert_expires_at;
	}
}

void transfer_leave_libcurl(struct http_transfer *transfer)
{
	timer_cancel(loop_timers(transfer->httpc->loop), &transfer->deadline);
	dns_cancel(transfer->httpc->dns, &transfer->query);
	transfer->watch = loop_fd_free(transfer->watch);
	if (transfer->is_inside)
		shard_remove(transfer->home->shard, transfer->easy);
	transfer->is_inside = false;
	task_cancel(loop_timers(transfer->httpc->loop), &transfer->afterwards);
}

void transfer_finish(struct http_transfer *transfer)
{
	must(transfer->step != STEP_DONE);
	take_facts(transfer);
	transfer_leave_libcurl(transfer);
	transfer->step = STEP_DONE;
	task_defer(loop_timers(transfer->httpc->loop), &transfer->done);
}

/* What was dialled, for messages: "10.0.0.7:8000 (and 2 more)", "proxy proxy.internal". */
static const char *dialled_text(
	const struct http_transfer *transfer, char text[static DIALLED_TEXT_SIZE])
{
	const char *whose = transfer->request.proxy ? "proxy " : "";
	char address[ADDRESS_TEXT_SIZE] = "";
	bool is_ipv6 = false;
	int len;

	if (transfer->request.unix_socket)
		return transfer->request.unix_socket;
	if (transfer->n_addresses == 0) {
		(void)snprintf(text, DIALLED_TEXT_SIZE, "%s%s", whose, dialled(transfer)->host);
		return text;
	}
	is_ipv6 = !address_is_ipv4(&transfer->addresses[0]);
	address_format(&transfer->addresses[0], address);
	len = snprintf(text, DIALLED_TEXT_SIZE, "%s%s%s%s:%u", whose, is_ipv6 ? "[" : "", address,
		is_ipv6 ? "]" : "", dialled(transfer)->port);
	if (transfer->n_addresses > 1)
		(void)snprintf(text + len, DIALLED_TEXT_SIZE - (size_t)len, " (and %zu more)",
			transfer->n_addresses - 1);
	return text;
}

void transfer_finish_with(struct http_transfer *transfer, enum reason reason, int error)
{
	char text[DIALLED_TEXT_SIZE];
	const char *where = dialled_text(transfer, text);
	struct result *result = &transfer->outcome.result;

	result->os_errno = error;
	if (error != 0)
		result_set(result, reason, "%s: %s", where, strerrordesc_np(error));
	else
		result_set(result, reason, "%s", where);
	transfer_finish(transfer);
}

void transfer_fail_here(struct http_transfer *transfer, int error)
{
	enum reason reason = fault_reason_of_errno(error);

	transfer_finish_with(transfer, reason != REASON_N ? reason : REASON_INTERNAL, error);
}

void transfer_give_up(struct http_transfer *transfer, enum reason reason)
{
	char text[DIALLED_TEXT_SIZE];

	result_set(&transfer->outcome.result, reason, "%s: gave up after %llu ms",
		dialled_text(transfer, text),
		(unsigned long long)((now_of(transfer) - transfer->request.begun_at) /
				     USEC_PER_MSEC));
	transfer_finish(transfer);
}

/* ---- what libcurl says ---- */

static enum reason connect_reason(struct http_transfer *transfer, int error)
{
	enum reason reason;

	if (transfer->denied > 0 && transfer->denied == transfer->opened)
		return REASON_ADDRESS_DENIED;
	if (error == ENETUNREACH && transfer->n_addresses > 0 &&
		address_route(&transfer->addresses[0]) < 0)
		return REASON_LOCAL_NETWORK; /* our routing table, not a router on the way */
	reason = fault_reason_of_errno(error);
	return reason != REASON_N ? reason : REASON_CONNECT_UNREACHABLE;
}

static void finish_connect_failure(struct http_transfer *transfer)
{
	int error = transfer->socket_errno;

	if (error == 0)
		error = (int)transfer_number(transfer, CURLINFO_OS_ERRNO);
	transfer_finish_with(transfer, connect_reason(transfer, error), error);
}

/* A byte of the answer may be here although no header line is complete yet. With a body to send,
 * libcurl may mean the first byte sent, so it is not asked then. */
bool transfer_has_first_byte(const struct http_transfer *transfer)
{
	return transfer->step == STEP_ANSWER ||
	       (!transfer->request.body &&
		       transfer_time(transfer, CURLINFO_STARTTRANSFER_TIME_T) > 0);
}

/* libcurl says what the server sent in its words only: "... (err 8)". */
static void note_reset(struct http_transfer *transfer, CURLcode code)
{
	static const char mark[] = "(err ";
	const char *number = strstr(transfer->error, mark);

	if (code != CURLE_HTTP2_STREAM || !number)
		return;
	transfer->outcome.cut = HTTP_CUT_STREAM;
	transfer->outcome.cut_error = (uint32_t)strtoul(number + strlen(mark), NULL, 10);
}

void transfer_fail(struct http_transfer *transfer, CURLcode code)
{
	int verify_error = transfer->peer ? tls_peer_facts(transfer->peer)->verify_error : 0;
	struct fault fault = {
		.curl_code = (int)code,
		.os_errno = (int)transfer_number(transfer, CURLINFO_OS_ERRNO),
		.verify_error = verify_error,
		.proxy_status = transfer_number(transfer, CURLINFO_HTTP_CONNECTCODE),
		.step = transfer->step == STEP_CONNECT      ? FAULT_CONNECT
			: transfer_has_first_byte(transfer) ? FAULT_ANSWER
							    : FAULT_REQUEST,
		.text = transfer->error,
	};
	const char *text = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);

	if (code == CURLE_WRITE_ERROR) /* a callback of ours would have stopped the transfer */
		text = "bytes after the end of the encoded body";
	transfer->outcome.result.lib_err = (int)code;
	transfer->outcome.result.os_errno = fault.os_errno;
	note_reset(transfer, code);
	/* libcurl looks at OpenSSL's first error only, which may come from deep inside. */
	if (code == CURLE_SSL_CONNECT_ERROR && verify_error != 0)
		fault.curl_code = CURLE_PEER_FAILED_VERIFICATION;
	if (fault.curl_code == CURLE_PEER_FAILED_VERIFICATION && verify_error != 0)
		text = tls_error_text(verify_error);
	result_set(&transfer->outcome.result, fault_reason(&fault), "%s", text);
	transfer_finish(transfer);
}

static bool has_wanted_version(const struct http_transfer *transfer)
{
	long version = transfer_number(transfer, CURLINFO_HTTP_VERSION);

	return (transfer->request.version != HTTP_2 &&
		       transfer->request.version != HTTP_2_DIRECT) ||
	       version == CURL_HTTP_VERSION_2_0;
}

static void finish_answer(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;
	long status = transfer_number(transfer, CURLINFO_RESPONSE_CODE);

	if (status < 200 || status > 599)
		result_set(result, REASON_PROTOCOL_ERROR, "status %03ld is not an HTTP status",
			status);
	else if (!transfer->is_head_whole) /* to libcurl 7.88 that is an empty answer */
		result_set(result, REASON_CONN_RESET, "closed in the middle of the headers");
	else if (!has_wanted_version(transfer))
		result_set(result, REASON_PROTOCOL_ERROR,
			"answered with HTTP/1 although http_version asks for HTTP/2");
	else
		result_set(result, REASON_OK, NULL);
	transfer_finish(transfer);
}

static void finish_cut(struct http_transfer *transfer)
{
	const struct http_outcome *outcome = &transfer->outcome;

	result_set(&transfer->outcome.result, REASON_CONN_RESET,
		outcome->cut == HTTP_CUT_GOAWAY
			? "the server closes the connection (GOAWAY, error %u)"
			: "the server refused the request (RST_STREAM, error %u)",
		outcome->cut_error);
	transfer_finish(transfer);
}

/* What floods is not kept for the next time. */
bool transfer_refuse_flood(struct http_transfer *transfer)
{
	if (transfer->barren_bytes <= MAX_BARREN_BYTES)
		return false;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L); /* cannot fail */
	result_set(&transfer->outcome.result, REASON_PROTOCOL_ERROR,
		"a flood that is neither header nor body");
	transfer_finish(transfer);
	return true;
}

void transfer_conclude(struct http_transfer *transfer, CURLcode code)
{
	if (transfer->is_stopped) {
		transfer_finish(transfer);
		return;
	}
	transfer->outcome.result.lib_err = (int)code;
	if (code == CURLE_COULDNT_CONNECT)
		finish_connect_failure(transfer);
	else if (code != CURLE_OK && transfer->outcome.cut != HTTP_CUT_NONE)
		finish_cut(transfer);
	else if (code != CURLE_OK)
		transfer_fail(transfer, code);
	else if (is_dialogue(transfer))
		dialogue_start(transfer);
	else
		finish_answer(transfer);
}
