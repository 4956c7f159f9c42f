/* SPDX-License-Identifier: MIT */
/*
 * The two tables behind a simulated server: its settings, which drive the command line, the YAML
 * file and --help alike, and its faults. A new setting or fault is a new row.
 */
#include "modelhealth/app/sim/script.h"

#include "modelhealth/base/duration.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct fault_desc fault_table[FAULT_N] = {
	[FAULT_DEGENERATE] = { "degenerate",
		"answers are one token over and over; embeddings are zero" },
	[FAULT_DONE_ONLY] = { "done_only", "streams hold nothing but [DONE], chats no choice" },
	[FAULT_DRIP] = { "drip", "answers arrive 16 bytes at a time, every 200 ms" },
	[FAULT_ERROR] = { "error", "every answer is 500", .status = 500,
		.body = "{\"error\":{\"message\":\"CUDA error: an illegal memory access was "
			"encountered\",\"type\":\"InternalServerError\",\"code\":500}}" },
	[FAULT_FREEZE] = { "freeze", "answers stop half way; the connection stays open" },
	[FAULT_GARBAGE] = { "garbage", "answers are bytes that are not HTTP" },
	[FAULT_HANG] = { "hang", "connections are accepted and requests never answered" },
	[FAULT_LOADING] = { "loading", "every answer is 503: the model is loading", .status = 503,
		.body = "{\"error\":{\"message\":\"Loading model\",\"type\":\"unavailable_error\","
			"\"code\":503}}" },
	[FAULT_NO_FINISH] = { "no_finish", "chats end cleanly, but without a finish reason" },
	[FAULT_OVERLOAD] = { "overload", "every answer is 503: the server is overloaded",
		.status = 503,
		.body = "{\"error\":{\"message\":\"The server is overloaded.\",\"type\":"
			"\"service_unavailable_error\",\"code\":\"server_is_overloaded\"}}" },
	[FAULT_PING] = { "ping", "chat streams carry comments instead of tokens" },
	[FAULT_QUOTA] = { "quota", "every answer is 429: the quota is used up", .status = 429,
		.body = "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":"
			"\"insufficient_quota\",\"code\":\"insufficient_quota\"}}" },
	[FAULT_RATE_LIMIT] = { "rate_limit", "every answer is 429 with Retry-After: 5",
		.status = 429, .headers = "Retry-After: 5\r\n",
		.body = "{\"error\":{\"message\":\"Rate limit reached\",\"type\":"
			"\"rate_limit_error\",\"code\":\"rate_limit_exceeded\"}}" },
	[FAULT_REFUSE] = { "refuse", "nobody listens" },
	[FAULT_RESET] = { "reset", "connections are reset once the request is read" },
	[FAULT_SLOW] = { "slow", "every answer comes 3 s later" },
	[FAULT_SLOW_TOKENS] = { "slow_tokens", "tokens come two a second" },
	[FAULT_STALL] = { "stall", "the engine stands: chat never answers, the rest is fine" },
	[FAULT_STREAM_ERROR] = { "stream_error", "streams carry an error half way, under a 200" },
	[FAULT_TRUNCATE] = { "truncate", "connections close half way through the answer" },
	[FAULT_UNAUTHORIZED] = { "unauthorized", "every answer is 401: the key is wrong",
		.status = 401,
		.body = "{\"error\":{\"message\":\"Incorrect API key provided\",\"type\":"
			"\"invalid_request_error\",\"code\":\"invalid_api_key\"}}" },
	[FAULT_VANISH] = { "vanish", "new connections get no reply at all, like a dead host" },
	[FAULT_WRONG_MODEL] = { "wrong_model", "another model is loaded" },
	[FAULT_WRONG_TEXT] = { "wrong_text", "chats answer something else; so do embeddings" },
};

static_assert(FAULT_N <= 32, "a set of faults is 32 bits");

bool fault_from_name(const char *name, enum fault *ret_fault)
{
	for (enum fault fault = 0; fault < FAULT_N; fault++) {
		if (strcmp(fault_table[fault].name, name) != 0)
			continue;
		*ret_fault = fault;
		return true;
	}
	return false;
}

static void *field_at(struct script *script, size_t offset)
{
	return (char *)script + offset;
}

static int set_text(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	const char **field = field_at(script, offset);

	*field = arena_strdup(arena, text);
	return *field ? 0 : -ENOMEM;
}

static int set_duration(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	(void)arena; /* nothing to copy */
	return duration_parse(text, field_at(script, offset));
}

static int set_number(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	(void)arena; /* nothing to copy */
	return u64_parse(text, field_at(script, offset));
}

static int set_header(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	struct sbuf *lines = field_at(script, offset);

	(void)arena; /* the lines own their memory */
	if (!strchr(text, ':') || strpbrk(text, "\r\n"))
		return -EINVAL;
	sbuf_printf(lines, "%s\r\n", text);
	return lines->failed ? -ENOMEM : 0;
}

static int set_spared(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	const char *path = arena_strdup(arena, text);

	(void)offset; /* two fields make the list */
	if (!path)
		return -ENOMEM;
	if (script->n_spared == SCRIPT_MAX_SPARED)
		return -E2BIG;
	if (*path != '/')
		return -EINVAL;
	script->spared[script->n_spared++] = path;
	return 0;
}

/* The words after the name of a fault, each followed by a duration. */
static int set_plan_word(struct fault_plan *plan, const char *word, const char *value)
{
	static const struct {
		const char *word;
		size_t offset;
	} words[] = {
		{ "at", offsetof(struct fault_plan, at) },
		{ "every", offsetof(struct fault_plan, every) },
		{ "for", offsetof(struct fault_plan, duration) },
	};

	for (size_t i = 0; i < array_size(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return duration_parse(
				value, (usec_t *)(void *)((char *)plan + words[i].offset));
	return -EINVAL;
}

/* "freeze", "freeze at 30s for 60s", "loading for 45s", "reset at 1m for 5s every 2m" */
static int set_plan(struct script *script, struct arena *arena, size_t offset, const char *text)
{
	struct fault_plan plan = { .duration = USEC_NEVER };
	char *words = arena_strdup(arena, text);
	char *rest = NULL;
	char *word;

	(void)offset; /* two fields make the list */
	if (!words)
		return -ENOMEM;
	if (script->n_plans == SCRIPT_MAX_PLANS)
		return -E2BIG;
	word = strtok_r(words, " ", &rest);
	if (!word || !fault_from_name(word, &plan.fault))
		return -EINVAL;
	while ((word = strtok_r(NULL, " ", &rest))) {
		char *value = strtok_r(NULL, " ", &rest);

		if (!value || set_plan_word(&plan, word, value) < 0)
			return -EINVAL;
	}
	if (plan.every > 0 && (plan.duration == 0 || plan.duration >= plan.every))
		return -EINVAL;
	script->plans[script->n_plans++] = plan;
	return 0;
}

#define FIELD(member) offsetof(struct script, member)

/* In the order in which --help and the man page tell them. */
const struct script_key script_keys[] = {
	{ "listen", "ADDRESS:PORT", NULL,
		"loopback address, [::1]:PORT, unix:/PATH, or 127.0.0.0/8:PORT for all of them",
		set_text, FIELD(listen) },
	{ "name", "TEXT", NULL, "what control requests call it; default: its address", set_text,
		FIELD(name) },
	{ "model", "TEXT", "sim-8b", "id of the model that it serves", set_text, FIELD(model) },
	{ "text", "TEXT", "Ready. I am a simulated model and I say this over and over.",
		"what chat answers, one word a token", set_text, FIELD(text) },
	{ "tokens", "N", "16", "tokens of a chat answer, unless the request allows fewer",
		set_number, FIELD(tokens) },
	{ "ttft", "DURATION", "20ms", "time to the first token", set_duration, FIELD(ttft) },
	{ "prefill", "DURATION", "0", "added to ttft for each token of the prompt", set_duration,
		FIELD(prefill) },
	{ "gap", "DURATION", "5ms", "time between tokens", set_duration, FIELD(gap) },
	{ "dimension", "N", "384", "numbers in an embedding", set_number, FIELD(dimension) },
	{ "slots", "N", "0", "chats that run at once, others wait; 0 = no limit", set_number,
		FIELD(slots) },
	{ "threads", "N", "0",
		"connections served at once, others wait for one to end; then a client that leaves "
		"while it waits for a slot is noticed only at its turn; 0 = no limit",
		set_number, FIELD(threads) },
	{ "status", "CODE", "200", "status of the plain answer (/health and unknown paths)",
		set_number, FIELD(status) },
	{ "body", "TEXT", "{\"status\":\"ok\"}", "body of the plain answer", set_text,
		FIELD(body) },
	{ "header", "NAME: VALUE", NULL, "header of the plain answer; may be repeated", set_header,
		FIELD(headers) },
	{ "delay", "DURATION", "0", "time before every answer", set_duration, FIELD(delay) },
	{ "jitter", "DURATION", "0", "random part added to delay, up to this", set_duration,
		FIELD(jitter) },
	{ "idle", "DURATION", "0", "closes connections idle for this long; 0 = never", set_duration,
		FIELD(idle) },
	{ "tls_certificate", "FILE", NULL, "serve TLS with this certificate chain (PEM)", set_text,
		FIELD(tls_certificate) },
	{ "tls_key", "FILE", NULL, "key of the certificate (PEM)", set_text, FIELD(tls_key) },
	{ "fault", "NAME [at D] [for D] [every D]", NULL,
		"a fault and its schedule after the start; may be repeated", set_plan,
		FIELD(plans) },
	{ "spare", "PATH", NULL,
		"a path that answers well whatever fault is on, unless nobody listens; may be "
		"repeated",
		set_spared, FIELD(spared) },
};

const size_t script_keys_count = array_size(script_keys);

int script_init(struct script *script, struct arena *arena)
{
	*script = (struct script){ 0 };
	for (size_t i = 0; i < script_keys_count; i++) {
		const struct script_key *row = &script_keys[i];
		int r = row->preset ? row->set(script, arena, row->offset, row->preset) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void script_fini(struct script *script)
{
	sbuf_fini(&script->headers);
}

int script_set(struct script *script, struct arena *arena, const char *key, const char *text,
	char *ret_error, size_t error_size)
{
	for (size_t i = 0; i < script_keys_count; i++) {
		const struct script_key *row = &script_keys[i];

		if (strcmp(row->name, key) != 0)
			continue;
		if (row->set(script, arena, row->offset, text) == 0)
			return 0;
		(void)snprintf(ret_error, error_size, "%s: expected %s, got \"%s\"", key,
			row->value, text);
		return -EINVAL;
	}
	(void)snprintf(ret_error, error_size, "unknown setting \"%s\"; --help lists them", key);
	return -EINVAL;
}

int script_check(struct script *script, char *ret_error, size_t error_size)
{
	const char *problem = NULL;

	if (!script->listen)
		problem = "a server needs an address to listen on";
	else if (script->status < 100 || script->status > 599)
		problem = "status: expected 100 to 599";
	else if (script->tokens == 0)
		problem = "tokens: expected at least 1";
	else if (script->dimension == 0 || script->dimension > SCRIPT_MAX_DIMENSION)
		problem = "dimension: expected 1 to 4096";
	else if ((script->tls_certificate == NULL) != (script->tls_key == NULL))
		problem = "tls_certificate and tls_key go together";
	if (problem) {
		(void)snprintf(ret_error, error_size, "%s", problem);
		return -EINVAL;
	}
	if (!script->name)
		script->name = script->listen;
	return 0;
}
