/* SPDX-License-Identifier: MIT */
/*
 * Parses the requests that reach a simulated server. It works on the connection's buffer without
 * copying and starts over when more bytes arrive: requests are small and mostly come whole.
 */
#include "modelhealth/app/sim/request.h"

#include "modelhealth/base/duration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct head {
	uint64_t content_length;
	bool has_transfer_encoding;
	bool keep_alive;
	struct slice host;
};

bool slice_is(struct slice slice, const char *text)
{
	return slice.len == strlen(text) && memcmp(slice.data, text, slice.len) == 0;
}

static bool slice_is_nocase(struct slice slice, const char *text)
{
	return slice.len == strlen(text) && strncasecmp(slice.data, text, slice.len) == 0;
}

/* Cuts the text before the separator off rest; without a separator all of it. */
static struct slice cut(struct slice *rest, char separator)
{
	const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
	struct slice first = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
	size_t taken = first.len + (end ? 1 : 0);

	rest->data += taken;
	rest->len -= taken;
	return first;
}

static struct slice trim(struct slice slice)
{
	while (slice.len > 0 && (slice.data[0] == ' ' || slice.data[0] == '\t')) {
		slice.data++;
		slice.len--;
	}
	while (slice.len > 0 && strchr(" \t\r", slice.data[slice.len - 1]))
		slice.len--;
	return slice;
}

static int parse_request_line(struct slice line, struct request *request, struct head *head)
{
	struct slice target;

	line = trim(line);
	request->method = cut(&line, ' ');
	target = cut(&line, ' ');
	if (request->method.len == 0 || target.len == 0)
		return -EBADMSG;
	if (slice_is(line, "HTTP/1.1"))
		head->keep_alive = true;
	else if (!slice_is(line, "HTTP/1.0"))
		return -EBADMSG;
	request->path = cut(&target, '?');
	request->query = target;
	return 0;
}

static int parse_length(struct slice value, uint64_t *ret_length)
{
	char text[24];

	if (value.len == 0 || value.len >= sizeof text)
		return -EBADMSG;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	return u64_parse(text, ret_length) < 0 ? -EBADMSG : 0;
}

static int parse_header(struct slice line, struct head *head)
{
	struct slice name = cut(&line, ':');
	struct slice value = trim(line);

	if (slice_is_nocase(name, "content-length"))
		return parse_length(value, &head->content_length);
	if (slice_is_nocase(name, "host"))
		head->host = value;
	if (slice_is_nocase(name, "transfer-encoding"))
		head->has_transfer_encoding = true;
	if (slice_is_nocase(name, "connection") && slice_is_nocase(value, "close"))
		head->keep_alive = false;
	if (slice_is_nocase(name, "connection") && slice_is_nocase(value, "keep-alive"))
		head->keep_alive = true;
	return 0;
}

int request_parse(const char *data, size_t len, struct request *ret_request)
{
	struct request request = { 0 };
	struct head head = { 0 };
	const char *end = len > 0 ? memmem(data, len, "\r\n\r\n", 4) : NULL;
	struct slice rest;
	size_t head_len;

	if (!end)
		return len > REQUEST_MAX_HEAD ? -E2BIG : 0;
	head_len = (size_t)(end - data) + 4;
	if (head_len > REQUEST_MAX_HEAD)
		return -E2BIG;
	rest = (struct slice){ data, head_len - 4 };
	if (parse_request_line(cut(&rest, '\n'), &request, &head) < 0)
		return -EBADMSG;
	while (rest.len > 0)
		if (parse_header(cut(&rest, '\n'), &head) < 0)
			return -EBADMSG;
	if (head.has_transfer_encoding)
		return -ENOTSUP;
	if (head.content_length > REQUEST_MAX_BODY)
		return -E2BIG;
	request.host = head.host;
	request.body = (struct slice){ data + head_len, (size_t)head.content_length };
	request.is_head = slice_is(request.method, "HEAD");
	request.keep_alive = head.keep_alive;
	request.size = head_len + request.body.len;
	if (len < request.size)
		return 0;
	*ret_request = request;
	return 1;
}

bool request_parameter(
	const struct request *request, const char *name, char *ret_value, size_t value_size)
{
	struct slice rest = request->query;

	while (rest.len > 0) {
		struct slice value = cut(&rest, '&');
		struct slice key = cut(&value, '=');

		if (!slice_is(key, name) || value.len >= value_size)
			continue;
		memcpy(ret_value, value.data, value.len);
		ret_value[value.len] = '\0';
		return true;
	}
	return false;
}
