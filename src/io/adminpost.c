/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/adminpost.h"

#include <curl/curl.h>

#include <stdio.h>

/* A reload of thousands of endpoints takes less than a second; a busy host may need more. */
enum {
	ADMIN_TIMEOUT_SEC = 60
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct sbuf *out = arg;

	sbuf_add(out, data, size * n);
	return out->failed ? 0 : size * n;
}

static CURLcode perform(CURL *curl, const char *socket_path, const char *path, struct sbuf *out)
{
	char url[256];

	(void)snprintf(url, sizeof url, "http://localhost%s", path); /* our own short paths */
	/* A failing setopt shows in the request that then fails; all are of fixed, known options. */
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ADMIN_TIMEOUT_SEC);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	return curl_easy_perform(curl);
}

bool admin_post(const char *socket_path, const char *path, struct sbuf *out, unsigned *ret_status,
	char *ret_error, size_t error_size)
{
	CURL *curl = curl_easy_init();
	CURLcode code = curl ? perform(curl, socket_path, path, out) : CURLE_OUT_OF_MEMORY;
	long status = 0;

	if (code == CURLE_OK)
		code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (code != CURLE_OK) {
		(void)snprintf(ret_error, error_size, "%s", curl_easy_strerror(code));
		return false;
	}
	*ret_status = (unsigned)status;
	return true;
}
