/* SPDX-License-Identifier: MIT */
/*
 * Requests to the status port: however the bytes are cut into pieces, the verdict is the same, and
 * what is accepted has a plain path and decoded parameters without control characters.
 */
#include "modelhealth/text/accept.h"
#include "modelhealth/text/httpreq.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_text(const char *text)
{
	for (; *text; text++)
		must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_request(const struct httpreq *request)
{
	must(request->path[0] == '/');
	must(!strstr(request->path, "//") && !strstr(request->path, "/../") &&
		!strstr(request->path, "/./"));
	check_text(request->path);
	must(request->n_params <= HTTPREQ_MAX_PARAMS);
	for (size_t i = 0; i < request->n_params; i++) {
		check_text(request->params[i].name);
		check_text(request->params[i].value);
		must(httpreq_param(request, request->params[i].name) == request->params[i].value);
	}
	must(accept_quality(request->accept, "text/plain; version=0.0.4") <= ACCEPT_WHOLLY);
	must(!request->host || request->host[0] != '\0');
	must(request->content_length <= HTTPREQ_MAX_BODY);
}

/* Reads the data in two pieces. */
static int scan_cut(const char *data, size_t size, size_t cut)
{
	size_t at = 0;
	int r = httpreq_scan(data, cut, &at);

	return r != 0 ? r : httpreq_scan(data, size, &at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct httpreq request;
	size_t at = 0;
	int r = httpreq_scan(text, size, &at);

	must(r >= -599 && r <= HTTPREQ_MAX_HEAD && r <= (int)size);
	must(r != 0 || size < HTTPREQ_MAX_HEAD);
	must(scan_cut(text, size, size / 2) == r && scan_cut(text, size, size > 0 ? 1 : 0) == r);
	if (r <= 0)
		return 0;

	char *head = strndup(text, (size_t)r);

	must(head && strlen(head) == (size_t)r);
	if (httpreq_parse(head, (size_t)r, &request) == 0)
		check_request(&request);
	free(head);
	return 0;
}
