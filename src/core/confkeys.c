/* SPDX-License-Identifier: MIT */
/*
 * Every configuration key but those of the check kinds, one row each. The rows drive parsing,
 * inheritance, --dump-config, the example file, modelhealthd.yaml(5) and the JSON Schema; a new
 * key is a new row. Rows stand in the order in which the documents show them.
 */
#include "modelhealth/core/confkeys.h"

#include "modelhealth/core/confaddress.h"

#include <assert.h>

/* Lists of struct config and struct endpoint_spec are a pointer and a count side by side, which is
 * what the types of the table write. */
#define IS_LIST(type, items, count) \
	(offsetof(type, count) == offsetof(type, items) + sizeof(((type *)0)->items))

static_assert(IS_LIST(struct config, listen, n_listen), "a struct conf_strings");
static_assert(IS_LIST(struct config, allowed_hosts, n_allowed_hosts), "a struct conf_strings");
static_assert(IS_LIST(struct config, deny_addresses, n_deny_addresses), "a list of blocks");
static_assert(IS_LIST(struct config, witnesses, n_witnesses), "a struct conf_strings");
static_assert(IS_LIST(struct endpoint_spec, models, n_models), "a struct conf_strings");
static_assert(IS_LIST(struct endpoint_spec, labels, n_labels), "a list of labels");
static_assert(sizeof(enum tier) == sizeof(int), "CONF_ENUM writes an int");
static_assert(sizeof(enum health_init) == sizeof(int), "CONF_ENUM writes an int");

/* clang-format off */
static const char *const tier_choices[] = {
	"transport", "live", "ready", "models", "load", "canary", NULL,
};
static_assert(array_size(tier_choices) == TIER_N + 1, "one word per tier");

static const char *const init_choices[] = { "first_result", "up", "down", NULL };

static const struct conf_key status_keys[] = {
	{ .name = "listen", .type = CONF_CUSTOM, .custom = &conf_listen,
	  .offset = offsetof(struct config, listen), .effect = EFFECT_UPDATE,
	  .fallback = "[ 127.0.0.1:9877 ]",
	  .example = "[ 127.0.0.1:9877, unix:/run/modelhealthd/status.sock ]",
	  .is_shown = true, .is_main = true,
	  .help = "Where the status port listens: an IP address with a port ([::1]:9877 for IPv6), or unix: and the path of a socket. Reload and checks on demand are served on unix sockets alone." },
	{ .name = "allowed_hosts", .type = CONF_CUSTOM, .custom = &conf_host_names,
	  .offset = offsetof(struct config, allowed_hosts), .effect = EFFECT_UPDATE,
	  .fallback = "[]", .example = "[ health.internal ]",
	  .help = "Names by which clients may call the status port, besides IP addresses and localhost. Requests with another Host are refused, so that no web page can reach the port by DNS rebinding." },
	CONF_END,
};

static const struct conf_key limit_keys[] = {
	{ .name = "concurrency", .type = CONF_UINT, .min = "1", .max = "65536", .fallback = "512",
	  .offset = offsetof(struct limits, concurrency), .effect = EFFECT_UPDATE,
	  .help = "Most checks in flight at once. Fewer run when the limit on file descriptors is lower." },
	{ .name = "per_host", .type = CONF_UINT, .min = "1", .max = "65536", .fallback = "8",
	  .offset = offsetof(struct limits, per_host), .effect = EFFECT_UPDATE,
	  .help = "Most checks in flight to one host and port." },
	{ .name = "per_host_rate", .type = CONF_RATE,
	  .offset = offsetof(struct limits, per_host_rate), .effect = EFFECT_UPDATE, .example = "600/1m",
	  .help = "Most starts to one host and port, as a count per duration. Unset, there is no limit." },
	{ .name = "per_key_rate", .type = CONF_RATE,
	  .offset = offsetof(struct limits, per_key_rate), .effect = EFFECT_UPDATE, .example = "60/1m",
	  .help = "Most starts with one API key, over all endpoints that use it. Unset, there is no limit." },
	{ .name = "status_clients", .type = CONF_UINT, .min = "1", .max = "65536", .fallback = "256",
	  .offset = offsetof(struct limits, status_clients), .effect = EFFECT_UPDATE,
	  .help = "Most connections to the status port." },
	{ .name = "status_clients_per_source", .type = CONF_UINT, .min = "1", .max = "65536", .fallback = "32",
	  .offset = offsetof(struct limits, status_clients_per_source), .effect = EFFECT_UPDATE,
	  .help = "Most connections to the status port from one address." },
	CONF_END,
};

static const struct conf_key self_check_keys[] = {
	{ .name = "witnesses", .type = CONF_STRING_LIST,
	  .offset = offsetof(struct config, witnesses), .effect = EFFECT_UPDATE,
	  .fallback = "[]", .example = "[ router, dns ]",
	  .help = "Names of endpoints that stand for our own network. When all of them fail at once, every state is frozen and one message says that this machine is offline. Without witnesses, all endpoints together are taken." },
	CONF_END,
};

const struct conf_key conf_top_keys[] = {
	{ .name = "status", .type = CONF_SECTION, .section = status_keys, .offset = 0,
	  .help = "The status port: state of every endpoint as text, JSON and metrics." },
	{ .name = "limits", .type = CONF_SECTION, .section = limit_keys,
	  .offset = offsetof(struct config, limits),
	  .help = "Bounds on what modelhealthd does at once." },
	{ .name = "deny_addresses", .type = CONF_CUSTOM, .custom = &conf_address_blocks,
	  .offset = offsetof(struct config, deny_addresses), .effect = EFFECT_UPDATE,
	  .fallback = "[ 169.254.0.0/16, fe80::/10, fd00:ec2::254/128 ]",
	  .help = "Addresses that no check connects to, whatever a name resolves to: a list of addresses or blocks. The default is link-local addresses and with them the metadata services of clouds. An own list replaces it. Through a proxy only the proxy's own address and one that stands in url are looked at." },
	{ .name = "self_check", .type = CONF_SECTION, .section = self_check_keys, .offset = 0,
	  .help = "How modelhealthd tells that its own network is gone." },
	{ .name = "include", .type = CONF_BLOCK, .example = "[ conf.d/*.yaml ]",
	  .help = "More files, as a list of paths and glob patterns, read in sorted order and relative to the directory of this file. They may hold include, groups and endpoints. Nesting is limited to 4 files." },
	{ .name = "defaults", .type = CONF_BLOCK,
	  .help = "Keys of endpoints and checks that hold wherever no group, endpoint or check sets them." },
	{ .name = "groups", .type = CONF_BLOCK,
	  .help = "Named sets of keys; endpoints take them by group. They stand between defaults and the endpoint's own keys." },
	{ .name = "endpoints", .type = CONF_BLOCK,
	  .help = "What to watch: a list of endpoints." },
	CONF_END,
};

const struct conf_key conf_endpoint_keys[] = {
	{ .name = "name", .type = CONF_STRING, .is_required = true,
	  .offset = offsetof(struct endpoint_spec, name), .effect = EFFECT_RESTART, .example = "chat-a",
	  .help = "Unique name: letters, digits, and . _ - after the first; at most 128 bytes." },
	{ .name = "group", .type = CONF_STRING,
	  .offset = offsetof(struct endpoint_spec, group), .effect = EFFECT_UPDATE, .example = "chat",
	  .help = "Group whose keys this endpoint inherits; a name that groups does not define just groups endpoints for display and filters." },
	CONF_END,
};

const struct conf_key conf_level_keys[] = {
	{ .name = "checks", .type = CONF_BLOCK, .example = "{ live: { interval: 5s }, canary: { enabled: false } }",
	  .help = "Checks by name, each a mapping of its own keys. In an endpoint they add to the checks of its type and change them; without this key an endpoint whose type is a kind of check has one check, live. In a group and in defaults they change checks of these names, wherever endpoints have them. What is said of a check here goes before what endpoint, group and defaults say of all their checks." },
	CONF_END,
};

const struct conf_key conf_profile_keys[] = {
	{ .name = "about", .type = CONF_STRING, .is_required = true,
	  .offset = offsetof(struct profile_head, about), .effect = EFFECT_UPDATE,
	  .example = "vLLM's OpenAI-compatible server",
	  .help = "What server the profile is for, on one line." },
	{ .name = "like", .type = CONF_STRING,
	  .offset = offsetof(struct profile_head, like), .effect = EFFECT_UPDATE,
	  .example = "openai_compatible",
	  .help = "Another profile, over which this one is laid: it has the checks of that one too, and what it does not say itself holds as said there." },
	CONF_END,
};

const struct conf_key conf_shared_keys[] = {
	{ .name = "type", .type = CONF_SERVER_TYPE, .is_required = true,
	  .offset = offsetof(struct endpoint_spec, type), .effect = EFFECT_RESTART, .example = "http",
	  .help = "What it is: a server like vllm or ollama, whose profile brings the checks and what is known of it, or a kind of check like http, which its checks then are unless they say otherwise." },
	{ .name = "labels", .type = CONF_LABELS,
	  .offset = offsetof(struct endpoint_spec, labels), .effect = EFFECT_UPDATE, .example = "{ team: search }",
	  .help = "Names and texts to select and group by. Labels of defaults, group and endpoint are put together. They are public." },
	{ .name = "models", .type = CONF_STRING_LIST,
	  .offset = offsetof(struct endpoint_spec, models), .effect = EFFECT_RESTART,
	  .fallback = "[]", .example = "[ llama-3.1-70b ]",
	  .help = "Models that the server must serve, by the names that clients use. The first is the one that canaries ask and that ${model} in paths and bodies stands for." },
	{ .name = "startup_grace", .type = CONF_DURATION, .min = "0", .max = "1d", .fallback = "10m",
	  .offset = offsetof(struct endpoint_spec, startup_grace), .effect = EFFECT_UPDATE,
	  .help = "How long a server may be loading before it counts as down (loading_too_long)." },
	{ .name = "stall_after", .type = CONF_DURATION, .min = "1s", .max = "1d", .fallback = "60s",
	  .offset = offsetof(struct endpoint_spec, stall_after), .effect = EFFECT_UPDATE,
	  .help = "How long a server may have work while its token counters stand still before it counts as down (stalled)." },
	{ .name = "refused_is_loading", .type = CONF_BOOL, .fallback = "false",
	  .offset = offsetof(struct endpoint_spec, refused_is_loading), .effect = EFFECT_UPDATE,
	  .help = "Whether the server opens its port only when it has loaded: then a refused connection counts as loading within startup_grace of the first sight, or of an answer that says loading or draining." },
	{ .name = "per_host", .type = CONF_UINT, .min = "1", .max = "65536",
	  .offset = offsetof(struct endpoint_spec, per_host), .effect = EFFECT_UPDATE, .example = "1",
	  .help = "Most checks in flight to the endpoint's host and port; the least of all its endpoints counts. Unset, it is limits.per_host." },
	{ .name = "rate", .type = CONF_RATE,
	  .offset = offsetof(struct endpoint_spec, rate), .effect = EFFECT_UPDATE, .example = "60/1m",
	  .help = "Most starts of this endpoint's checks, as a count per duration. Unset, there is no limit." },
	CONF_END,
};

const struct conf_key conf_check_keys[] = {
	{ .name = "kind", .type = CONF_BLOCK, .example = "http",
	  .help = "How to check. The default is the kind that the check has in the profile of the endpoint's type, or that type itself. A further check of a kind that the profile has once takes what the profile says of that one." },
	{ .name = "enabled", .type = CONF_BLOCK, .example = "false",
	  .help = "Whether the check is made, true or false. For checks that come from a profile, a group or defaults." },
	{ .name = "tier", .type = CONF_ENUM, .choices = tier_choices,
	  .offset = offsetof(struct check_spec, tier), .effect = EFFECT_UPDATE, .example = "live",
	  .help = "What the check proves, from cheap to dear; a failing tier suppresses the dearer ones. The default is the name of the check if that is a tier, else its kind if that is one, else live." },
	CONF_END,
};

const struct conf_key conf_timeout_keys[] = {
	{ .name = "connect", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "2s",
	  .offset = offsetof(struct timeouts, connect), .effect = EFFECT_UPDATE,
	  .help = "Name resolution, TCP and TLS handshake together." },
	{ .name = "first_byte", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "5s",
	  .offset = offsetof(struct timeouts, first_byte), .effect = EFFECT_UPDATE,
	  .help = "From the request sent to the first byte of the answer. Not for what a canary asks a model: there first_token counts." },
	{ .name = "first_token", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "10s",
	  .offset = offsetof(struct timeouts, first_token), .effect = EFFECT_UPDATE,
	  .help = "From the request sent to the first text of a model's answer; where that comes as one document, to its first byte. Pings and empty events are no text." },
	{ .name = "idle", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "10s",
	  .offset = offsetof(struct timeouts, idle), .effect = EFFECT_UPDATE,
	  .help = "Between two pieces of the answer; of a model's stream, between two events with text." },
	{ .name = "total", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "30s", .is_main = true,
	  .offset = offsetof(struct timeouts, total), .effect = EFFECT_UPDATE,
	  .help = "One try from start to end. The other timeouts are never longer: where they come from an outer level they are cut to it." },
	CONF_END,
};

static const struct conf_key retry_keys[] = {
	{ .name = "attempts", .type = CONF_U16, .min = "0", .max = "10", .fallback = "1", .is_main = true,
	  .offset = offsetof(struct retry, attempts), .effect = EFFECT_UPDATE,
	  .help = "Extra tries after the first." },
	{ .name = "backoff", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "250ms",
	  .offset = offsetof(struct retry, backoff), .effect = EFFECT_UPDATE,
	  .help = "Longest wait before the first extra try; it doubles with each, and the real wait is a random part of it." },
	{ .name = "max_backoff", .type = CONF_DURATION, .min = "1ms", .max = "1h", .fallback = "2s",
	  .offset = offsetof(struct retry, max_backoff), .effect = EFFECT_UPDATE,
	  .help = "Where the doubling ends." },
	CONF_END,
};

static const struct conf_key window_latency_keys[] = {
	{ .name = "percentile", .type = CONF_U16, .min = "50", .max = "100", .fallback = "95",
	  .offset = offsetof(struct latency_limit, percentile), .effect = EFFECT_UPDATE,
	  .help = "Percentile of total latency that is compared." },
	{ .name = "last", .type = CONF_U16, .min = "1", .max = "60", .fallback = "20",
	  .offset = offsetof(struct latency_limit, last), .effect = EFFECT_UPDATE,
	  .help = "Results looked at." },
	{ .name = "degraded", .type = CONF_DURATION, .min = "1ms", .max = "1h",
	  .offset = offsetof(struct latency_limit, degraded), .effect = EFFECT_UPDATE, .example = "500ms",
	  .help = "Above it the check counts as degraded (slow)." },
	{ .name = "down", .type = CONF_DURATION, .min = "1ms", .max = "1h",
	  .offset = offsetof(struct latency_limit, down), .effect = EFFECT_UPDATE, .example = "5s",
	  .help = "Above it the check counts as down (slow)." },
	CONF_END,
};

const struct conf_key conf_pace_keys[] = {
	{ .name = "interval", .type = CONF_DURATION, .min = "100ms", .max = "1d",
	  .offset = offsetof(struct check_spec, interval), .effect = EFFECT_UPDATE, .example = "15s",
	  .help = "Time between the starts of two checks. Unset, it goes by tier: 10s for live, 15s for ready, load and transport, 60s for models and canary." },
	{ .name = "fast_interval", .type = CONF_DURATION, .min = "100ms", .max = "1d",
	  .offset = offsetof(struct check_spec, fast_interval), .effect = EFFECT_UPDATE, .example = "5s",
	  .help = "Interval while a change of state is under way. Unset, a third of interval, at least 1s and never more than interval; of a check that costs tokens, interval itself." },
	{ .name = "down_interval", .type = CONF_DURATION, .min = "100ms", .max = "1d",
	  .offset = offsetof(struct check_spec, down_interval), .effect = EFFECT_UPDATE, .example = "30s",
	  .help = "Interval while the check is down. Unset, it is interval." },
	{ .name = "jitter", .type = CONF_DURATION, .min = "0", .max = "1h", .fallback = "0",
	  .offset = offsetof(struct check_spec, jitter), .effect = EFFECT_UPDATE,
	  .help = "Most a start is moved at random, either way; at most half of interval. Checks are spread over their interval without it." },
	{ .name = "timeout", .type = CONF_SECTION, .section = conf_timeout_keys,
	  .offset = offsetof(struct check_spec, timeout),
	  .help = "How long each part of a check may take." },
	{ .name = "retries", .type = CONF_SECTION, .section = retry_keys,
	  .offset = offsetof(struct check_spec, retry),
	  .help = "Further tries within one check, for reasons that may pass (connection refused, reset, timeouts before the answer, 5xx)." },
	{ .name = "rise", .type = CONF_U16, .min = "1", .max = "100", .fallback = "2",
	  .offset = offsetof(struct check_spec, health.rise), .effect = EFFECT_UPDATE,
	  .help = "Good results in a row that bring a check up." },
	{ .name = "fall", .type = CONF_U16, .min = "1", .max = "100", .fallback = "3",
	  .offset = offsetof(struct check_spec, health.fall), .effect = EFFECT_UPDATE,
	  .help = "Bad results in a row that take a check down." },
	{ .name = "degraded_rise", .type = CONF_U16, .min = "1", .max = "100", .fallback = "2",
	  .offset = offsetof(struct check_spec, health.degraded_rise), .effect = EFFECT_UPDATE,
	  .help = "Results in a row that end degraded." },
	{ .name = "degraded_fall", .type = CONF_U16, .min = "1", .max = "100", .fallback = "3",
	  .offset = offsetof(struct check_spec, health.degraded_fall), .effect = EFFECT_UPDATE,
	  .help = "Degraded results in a row that make a check degraded." },
	{ .name = "init", .type = CONF_ENUM, .choices = init_choices, .fallback = "first_result",
	  .offset = offsetof(struct check_spec, health.init), .effect = EFFECT_UPDATE,
	  .help = "State at the start: decided by the first result, or assumed up or down until fall or rise results in a row say otherwise." },
	{ .name = "window_latency", .type = CONF_SECTION, .section = window_latency_keys,
	  .offset = offsetof(struct check_spec, window_latency),
	  .help = "Limit on latency over the last results, so that one slow answer changes nothing. Without degraded and down there is no limit." },
	CONF_END,
};
/* clang-format on */

static const usec_t tier_intervals[] = {
	[TIER_TRANSPORT] = 15 * USEC_PER_SEC,
	[TIER_LIVE] = 10 * USEC_PER_SEC,
	[TIER_READY] = 15 * USEC_PER_SEC,
	[TIER_MODELS] = 60 * USEC_PER_SEC,
	[TIER_LOAD] = 15 * USEC_PER_SEC,
	[TIER_CANARY] = 60 * USEC_PER_SEC,
};
static_assert(array_size(tier_intervals) == TIER_N, "one interval per tier");

usec_t conf_tier_interval(enum tier tier)
{
	must(tier < TIER_N);
	return tier_intervals[tier];
}
