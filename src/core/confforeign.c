/* SPDX-License-Identifier: MIT */
/*
 * What keys of other monitors are called here, for operators who come from one of them
 * (blackbox_exporter, Gatus, Prometheus, Uptime Kuma). core/conffill.c asks for each unknown key.
 */
#include "modelhealth/core/confforeign.h"

#include <string.h>

static const struct {
	const char *theirs, *ours;
} names[] = {
	{ "accepted_statuscodes", "expect: { status: [ 200-299 ] }" },
	{ "address", "url" },
	{ "basic_auth", "the user and password in url" },
	{ "bearer_token", "api_key" },
	{ "conditions", "expect" },
	{ "expected_status", "expect: { status: 200 }" },
	{ "expected_status_code", "expect: { status: 200 }" },
	{ "fail_if_body_matches_regexp", "expect: { body: { not_matches: … } }" },
	{ "fail_if_body_not_matches_regexp", "expect: { body: { matches: … } }" },
	{ "follow_redirects", "redirects: 3" },
	{ "heartbeat_interval", "interval" },
	{ "host", "url" },
	{ "hostname", "url" },
	{ "ignore_tls", "tls: { verify: false }" },
	{ "insecure", "tls: { verify: false }" },
	{ "insecure_skip_verify", "tls: { verify: false }" },
	{ "keyword", "expect: { body: … }" },
	{ "max_redirects", "redirects" },
	{ "max_retries", "retries: { attempts: 3 }" },
	{ "maxredirects", "redirects" },
	{ "maxretries", "retries: { attempts: 3 }" },
	{ "module", "type" },
	{ "monitors", "endpoints" },
	{ "prober", "type" },
	{ "scrape_configs", "endpoints" },
	{ "scrape_interval", "interval" },
	{ "scrape_timeout", "timeout: { total: 10s }" },
	{ "services", "endpoints" },
	{ "ssl_verify", "tls: { verify: false }" },
	{ "static_configs", "endpoints" },
	{ "status_code", "expect: { status: 200 }" },
	{ "target", "url" },
	{ "targets", "endpoints" },
	{ "tls_config", "tls" },
	{ "token", "api_key" },
	{ "uri", "url" },
	{ "valid_status_codes", "expect: { status: [ 200 ] }" },
	{ "verify_ssl", "tls: { verify: false }" },
};

const char *conf_foreign(const char *key)
{
	for (size_t i = 0; i < array_size(names); i++) {
		if (strcmp(names[i].theirs, key) == 0)
			return names[i].ours;
	}
	return NULL;
}
