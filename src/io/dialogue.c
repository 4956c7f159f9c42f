/* SPDX-License-Identifier: MIT */
/*
 * A TCP dialogue: libcurl has connected (and shaken hands), now bytes are sent and what comes is
 * handed out, without HTTP. Called when a transfer without a method is connected. Owns the watch of
 * its socket.
 */
#include "transfer.h"

#include "modelhealth/io/ration.h"

#include <curl/curl.h>

#include <errno.h>

enum {
	READ_SIZE = 4096,
};

static void dialogue_end(struct http_transfer *transfer)
{
	result_set(&transfer->outcome.result, REASON_OK, NULL);
	transfer_finish(transfer);
}

static void dialogue_watch(struct http_transfer *transfer, int fd, unsigned events);

/* Reads what is there. CURLE_WRITE_ERROR when no more is wanted, as libcurl says it itself. */
static CURLcode dialogue_take(struct http_transfer *transfer)
{
	char data[READ_SIZE];
	CURLcode code;
	size_t len;

	ration_begin();
	while ((code = curl_easy_recv(transfer->easy, data, sizeof data, &len)) == CURLE_OK &&
		len > 0) {
		transfer_note_bytes(transfer);
		if (!transfer_take_body(transfer, data, len)) {
			code = CURLE_WRITE_ERROR;
			break;
		}
	}
	transfer->barren_bytes += ration_end();
	return code;
}

static void dialogue_read(struct http_transfer *transfer, int fd)
{
	CURLcode code = dialogue_take(transfer);

	if (code == CURLE_WRITE_ERROR) {
		transfer_finish(transfer);
		return;
	}
	if (transfer_refuse_flood(transfer))
		return;
	if (code == CURLE_AGAIN)
		dialogue_watch(transfer, fd, LOOP_READ);
	else if (code != CURLE_OK)
		transfer_fail(transfer, code);
	else
		dialogue_end(transfer);
}

static void dialogue_step(struct http_transfer *transfer, int fd)
{
	size_t left = transfer->request.body_len - transfer->sent_bytes;
	CURLcode code = CURLE_OK;
	size_t sent;

	while (left > 0) {
		code = curl_easy_send(
			transfer->easy, transfer->request.body + transfer->sent_bytes, left, &sent);
		if (code != CURLE_OK)
			break;
		transfer->sent_bytes += sent;
		left -= sent;
		if (left == 0)
			transfer_enter_step(
				transfer, STEP_REQUEST); /* first_byte counts from here */
	}
	if (code == CURLE_AGAIN)
		dialogue_watch(transfer, fd, LOOP_READ | LOOP_WRITE);
	else if (code != CURLE_OK)
		transfer_fail(transfer, code);
	else if (!transfer->handlers.on_data)
		dialogue_end(transfer);
	else
		dialogue_read(transfer, fd);
}

static void on_dialogue_fd(void *arg, int fd, unsigned ready)
{
	(void)ready;
	dialogue_step(arg, fd);
}

static void dialogue_watch(struct http_transfer *transfer, int fd, unsigned events)
{
	int r = 0;

	if (transfer->watch)
		r = loop_fd_set(transfer->watch, events);
	else
		transfer->watch =
			loop_fd_new(transfer->httpc->loop, fd, events, on_dialogue_fd, transfer);
	if (!transfer->watch)
		r = -errno;
	if (r < 0)
		transfer_fail_here(transfer, -r);
}

void dialogue_start(struct http_transfer *transfer)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD)
		transfer_finish_with(transfer, REASON_CONN_RESET, 0);
	else
		dialogue_step(transfer, fd);
}
