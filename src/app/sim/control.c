/* SPDX-License-Identifier: MIT */
/*
 * The control port: shows the servers and switches their faults. Called by answer.c for requests
 * to a server that is_control.
 */
#include "modelhealth/app/sim/control.h"

#include "modelhealth/app/sim/answer.h"
#include "modelhealth/base/duration.h"
#include "modelhealth/text/write.h"

#include <string.h>

enum {
	PARAMETER_SIZE = 128
};

static void put_server(struct jw *jw, const struct server *server)
{
	jw_object(jw);
	jw_key(jw, "name");
	jw_string(jw, server->script->name);
	jw_key(jw, "listen");
	jw_string(jw, server->script->listen);
	jw_key(jw, "model");
	jw_string(jw, server_model(server));
	jw_key(jw, "faults");
	jw_array(jw);
	for (enum fault fault = 0; fault < FAULT_N; fault++)
		if (server_has_fault(server, fault))
			jw_string(jw, fault_table[fault].name);
	jw_array_end(jw);
	jw_key(jw, "connections");
	jw_u64(jw, server->n_connections);
	jw_key(jw, "accepted_total");
	jw_u64(jw, server->accepted_total);
	jw_key(jw, "requests_total");
	jw_u64(jw, server->requests_total);
	jw_key(jw, "running");
	jw_u64(jw, server->chats.n_running);
	jw_key(jw, "waiting");
	jw_u64(jw, server->chats.n_waiting);
	jw_key(jw, "most_waiting");
	jw_u64(jw, server->chats.most_waiting);
	jw_key(jw, "chats_total");
	jw_u64(jw, server->chats.asked_total);
	jw_object_end(jw);
}

void control_show(struct exchange *exchange)
{
	const struct sim *sim = exchange->server->sim;
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	struct jw jw = { .out = &body };

	jw_object(&jw);
	jw_key(&jw, "servers");
	jw_array(&jw);
	for (size_t i = 0; i < sim->n_servers; i++)
		if (!sim->servers[i].is_control)
			put_server(&jw, &sim->servers[i]);
	jw_array_end(&jw);
	jw_object_end(&jw);
	sbuf_putc(&body, '\n');
	answer_json(exchange, 200, sbuf_str(&body));
}

/* A request to switch faults, as understood. */
struct order {
	unsigned faults; /* FAULT_BIT of each that it concerns */
	bool is_on;
	usec_t duration;
	char server[PARAMETER_SIZE]; /* "" = all */
};

/* NULL, or what is wrong with the request. */
static const char *read_order(const struct request *request, struct order *order)
{
	char text[PARAMETER_SIZE];
	enum fault fault;

	*order = (struct order){ .is_on = true, .duration = USEC_NEVER };
	if (!request_parameter(request, "name", text, sizeof text))
		return "name=FAULT is missing";
	if (strcmp(text, "none") == 0) {
		order->faults = UINT32_MAX;
		order->is_on = false;
	} else if (fault_from_name(text, &fault)) {
		order->faults = FAULT_BIT(fault);
	} else {
		return "unknown fault; modelhealth-sim --help lists them";
	}
	if (request_parameter(request, "for", text, sizeof text) &&
		duration_parse(text, &order->duration) < 0)
		return "for: expected a duration such as 30s";
	if (request_parameter(request, "set", text, sizeof text)) {
		if (strcmp(text, "off") != 0)
			return "set: the only value is off";
		order->is_on = false;
	}
	(void)request_parameter(request, "server", order->server, sizeof order->server);
	return NULL;
}

static void obey(struct server *server, const struct order *order)
{
	for (enum fault fault = 0; fault < FAULT_N; fault++) {
		if (!(order->faults & FAULT_BIT(fault)))
			continue;
		if (order->is_on)
			server_fault_on(server, fault, order->duration);
		else
			server_fault_off(server, fault);
	}
}

void control_fault(struct exchange *exchange)
{
	const struct sim *sim = exchange->server->sim;
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	struct jw jw = { .out = &body };
	struct order order;
	const char *problem = read_order(&exchange->request, &order);
	size_t n = 0;

	for (size_t i = 0; !problem && i < sim->n_servers; i++) {
		struct server *server = &sim->servers[i];

		if (server->is_control || (order.server[0] != '\0' &&
						  strcmp(order.server, server->script->name) != 0))
			continue;
		obey(server, &order);
		n++;
	}
	if (!problem && n == 0)
		problem = "no server of this name; GET /_sim lists them";
	jw_object(&jw);
	jw_key(&jw, problem ? "error" : "servers");
	if (problem)
		jw_string(&jw, problem);
	else
		jw_u64(&jw, n);
	jw_object_end(&jw);
	sbuf_putc(&body, '\n');
	answer_json(exchange, problem ? 400 : 200, sbuf_str(&body));
}
