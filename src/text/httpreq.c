/* SPDX-License-Identifier: MIT */
/*
 * Why not evhttp's own parser: it answers 200 to two Content-Length fields, to a blank before the
 * colon, to chunk sizes like 0x5, to bare line feeds and to HTTP/1.1 without Host (measured with
 * libevent 2.1.12). io/httpd.c runs every byte through this file first.
 */
#include "modelhealth/text/httpreq.h"

#include <string.h>
#include <strings.h>

/* The statuses that say what is wrong. */
enum {
	BAD_REQUEST = 400,
	METHOD_NOT_ALLOWED = 405,
	CONTENT_TOO_LARGE = 413,
	URI_TOO_LONG = 414,
	EXPECTATION_FAILED = 417,
	FIELDS_TOO_LARGE = 431,
	NOT_IMPLEMENTED = 501,
	VERSION_NOT_SUPPORTED = 505
};

/* A line of the head, without its CR LF. */
struct line {
	char *text;
	size_t len;
};

/* ---- characters ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110: the characters of methods and field names. */
static bool is_token_char(char c)
{
	return is_digit(c) || is_alpha(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* RFC 3986: what a path or query may hold, '%' being looked at by decode(). */
static bool is_target_char(char c)
{
	return is_digit(c) || is_alpha(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/?%", c));
}

static bool is_host_char(char c)
{
	return is_digit(c) || is_alpha(c) || c == '-' || c == '.' || c == '_';
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* ---- while it arrives ---- */

/* Methods that exist but that nothing here answers to. */
static bool is_known_method(const char *text, size_t len)
{
	static const char *const known[] = { "CONNECT", "DELETE", "OPTIONS", "PATCH", "PUT",
		"TRACE" };

	for (size_t i = 0; i < array_size(known); i++)
		if (strlen(known[i]) == len && memcmp(known[i], text, len) == 0)
			return true;
	return false;
}

static bool method_of(const char *text, size_t len, enum http_method *ret_method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST"
	};

	for (size_t i = 0; i < array_size(names); i++) {
		if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
			*ret_method = (enum http_method)i;
			return true;
		}
	}
	return false;
}

/* "HTTP/1.0" or "HTTP/1.1"; 0 or minus a status. */
static int check_version(const char *text, size_t len)
{
	if (len != strlen("HTTP/1.1") || memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) ||
		text[6] != '.' || !is_digit(text[7]))
		return -BAD_REQUEST;
	if (text[5] != '1' || (text[7] != '0' && text[7] != '1'))
		return -VERSION_NOT_SUPPORTED;
	return 0;
}

/* METHOD SP target SP version, with nothing to spare. 0 or minus a status. */
static int check_request_line(const char *text, size_t len)
{
	const char *end = text + len;
	const char *space = memchr(text, ' ', len);
	const char *last = memrchr(text, ' ', len);
	enum http_method method;

	if (!space || space == text || last == space || last == space + 1)
		return -BAD_REQUEST;
	for (const char *p = text; p < space; p++)
		if (!is_token_char(*p))
			return -BAD_REQUEST;
	if (!method_of(text, (size_t)(space - text), &method))
		return is_known_method(text, (size_t)(space - text)) ? -METHOD_NOT_ALLOWED
								     : -NOT_IMPLEMENTED;
	for (const char *p = space + 1; p < last; p++)
		if (!is_target_char(*p))
			return -BAD_REQUEST;
	if (space[1] != '/')
		return -BAD_REQUEST;
	return check_version(last + 1, (size_t)(end - last - 1));
}

/* A byte of the head, given the one before it. False = nothing that may be there. */
static bool is_head_byte(char c, char before)
{
	if ((c == '\n') != (before == '\r'))
		return false;
	return c == '\r' || c == '\n' || c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

int httpreq_scan(const char *data, size_t len, size_t *at)
{
	size_t end = min_of(len, (size_t)HTTPREQ_MAX_HEAD);
	const char *first_end;
	int r;

	for (size_t i = *at; i < end; i++) {
		if (!is_head_byte(data[i], i > 0 ? data[i - 1] : '\0'))
			return -BAD_REQUEST;
		if (data[i] != '\n')
			continue;
		if (i >= 3 && data[i - 2] == '\n')
			return (int)i + 1;
		if (memchr(data, '\n', i))
			continue;
		r = check_request_line(data, i - 1);
		if (r < 0)
			return r;
	}
	*at = end;
	if (len < HTTPREQ_MAX_HEAD)
		return 0;
	first_end = memchr(data, '\n', end);
	return first_end ? -FIELDS_TOO_LARGE : -URI_TOO_LONG;
}

/* ---- the target ---- */

/* Decodes %XX in place (and '+' where plus is a blank); NULL when an escape is broken or hides a
 * control character or NUL. */
static char *decode(char *text, bool plus_is_blank)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		int high, low;

		if (*from == '+' && plus_is_blank) {
			*to++ = ' ';
			continue;
		}
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		high = hex_value(from[1]);
		low = high < 0 ? -1 : hex_value(from[2]);
		if (low < 0 || high * 16 + low < 0x20 || high * 16 + low == 0x7f)
			return NULL;
		*to++ = (char)(high * 16 + low);
		from += 2;
	}
	*to = '\0';
	return text;
}

/* No segment is ".", ".." or, but for the last, empty. */
static bool is_plain_path(const char *path)
{
	while (*path == '/') {
		size_t len = strcspn(++path, "/");

		if (*path == '/' || (len == 1 && path[0] == '.') ||
			(len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
	}
	return true;
}

/* An escaped slash or backslash would move the borders between segments. */
static bool hides_slash(const char *path)
{
	for (const char *p = strchr(path, '%'); p; p = strchr(p + 1, '%'))
		if (strncasecmp(p, "%2f", 3) == 0 || strncasecmp(p, "%5c", 3) == 0)
			return true;
	return false;
}

static int add_param(struct httpreq *request, char *text)
{
	char *equals = strchr(text, '=');
	struct httpreq_param param;

	if (*text == '\0')
		return 0;
	if (equals)
		*equals++ = '\0';
	param.name = decode(text, true);
	param.value = equals ? decode(equals, true) : "";
	if (!param.name || !param.value || httpreq_param(request, param.name))
		return -BAD_REQUEST;
	if (request->n_params == HTTPREQ_MAX_PARAMS)
		return -URI_TOO_LONG;
	request->params[request->n_params++] = param;
	return 0;
}

static int parse_query(struct httpreq *request, char *query)
{
	while (query) {
		char *next = strchr(query, '&');
		int r;

		if (next)
			*next++ = '\0';
		r = add_param(request, query);
		if (r < 0)
			return r;
		query = next;
	}
	return 0;
}

/* line was checked while it arrived. */
static int parse_request_line(struct line line, struct httpreq *request)
{
	char *target = memchr(line.text, ' ', line.len);
	char *end = memrchr(line.text, ' ', line.len);
	char *query;

	must(method_of(line.text, (size_t)(target - line.text), &request->method));
	target++;
	*end = '\0';
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	if (hides_slash(target) || !decode(target, false) || !is_plain_path(target))
		return -BAD_REQUEST;
	request->path = target;
	return parse_query(request, query);
}

/* ---- the fields ---- */

/* What is remembered of the fields until all have been seen. */
struct fields {
	unsigned n;
	bool has_length, has_coding, has_expect;
};

static int on_host(struct httpreq *request, struct fields *fields, char *value)
{
	char *end;

	(void)fields;
	if (request->host)
		return -BAD_REQUEST;
	if (*value == '[') {
		end = strchr(value, ']');
		if (!end ||
			strspn(value + 1, "0123456789abcdefABCDEF:.") != (size_t)(end - value - 1))
			return -BAD_REQUEST;
		end++;
	} else {
		for (end = value; is_host_char(*end); end++)
			;
	}
	if (end == value || (*end != '\0' && *end != ':'))
		return -BAD_REQUEST;
	if (*end == ':' && strspn(end + 1, "0123456789") != strlen(end + 1))
		return -BAD_REQUEST;
	*end = '\0';
	request->host = value;
	return 0;
}

static int on_content_length(struct httpreq *request, struct fields *fields, char *value)
{
	size_t len = strlen(value);

	if (fields->has_length || len == 0 || strspn(value, "0123456789") != len)
		return -BAD_REQUEST;
	fields->has_length = true;
	/* Nothing longer than this many digits is small. */
	for (; *value && request->content_length <= HTTPREQ_MAX_BODY; value++)
		request->content_length = request->content_length * 10 + (size_t)(*value - '0');
	return 0;
}

static int on_transfer_encoding(struct httpreq *request, struct fields *fields, char *value)
{
	(void)request;
	(void)value;
	fields->has_coding = true;
	return 0;
}

static int on_expect(struct httpreq *request, struct fields *fields, char *value)
{
	(void)request;
	(void)value;
	fields->has_expect = true;
	return 0;
}

static int on_accept(struct httpreq *request, struct fields *fields, char *value)
{
	(void)fields;
	request->accept = value;
	return 0;
}

static int on_if_none_match(struct httpreq *request, struct fields *fields, char *value)
{
	(void)fields;
	request->if_none_match = value;
	return 0;
}

static const struct field {
	const char *name;
	int (*fn)(struct httpreq *request, struct fields *fields, char *value);
} known_fields[] = {
	{ "accept", on_accept },
	{ "content-length", on_content_length },
	{ "expect", on_expect },
	{ "host", on_host },
	{ "if-none-match", on_if_none_match },
	{ "transfer-encoding", on_transfer_encoding },
};

/* name ":" OWS value OWS; a line that begins with a blank would continue the one before. */
static int parse_field(struct line line, struct httpreq *request, struct fields *fields)
{
	char *colon = memchr(line.text, ':', line.len);
	char *end = line.text + line.len;
	char *value;

	if (++fields->n > HTTPREQ_MAX_FIELDS)
		return -FIELDS_TOO_LARGE;
	if (!colon || colon == line.text)
		return -BAD_REQUEST;
	for (char *p = line.text; p < colon; p++)
		if (!is_token_char(*p))
			return -BAD_REQUEST;
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*colon = *end = '\0';
	for (size_t i = 0; i < array_size(known_fields); i++)
		if (strcasecmp(line.text, known_fields[i].name) == 0)
			return known_fields[i].fn(request, fields, value);
	return 0;
}

/* What the fields say together. */
static int check_fields(const struct httpreq *request, const struct fields *fields, bool is_http11)
{
	if (is_http11 && !request->host)
		return -BAD_REQUEST;
	if (fields->has_coding)
		return fields->has_length ? -BAD_REQUEST : -NOT_IMPLEMENTED;
	if (request->content_length > (request->method == HTTP_POST ? HTTPREQ_MAX_BODY : 0))
		return -CONTENT_TOO_LARGE;
	return fields->has_expect ? -EXPECTATION_FAILED : 0;
}

/* The next line of head from *at on; its CR becomes NUL. False after the last one. */
static bool next_line(char *head, size_t len, size_t *at, struct line *ret_line)
{
	char *end = *at < len ? memchr(head + *at, '\r', len - *at) : NULL;

	if (!end || end == head + *at)
		return false;
	*ret_line = (struct line){ head + *at, (size_t)(end - head) - *at };
	*end = '\0';
	*at += ret_line->len + strlen("\r\n");
	return true;
}

int httpreq_parse(char *head, size_t len, struct httpreq *ret_request)
{
	struct httpreq request = { 0 };
	struct fields fields = { 0 };
	struct line line;
	bool is_http11;
	size_t at = 0;
	int r;

	if (!next_line(head, len, &at, &line))
		return -BAD_REQUEST;
	r = check_request_line(line.text, line.len);
	if (r < 0)
		return r;
	is_http11 = line.text[line.len - 1] == '1';
	r = parse_request_line(line, &request);
	while (r == 0 && next_line(head, len, &at, &line))
		r = parse_field(line, &request, &fields);
	if (r == 0)
		r = check_fields(&request, &fields, is_http11);
	if (r < 0)
		return r;
	*ret_request = request;
	return 0;
}

const char *httpreq_param(const struct httpreq *request, const char *name)
{
	for (size_t i = 0; i < request->n_params; i++)
		if (strcmp(request->params[i].name, name) == 0)
			return request->params[i].value;
	return NULL;
}
