/* SPDX-License-Identifier: MIT */
/*
 * evhttp with a gate before it. evhttp accepts, answers and closes; what clients send never reaches
 * its lenient parser, but httpd_gate.c.
 *
 *   accept -> ARRIVING -> WAITING -> (RENDERING) -> SENDING -> LINGERING -> gone
 *             gate reads  on_request  slices         evhttp     the client reads our last bytes
 *
 * A request owns one reference of its bufferevent, so it outlives evhttp's connection and can let
 * the client finish. The app owns the server; engine/status.c answers the requests.
 */
#include "httpd_private.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/text/write.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const usec_t wait_deadline = 60 * USEC_PER_SEC; /* for what takes its time here */
static const usec_t render_slice = USEC_PER_MSEC;

/* When memory is short: how soon to look whether clients have taken some of it off us. */
static const usec_t memory_interval = 10 * USEC_PER_MSEC;

enum {
	RESERVED_TIMERS = 512, /* one a client, and ours */
	/* Of answers being rendered and sent. Above it, large ones go one after the other: the next
	 * is rendered when less than this is still to be sent. */
	MAX_HELD = 64 * 1024 * 1024,
	SMALL_ANSWER = 256 * 1024 /* goes on whatever else is held */
};

/* ---- statuses ---- */

static const struct {
	unsigned status;
	const char *title;
	const char *detail; /* of the gate's own refusals */
} statuses[] = {
	{ 200, "OK", NULL },
	{ 202, "Accepted", NULL },
	{ 304, "Not Modified", NULL },
	{ 400, "Bad Request", "the request is malformed or ambiguous" },
	{ 403, "Forbidden", NULL },
	{ 404, "Not Found", NULL },
	{ 405, "Method Not Allowed", "only GET, HEAD and, for some paths, POST" },
	{ 408, "Request Timeout", "the request was not complete in 10 seconds" },
	{ 413, "Content Too Large", "no request here needs a body" },
	{ 414, "URI Too Long", "the request line passes 8 KiB, or the query 16 parameters" },
	{ 417, "Expectation Failed", "Expect is not supported" },
	{ 421, "Misdirected Request",
		"Host is neither an IP address nor localhost nor in status.allowed_hosts" },
	{ 422, "Unprocessable Content", NULL },
	{ 429, "Too Many Requests", NULL },
	{ 431, "Request Header Fields Too Large", "header fields pass 8 KiB or 64 lines" },
	{ 500, "Internal Server Error", NULL },
	{ 501, "Not Implemented", "method or transfer coding is not supported" },
	{ 503, "Service Unavailable", "too many clients at once; try again" },
	{ 505, "HTTP Version Not Supported", "only HTTP/1.0 and HTTP/1.1" },
};

static size_t find_status(unsigned status)
{
	for (size_t i = 0; i < array_size(statuses); i++)
		if (statuses[i].status == status)
			return i;
	must(!"a status without a row");
	return 0;
}

/* ---- answering ---- */

const struct httpreq *httpd_request_head(const struct httpd_request *request)
{
	return &request->parsed;
}

bool httpd_request_is_local(const struct httpd_request *request)
{
	return request->listener->socket.is_unix;
}

static void free_body(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

static void add_fields(
	struct httpd_request *request, const struct httpd_reply *reply, size_t content_length)
{
	char length[24], retry[24];

	const struct {
		const char *name, *value;
	} fields[] = {
		{ "Content-Type", reply->mime },
		{ "Content-Length", reply->status == 304 ? NULL : length },
		{ "Cache-Control", reply->etag ? "no-cache" : "no-store" },
		{ "Content-Security-Policy", "default-src 'none'" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "ETag", reply->etag },
		{ "Vary", reply->vary },
		{ "Allow", reply->allow },
		{ "Retry-After", reply->retry_after > 0 ? retry : NULL },
		{ "Connection", "close" },
	};
	struct evkeyvalq *output = evhttp_request_get_output_headers(request->evhttp_request);

	(void)snprintf(length, sizeof length, "%zu", content_length);
	(void)snprintf(retry, sizeof retry, "%u", reply->retry_after);
	for (size_t i = 0; i < array_size(fields); i++)
		if (fields[i].value)
			/* A field that is lost for want of memory closes the connection late. */
			(void)evhttp_add_header(output, fields[i].name, fields[i].value);
}

/* The slices so far, and body (taken) at their end. NULL = out of memory. */
static struct evbuffer *whole_body(struct httpd_request *request, struct sbuf *body)
{
	struct evbuffer *buffer = take_ptr(request->body);
	size_t len = body ? body->len : 0;
	bool failed = body && body->failed;
	char *text = body ? sbuf_steal(body) : NULL;

	if (!buffer)
		buffer = evbuffer_new();
	if (!text || len == 0) {
		free(text);
		failed |= body && !text;
	} else if (!buffer || evbuffer_add_reference(buffer, text, len, free_body, text) < 0) {
		free(text);
		failed = true;
	}
	if (!failed || !buffer)
		return buffer;
	evbuffer_free(buffer);
	return NULL;
}

static void send_answer(
	struct httpd_request *request, const struct httpd_reply *reply, struct evbuffer *body)
{
	size_t len = evbuffer_get_length(body);

	add_fields(request, reply, len);
	if (request->parsed.method == HTTP_HEAD)
		(void)evbuffer_drain(body, len);
	request->phase = SENDING;
	evhttp_send_reply(request->evhttp_request, (int)reply->status,
		statuses[find_status(reply->status)].title, body);
	evbuffer_free(body);
	/* evhttp wants to see the client leave; but one that has only shut down its sending side
	 * still waits for the answer. The deadline catches those who are really gone. */
	(void)bufferevent_disable(request->bev, EV_READ);
	sbuf_fini(&request->out);
	request->unsent = evbuffer_get_length(bufferevent_get_output(request->bev));
	gate_set_deadline(request, SEND_DEADLINE_SECONDS * USEC_PER_SEC);
	httpd_end_job(request);
}

void httpd_reply(struct httpd_request *request, const struct httpd_reply *reply, struct sbuf *body)
{
	struct evbuffer *whole;

	must(request->phase == WAITING || request->phase == RENDERING);
	whole = whole_body(request, body);
	if (whole)
		send_answer(request, reply, whole);
	else
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"not enough memory for the answer");
}

static void write_problem(struct sbuf *out, unsigned status, const char *detail)
{
	struct jw jw = { .out = out };

	jw_object(&jw);
	jw_key(&jw, "type");
	jw_string(&jw, "about:blank");
	jw_key(&jw, "title");
	jw_string(&jw, statuses[find_status(status)].title);
	jw_key(&jw, "status");
	jw_u64(&jw, status);
	if (detail) {
		jw_key(&jw, "detail");
		jw_string(&jw, detail);
	}
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
}

void httpd_problem_with(
	struct httpd_request *request, const struct httpd_reply *reply, const char *detail)
{
	struct httpd_reply problem = *reply;
	struct sbuf text = SBUF_INIT;
	struct evbuffer *body;

	must(request->phase == WAITING || request->phase == RENDERING);
	httpd_restart(request);
	problem.mime = "application/problem+json";
	write_problem(&text, problem.status, detail);
	body = whole_body(request, &text);
	if (body)
		send_answer(request, &problem, body);
	else
		gate_drop(request); /* not even memory for this */
}

void httpd_problem(struct httpd_request *request, unsigned status, const char *detail)
{
	httpd_problem_with(request, &(struct httpd_reply){ .status = status }, detail);
}

void httpd_refuse(struct httpd_request *request)
{
	struct httpd_reply reply = { .status = request->refusal };

	if (reply.status == 405)
		reply.allow = "GET, HEAD, POST";
	if (reply.status == 503)
		reply.retry_after = 1;
	httpd_problem_with(request, &reply, statuses[find_status(reply.status)].detail);
}

/* ---- rendering over several turns ---- */

/* What the answers hold at this moment. */
struct memory {
	size_t rendered, unsent;
};

size_t httpd_rendered(const struct httpd_request *request)
{
	return request->out.cap + (request->body ? evbuffer_get_length(request->body) : 0);
}

static struct memory measure_memory(const struct httpd *server)
{
	struct memory memory = { 0 };
	const struct httpd_request *request;

	TAILQ_FOREACH (request, &server->requests, link) {
		memory.rendered += httpd_rendered(request);
		if (request->phase == SENDING)
			memory.unsent += evbuffer_get_length(bufferevent_get_output(request->bev));
	}
	return memory;
}

bool httpd_is_short_of_memory(const struct httpd *server)
{
	struct memory memory = measure_memory(server);

	return !TAILQ_EMPTY(&server->jobs) && memory.rendered + memory.unsent >= MAX_HELD;
}

void httpd_end_job(struct httpd_request *request)
{
	struct httpd_job *job = take_ptr(request->job);

	if (!job)
		return;
	if (job->step)
		TAILQ_REMOVE(&request->server->jobs, request, job_link);
	request->server->n_jobs--;
	job->end(job);
}

void httpd_restart(struct httpd_request *request)
{
	if (request->body)
		(void)evbuffer_drain(request->body, evbuffer_get_length(request->body));
	sbuf_clear(&request->out);
	request->rendered = 0;
}

/* Puts a slice to the ones before it, so that the next begins with an empty buffer: growing one
 * buffer to 40 MB would copy it again and again, in turns that must be short. */
static void keep_slice(struct httpd_request *request)
{
	struct sbuf *out = &request->out;

	if (!request->body)
		request->body = evbuffer_new();
	if (!request->body || evbuffer_get_length(request->body) > MAX_ANSWER ||
		evbuffer_add(request->body, sbuf_str(out), out->len) < 0)
		out->failed = true;
	if (!out->failed)
		sbuf_clear(out);
}

static void step_job(struct httpd *server, struct httpd_request *request, bool is_short)
{
	request->job->step(request->job, request, &request->out);
	if (request->phase != RENDERING)
		return;
	keep_slice(request);
	if (request->out.failed) {
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"not enough memory for the answer");
		return;
	}
	/* Round robin, so that a small answer need not wait for a large one. */
	if (!is_short) {
		TAILQ_REMOVE(&server->jobs, request, job_link);
		TAILQ_INSERT_TAIL(&server->jobs, request, job_link);
	}
}

/* Whose turn it is. NULL = all that are left wait until clients have read. */
static struct httpd_request *next_job(const struct httpd *server, const struct memory *memory)
{
	struct httpd_request *request;

	if (memory->rendered + memory->unsent < MAX_HELD)
		return TAILQ_FIRST(&server->jobs);
	TAILQ_FOREACH (request, &server->jobs, job_link)
		if (httpd_rendered(request) < SMALL_ANSWER)
			return request;
	return memory->unsent < MAX_HELD ? TAILQ_FIRST(&server->jobs) : NULL;
}

bool httpd_is_being_made(const struct httpd_request *request)
{
	const struct memory memory = measure_memory(request->server);

	return memory.rendered + memory.unsent < MAX_HELD ||
	       next_job(request->server, &memory) == request;
}

static void on_render(struct timer *timer)
{
	struct httpd *server = container_of(timer, struct httpd, render);
	usec_t began = clock_monotonic();
	const struct memory memory = measure_memory(server); /* a turn does not add much */
	struct httpd_request *request;

	while ((request = next_job(server, &memory))) {
		step_job(server, request, memory.rendered + memory.unsent >= MAX_HELD);
		if (clock_monotonic() - began >= render_slice)
			break;
	}
	/* Not in this turn any more: descriptors and checks first. Reserved. */
	if (!TAILQ_EMPTY(&server->jobs))
		(void)timer_set(server->timers, timer,
			server->timers->now + (request ? 1 : memory_interval));
}

/* Takes the job and the request, or ends both. */
static bool take_job(struct httpd_request *request, struct httpd_job *job)
{
	struct httpd *server = request->server;

	must(request->phase == WAITING);
	if (server->n_jobs >= HTTPD_MAX_JOBS) {
		job->end(job);
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"too many answers are being made; try again");
		server->stats.rejected_total++;
		return false;
	}
	request->phase = RENDERING;
	request->job = job;
	server->n_jobs++;
	return true;
}

void httpd_defer(struct httpd_request *request, struct httpd_job *job)
{
	struct httpd *server = request->server;

	if (!take_job(request, job))
		return;
	TAILQ_INSERT_TAIL(&server->jobs, request, job_link);
	gate_set_deadline(request, SEND_DEADLINE_SECONDS * USEC_PER_SEC);
	if (!timer_is_set(&server->render))
		(void)timer_set(server->timers, &server->render, server->timers->now + 1);
}

void httpd_wait(struct httpd_request *request, struct httpd_job *job)
{
	if (take_job(request, job))
		gate_set_deadline(request, wait_deadline);
}

/* ---- the server ---- */

static char **free_hosts(char **hosts)
{
	for (char **host = hosts; host && *host; host++)
		free(*host);
	free(hosts);
	return NULL;
}

int httpd_new(const struct httpd_setup *setup, struct httpd **ret_server)
{
	struct httpd *server = calloc(1, sizeof *server);

	if (!server)
		return -ENOMEM;
	server->setup = *setup;
	server->timers = loop_timers(setup->loop);
	server->clients_max = 256;
	server->clients_per_source_max = 32;
	TAILQ_INIT(&server->requests);
	TAILQ_INIT(&server->jobs);
	server->render.fn = on_render;
	listeners_init(server);
	server->admit = event_new(loop_event_base(setup->loop), -1, 0, gate_on_admit, server);
	gate_prepare(server);
	if (!server->admit || !server->prepared ||
		timers_reserve(server->timers, server->timers->n + RESERVED_TIMERS) < 0) {
		httpd_free(server);
		return -ENOMEM;
	}
	*ret_server = server;
	return 0;
}

struct httpd *httpd_free(struct httpd *server)
{
	if (!server)
		return NULL;
	listeners_close(server);
	while (!TAILQ_EMPTY(&server->requests))
		gate_release(TAILQ_FIRST(&server->requests));
	listeners_fini(server);
	timer_cancel(server->timers, &server->render);
	gate_free(server->prepared);
	if (server->admit)
		event_free(server->admit);
	free_hosts(server->hosts);
	free(server);
	return NULL;
}

int httpd_set_limits(struct httpd *server, const struct httpd_limits *limits)
{
	char **hosts = calloc(limits->n_hosts + 1, sizeof *hosts);

	if (!hosts)
		return -ENOMEM;
	for (size_t i = 0; i < limits->n_hosts; i++) {
		hosts[i] = strdup(limits->hosts[i]);
		if (!hosts[i]) {
			free_hosts(hosts);
			return -ENOMEM;
		}
	}
	free_hosts(server->hosts);
	server->hosts = hosts;
	server->clients_max = limits->clients;
	server->clients_per_source_max = limits->clients_per_source;
	listeners_update(server);
	return 0;
}

const struct httpd_stats *httpd_stats(struct httpd *server)
{
	server->stats.clients = server->n_tcp + server->n_local;
	return &server->stats;
}
