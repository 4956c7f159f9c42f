/* SPDX-License-Identifier: MIT */
/*
 * What is served: the table below, and every output with a path. There is no file system behind
 * it and nothing that a request could start over TCP. The app owns it.
 */
#include "modelhealth/engine/status.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/io/httpd.h"
#include "modelhealth/io/listen.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/outputs/outputs.h"
#include "modelhealth/text/accept.h"
#include "modelhealth/text/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_SIZE = 256, /* no endpoint has a longer name */
	ETAG_SIZE = 72
};

static const usec_t exhausted_log_interval = 60 * USEC_PER_SEC;

struct status {
	struct status_setup setup;
	struct httpd *server;
	TAILQ_HEAD(, reload_wait) waiting; /* for the end of a reload */
	usec_t exhausted_logged_at;
};

/* ---- the engine's numbers and ours ---- */

static const struct snapshot *take_snapshot(struct status *status)
{
	const struct loop_stats *loop = loop_stats(status->setup.loop);
	const struct httpd_stats *http = httpd_stats(status->server);
	struct self_view *self = engine_self(status->setup.engine);

	self->loop_stalls_total = loop->stalls_total;
	self->loop_stall_max = loop->turn_max;
	self->loop_turns_total = loop->turns_total;
	self->http_requests_total = http->requests_total;
	self->http_rejected_total = http->rejected_total;
	self->http_clients = http->clients;
	return engine_snapshot(status->setup.engine);
}

/* ---- outputs ---- */

struct render {
	struct httpd_job job;
	struct status *status;
	const struct output *output;
	struct output_query query; /* points into the request, and to name */
	char name[NAME_SIZE];
	char etag[ETAG_SIZE];
	const char *vary;    /* NULL = nothing */
	unsigned generation; /* of the configuration that the cursor walks */
	size_t cursor;
};

static bool is_json(const struct output *output)
{
	return strcmp(output->mime, "application/json") == 0;
}

/* Weak: what runs at this moment is shown, but is no version. */
static void format_etag(const struct snapshot *snapshot, char text[static ETAG_SIZE])
{
	(void)snprintf(text, ETAG_SIZE, "W/\"%" PRIx64 "-%" PRIx64 "\"", snapshot->self->started_at,
		snapshot->version);
}

static bool is_known_version(const struct httpd_request *request, const char *etag)
{
	const char *wanted = httpd_request_head(request)->if_none_match;

	return wanted && (strcmp(wanted, "*") == 0 || strstr(wanted, etag + strlen("W/")));
}

/* The configuration changed under the cursor: what was written so far is of another world. */
static void start_over(struct render *render, const struct snapshot *snapshot)
{
	render->generation = snapshot->config->generation;
	render->cursor = 0;
	if (is_json(render->output))
		format_etag(snapshot, render->etag);
}

/* out NULL: the client has it already. */
static void finish(struct render *render, struct httpd_request *request, struct sbuf *out)
{
	char etag[ETAG_SIZE];

	memcpy(etag, render->etag, sizeof etag); /* httpd_reply ends the job */
	httpd_reply(request,
		&(struct httpd_reply){
			.status = out ? 200 : 304,
			.mime = out ? render->output->mime : NULL,
			.etag = etag[0] != '\0' ? etag : NULL,
			.vary = render->vary,
		},
		out);
}

/* The first slice is there: what was asked for exists, so its version counts. */
static bool is_unchanged(const struct render *render, const struct httpd_request *request)
{
	return render->etag[0] != '\0' && is_known_version(request, render->etag);
}

static void on_step(struct httpd_job *job, struct httpd_request *request, struct sbuf *out)
{
	struct render *render = container_of(job, struct render, job);
	const struct snapshot *snapshot = take_snapshot(render->status);

	if (snapshot->config->generation != render->generation) {
		start_over(render, snapshot);
		httpd_restart(request);
	}
	switch (render->output->render(snapshot, &render->query, out, &render->cursor)) {
	case OUTPUT_MORE:
		if (is_unchanged(render, request))
			finish(render, request, NULL);
		break;
	case OUTPUT_DONE:
		finish(render, request, is_unchanged(render, request) ? NULL : out);
		break;
	case OUTPUT_NOT_FOUND:
		httpd_problem(request, 404, "no such endpoint or check, or no result of it yet");
		break;
	case OUTPUT_BAD_QUERY:
		httpd_problem(request, 400,
			"state= takes up, degraded, not_ready, down, unknown or suspended; label= "
			"takes name=value; /probe needs target= and module=");
		break;
	}
}

static void on_end(struct httpd_job *job)
{
	free(container_of(job, struct render, job));
}

static bool takes_param(const struct output *output, const char *name)
{
	for (const char *const *param = output->params; param && *param; param++)
		if (strcmp(*param, name) == 0)
			return true;
	return false;
}

/* False for a parameter that the output does not take: better than to ignore a filter. */
static bool read_query(
	const struct httpreq *head, const struct output *output, struct output_query *query)
{
	const struct {
		const char *name, **field;
	} known[] = {
		{ "group", &query->group },
		{ "label", &query->label },
		{ "module", &query->module },
		{ "state", &query->state },
		{ "target", &query->target },
	};

	for (size_t i = 0; i < head->n_params; i++) {
		if (!takes_param(output, head->params[i].name))
			return false;
		for (size_t k = 0; k < array_size(known); k++)
			if (strcmp(known[k].name, head->params[i].name) == 0)
				*known[k].field = head->params[i].value;
	}
	return true;
}

static void refuse_query(struct httpd_request *request, const struct output *output)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	const char *const *param = output->params;

	sbuf_puts(&text, "unknown query parameter; this path takes ");
	sbuf_puts(&text, param ? *param : "none");
	while (param && *++param)
		sbuf_printf(&text, ", %s", *param);
	httpd_problem(request, 400, sbuf_str(&text));
}

/* Of the outputs with one path the one that the client likes best. */
static const struct output *choose_output(
	const struct output *first, const char *accept, const char **ret_vary)
{
	const struct output *best = first;

	for (const struct output *const *output = outputs; *output; output++) {
		if (*output == first || !(*output)->path ||
			strcmp((*output)->path, first->path) != 0)
			continue;
		*ret_vary = "Accept";
		if (accept_quality(accept, (*output)->mime) > accept_quality(accept, best->mime))
			best = *output;
	}
	return best;
}

static void serve_output(struct status *status, struct httpd_request *request,
	const struct output *output, const char *name)
{
	const struct httpreq *head = httpd_request_head(request);
	const struct snapshot *snapshot = take_snapshot(status);
	struct render *render;

	if (!snapshot->config) {
		httpd_problem(request, 503, "no configuration is live yet");
		return;
	}
	render = calloc(1, sizeof *render);
	if (!render) {
		httpd_problem(request, 503, "out of memory");
		return;
	}
	render->job = (struct httpd_job){ .step = on_step, .end = on_end };
	render->status = status;
	render->output = choose_output(output, head->accept, &render->vary);
	(void)snprintf(render->name, sizeof render->name, "%s", name);
	render->query.name = render->name;
	start_over(render, snapshot);
	if (!read_query(head, output, &render->query)) {
		free(render);
		refuse_query(request, output);
		return;
	}
	httpd_defer(request, &render->job);
}

/* ---- the daemon itself ---- */

static void reply_text(struct httpd_request *request, const char *text)
{
	struct sbuf body = SBUF_INIT;

	sbuf_puts(&body, text);
	httpd_reply(request,
		&(struct httpd_reply){ .status = 200, .mime = "text/plain; charset=utf-8" }, &body);
}

/* That we can answer is the proof. It says nothing of any target. */
static void serve_health(struct status *status, struct httpd_request *request, const char *name)
{
	(void)status;
	(void)name;
	reply_text(request, "ok\n");
}

static void serve_ready(struct status *status, struct httpd_request *request, const char *name)
{
	const struct snapshot *snapshot = take_snapshot(status);

	(void)name;
	if (snapshot->config && snapshot->self->first_round_done)
		reply_text(request, "ready\n");
	else
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"the first round of checks is not done");
}

/* ---- what can be asked ---- */

static void reply_json(struct httpd_request *request, unsigned code, struct sbuf *body)
{
	httpd_reply(
		request, &(struct httpd_reply){ .status = code, .mime = "application/json" }, body);
}

/* One who waits for the end of a reload. */
struct reload_wait {
	struct httpd_job job;
	struct status *status;
	struct httpd_request *request;
	bool is_next; /* asked while a load was under way: the one after it is his */
	TAILQ_ENTRY(reload_wait) link;
};

static void on_wait_end(struct httpd_job *job)
{
	struct reload_wait *wait = container_of(job, struct reload_wait, job);

	TAILQ_REMOVE(&wait->status->waiting, wait, link);
	free(wait);
}

static void serve_reload(struct status *status, struct httpd_request *request, const char *name)
{
	struct reload_wait *wait = calloc(1, sizeof *wait);

	(void)name;
	if (!wait) {
		httpd_problem(request, 503, "out of memory");
		return;
	}
	*wait = (struct reload_wait){
		.job = { .end = on_wait_end }, .status = status, .request = request
	};
	TAILQ_INSERT_TAIL(&status->waiting, wait, link);
	httpd_wait(request, &wait->job);
	if (!TAILQ_EMPTY(&status->waiting) && !status->setup.reload(status->setup.ctx))
		wait->is_next = true;
}

static void reply_reloaded(struct status *status, struct httpd_request *request)
{
	const struct engine_diff *diff = engine_last_diff(status->setup.engine);

	const struct {
		const char *key;
		size_t n;
	} counts[] = { { "kept", diff->kept }, { "updated", diff->updated },
		{ "restarted", diff->restarted }, { "added", diff->added },
		{ "removed", diff->removed } };
	struct sbuf body = SBUF_INIT;
	struct jw jw = { .out = &body };

	jw_object(&jw);
	jw_key(&jw, "schema");
	jw_u64(&jw, 1);
	jw_key(&jw, "generation");
	jw_u64(&jw, take_snapshot(status)->config->generation);
	jw_key(&jw, "checks");
	jw_object(&jw);
	for (size_t i = 0; i < array_size(counts); i++) {
		jw_key(&jw, counts[i].key);
		jw_u64(&jw, counts[i].n);
	}
	jw_object_end(&jw);
	jw_object_end(&jw);
	sbuf_putc(&body, '\n');
	reply_json(request, 200, &body);
}

void status_reloaded(struct status *status, const char *errors)
{
	struct reload_wait *next;

	/* Each answer ends its wait, which takes it off the list. */
	for (struct reload_wait *wait = TAILQ_FIRST(&status->waiting); wait; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->is_next)
			wait->is_next = false;
		else if (errors)
			httpd_problem(wait->request, 422, errors);
		else
			reply_reloaded(status, wait->request);
	}
}

static void serve_check_now(struct status *status, struct httpd_request *request, const char *name)
{
	int r = engine_check_now(status->setup.engine, name);
	struct sbuf body = SBUF_INIT;
	struct jw jw = { .out = &body };

	if (r == -ENOENT) {
		httpd_problem(request, 404, "no such endpoint");
		return;
	}
	if (r < 0) {
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 429, .retry_after = 1 },
			"this endpoint was asked for within the last second");
		return;
	}
	jw_object(&jw);
	jw_key(&jw, "schema");
	jw_u64(&jw, 1);
	jw_key(&jw, "name");
	jw_string(&jw, name);
	jw_key(&jw, "started");
	jw_bool(&jw, true);
	jw_object_end(&jw);
	sbuf_putc(&body, '\n');
	reply_json(request, 202, &body);
}

/* ---- routes ---- */

/* Paths of our own. Asking needs the unix socket, where the file's mode says who may. */
static const struct route {
	const char *path;
	enum http_method method;
	void (*serve)(struct status *status, struct httpd_request *request, const char *name);
} routes[] = {
	{ "/-/healthy", HTTP_GET, serve_health },
	{ "/-/ready", HTTP_GET, serve_ready },
	{ "/-/reload", HTTP_POST, serve_reload },
	{ "/api/v1/endpoints/{name}/check", HTTP_POST, serve_check_now },
	{ "/healthz", HTTP_GET, serve_health },
	{ "/readyz", HTTP_GET, serve_ready },
};

/* Whether path fits a pattern; the segment at "{name}" goes to name. */
static bool path_matches(const char *pattern, const char *path, char name[static NAME_SIZE])
{
	static const char hole[] = "{name}";
	const char *at = strstr(pattern, hole);
	size_t before = at ? (size_t)(at - pattern) : 0;
	size_t len;

	name[0] = '\0';
	if (!at)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, before) != 0)
		return false;
	len = strcspn(path + before, "/");
	if (len == 0 || len >= NAME_SIZE)
		return false;
	memcpy(name, path + before, len);
	name[len] = '\0';
	return strcmp(at + strlen(hole), path + before + len) == 0;
}

/* Answers 405 or 403 unless the request may go on. */
static bool is_allowed(struct httpd_request *request, enum http_method wanted)
{
	enum http_method method = httpd_request_head(request)->method;
	bool is_read = method == HTTP_GET || method == HTTP_HEAD;

	if ((wanted == HTTP_GET) != is_read) {
		httpd_problem_with(request,
			&(struct httpd_reply){
				.status = 405, .allow = wanted == HTTP_GET ? "GET, HEAD" : "POST" },
			NULL);
		return false;
	}
	if (wanted == HTTP_POST && !httpd_request_is_local(request)) {
		httpd_problem(request, 403, "this is served on the unix socket alone");
		return false;
	}
	return true;
}

static void on_request(void *ctx, struct httpd_request *request)
{
	struct status *status = ctx;
	const char *path = httpd_request_head(request)->path;
	char name[NAME_SIZE];

	for (size_t i = 0; i < array_size(routes); i++) {
		if (!path_matches(routes[i].path, path, name))
			continue;
		if (is_allowed(request, routes[i].method))
			routes[i].serve(status, request, name);
		return;
	}
	for (const struct output *const *output = outputs; *output; output++) {
		if (!(*output)->path || !path_matches((*output)->path, path, name))
			continue;
		if (is_allowed(request, HTTP_GET))
			serve_output(status, request, *output, name);
		return;
	}
	httpd_problem(request, 404, "no such path");
}

static void on_exhausted(void *ctx, int error)
{
	struct status *status = ctx;
	usec_t now = loop_timers(status->setup.loop)->now;

	if (status->exhausted_logged_at != 0 &&
		now < status->exhausted_logged_at + exhausted_log_interval)
		return;
	status->exhausted_logged_at = now;
	log_printf(LOG_LEVEL_WARNING, MSG_LOCAL_LIMIT,
		"status port: cannot accept a client (%s); accepting pauses for a second each time; "
		"checks go on",
		strerror(error));
}

/* ---- life ---- */

int status_new(const struct status_setup *setup, struct status **ret_status)
{
	struct status *status = calloc(1, sizeof *status);
	int r;

	if (!status)
		return -ENOMEM;
	status->setup = *setup;
	TAILQ_INIT(&status->waiting);
	r = httpd_new(&(struct httpd_setup){ .loop = setup->loop,
			      .on_request = on_request,
			      .on_exhausted = on_exhausted,
			      .ctx = status },
		&status->server);
	if (r < 0) {
		free(status);
		return r;
	}
	*ret_status = status;
	return 0;
}

struct status *status_free(struct status *status)
{
	if (!status)
		return NULL;
	httpd_free(status->server);
	free(status);
	return NULL;
}

/* Says where, with the port the kernel chose for ":0". */
static void tell_listening(const struct status *status, const char *address)
{
	uint16_t port = httpd_port(status->server, address);
	const char *colon = strrchr(address, ':');

	if (port == 0 || !colon)
		log_info("listening on %s", address);
	else
		log_info("listening on %.*s:%u", (int)(colon - address), address, port);
}

/* The usual reason for an address in use under systemd is worth more than the bare error. */
static void explain_listen(const struct status *status, const char *failed, int error,
	char *ret_error, size_t error_size)
{
	int fd = failed && error == EADDRINUSE ? httpd_adopted_at_port(status->server, failed) : -1;
	char where[LISTEN_TEXT_SIZE];

	if (fd < 0) {
		(void)snprintf(ret_error, error_size, "cannot listen on %s: %s",
			failed ? failed : "the status port", strerror(error));
		return;
	}
	listen_describe(fd, where);
	(void)snprintf(ret_error, error_size,
		"cannot listen on %s: the service manager listens on %s already; change "
		"modelhealthd.socket too",
		failed, where);
}

int status_listen(
	struct status *status, const struct config *config, char *ret_error, size_t error_size)
{
	bool is_new[HTTPD_MAX_LISTENERS];
	const char *failed = NULL;
	size_t n = min_of(config->n_listen, array_size(is_new));
	int r;

	for (size_t i = 0; i < n; i++)
		is_new[i] = !httpd_is_listening(status->server, config->listen[i]);
	r = httpd_listen(status->server, config->listen, config->n_listen, &failed);
	if (r == 0)
		r = httpd_set_limits(status->server,
			&(struct httpd_limits){
				.clients = config->limits.status_clients,
				.clients_per_source = config->limits.status_clients_per_source,
				.hosts = config->allowed_hosts,
				.n_hosts = config->n_allowed_hosts,
			});
	if (r < 0) {
		explain_listen(status, failed, -r, ret_error, error_size);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		if (is_new[i])
			tell_listening(status, config->listen[i]);
	return 0;
}

int status_adopt(struct status *status, int fd)
{
	char where[LISTEN_TEXT_SIZE];
	int r;

	listen_describe(fd, where);
	r = httpd_adopt(status->server, fd);
	if (r == 0)
		log_info("listening on %s, a socket of the service manager", where);
	return r;
}

void status_drain(struct status *status)
{
	httpd_drain(status->server);
}

bool status_is_serving(const struct status *status)
{
	return httpd_stats(status->server)->clients > 0;
}

uint16_t status_port(const struct status *status, const char *address)
{
	return httpd_port(status->server, address);
}
