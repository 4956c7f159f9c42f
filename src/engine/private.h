/* SPDX-License-Identifier: MIT */
/*
 * The engine's own structs, shared by its files:
 *   engine.c   life, settling results, transitions
 *   schedule.c when checks start: slots, queues, limits
 *   apply.c    from one configuration to the next
 *   ask.c      checks that are asked for from outside
 *   gate.c     what must not be asked now: a dead server, a full one, one that we harm
 *   guard.c    is it them or is it us?
 *   progress.c does monitoring move?
 *   recall.c   what outlives the process
 *   restamp.c  what is shown when somebody sets the clock
 *   trace.c    what --log-level debug says of each attempt
 */
#pragma once

#include "modelhealth/base/log.h"
#include "modelhealth/core/bucket.h"
#include "modelhealth/engine/engine.h"

enum check_phase {
	CHECK_IDLE,
	CHECK_QUEUED,  /* due, waits for a slot or a token */
	CHECK_RUNNING, /* an attempt is with its kind */
	CHECK_DONE,    /* the attempt is over, its settling is deferred */
	CHECK_BACKOFF, /* waits for the next attempt */
};

/* Asked for from outside: cheap checks first, the next tier when they are done. */
enum asked {
	ASKED_NOT,
	ASKED_WAITING,
	ASKED_UNDER_WAY,
};

enum {
	CHECK_MAGIC = 0x6d686368
};

/* What a kind works on, for the time of one attempt: there are only as many as checks may be under
 * way, and the next to start gets the one that is still in the cache. */
struct flight {
	struct probe probe;
	struct check *check;
	SLIST_ENTRY(flight) idle_link;
};

SLIST_HEAD(flight_list, flight);

struct check {
	unsigned magic; /* CHECK_MAGIC while alive: catches stale pointers in callbacks */
	struct check_view view;
	struct flight *flight; /* RUNNING, DONE: the attempt; else NULL */
	void *priv;            /* the kind's own, between two attempts */
	usec_t t0;             /* start of the attempt under way, or of the last; monotonic */
	struct endpoint *endpoint;
	struct config *running_config; /* the configuration an attempt started under; referenced */
	enum check_phase phase;
	bool kept;        /* during a reload: it lives on */
	bool is_urgent;   /* in the urgent line of its host */
	bool had_turn;    /* has waited for a token of its own: next in line gets it */
	bool is_spread;   /* its slot was moved already, after a pause of ours */
	bool is_gated;    /* gate.c has a say in its starts */
	bool is_parked;   /* QUEUED: out of its host's line while another inference runs there */
	bool is_in_round; /* the first round waits for it */
	enum asked asked;
	uint32_t kept_at;          /* slot of its record; 0 = it is not kept */
	struct spending *spending; /* of an inference; NULL = is none */
	struct memory *memory;     /* of a kind that remembers; NULL = does not */
	unsigned tries;            /* attempts of this run so far */
	usec_t anchor;             /* of the start grid, monotonic */
	usec_t planned;            /* the slot this run belongs to, or the next one while idle */
	usec_t slot_at;            /* planned time of the armed slot timer */
	usec_t not_before;         /* the server asked for patience; monotonic */
	usec_t queued_at;
	usec_t waited;        /* in line, over all attempts of this run */
	usec_t failing_since; /* guard: start of the first of its network failures in a row */
	struct timer slot;    /* always armed while monitoring: slots that pass are counted */
	/* RUNNING: the net under the kind's own deadline; BACKOFF: retry; QUEUED: its token */
	struct timer attempt;
	struct task settle;
	TAILQ_ENTRY(check) queue_link;
	struct limit *waits_for; /* QUEUED: out of its host's line until a token is there */
};

TAILQ_HEAD(check_queue, check);

/* The unit of per-host limits. Lives as long as an endpoint of the live configuration uses it. */
struct host {
	const char *name; /* of the live configuration */
	bool kept;        /* during a reload: it lives on */
	unsigned running;
	struct bucket bucket;
	unsigned per_host;                 /* most of `running` */
	struct check_queue urgent, normal; /* urgent: never checked, or coming back */
	struct timer token;                /* when a rate limit lets the next one start */
	struct engine *engine;
	TAILQ_ENTRY(host) ready_link;
	bool is_ready; /* on engine->ready */
	/* gate; all times monotonic, 0 = never */
	struct check *inference;     /* the one that is under way */
	struct check_queue parked;   /* inferences that wait for it */
	usec_t tokens_at;            /* end of the last one that gave tokens */
	usec_t full_until;           /* its counters or its own words say so */
	const struct check *full_by; /* who said it; only to compare */
	usec_t abandoned_at;         /* we broke one off, and have not seen the server idle since */
	/* Its effect on other checks may last so long; echo_until 0 = it has answered since. */
	usec_t echo_from, echo_until;
	usec_t quiet_until; /* it asked for patience (inferences without a key) */
	/* guard */
	bool counts;        /* speaks for our network: not loopback, or a witness */
	bool unreachable;   /* its last result was a failure of the network */
	usec_t answered_at; /* monotonic; last time it did not fail so */
};

TAILQ_HEAD(host_queue, host);

/* A rate limit that is not its host's. Who waits for it must not hold up the others of that host,
 * so each waits on a timer of its own, for a token of its own. */
struct limit {
	struct bucket bucket;
	unsigned waiting;
};

/* The unit of per-key limits. */
struct key {
	uint64_t hash;
	struct limit limit;
	usec_t quiet_until; /* the server asked for patience (inferences) */
};

struct endpoint {
	struct endpoint_view view;
	struct check **checks;
	struct check_view **check_views; /* what view.checks points to */
	size_t n_checks;
	uint32_t kept_at; /* slot of its record; 0 = it is not kept */
	bool is_at_odds;  /* with what an earlier process left: its state does not follow from it */
	struct host *host;
	struct key *key; /* NULL = no key */
	struct limit limit;
	usec_t asked_at; /* last on-demand check, monotonic */
};

struct engine {
	struct engine_setup setup;
	struct timers *timers;
	struct rand rand;
	struct config *config;
	struct endpoint **endpoints; /* in config order */
	struct endpoint **by_name;   /* sorted */
	struct endpoint_view **endpoint_views;
	size_t n_endpoints;
	struct host **hosts; /* sorted by name */
	size_t n_hosts;
	struct key *keys; /* sorted by hash */
	size_t n_keys;
	struct host_queue ready; /* hosts with checks that may start now, served round robin */
	bool pumping;
	bool stopped;
	struct flight_list idle_flights;
	size_t n_flights;
	size_t rounds_open; /* checks without a first result */
	usec_t settled_at;  /* last result, monotonic */
	usec_t applied_at;  /* last configuration, monotonic */
	struct snapshot snapshot;
	struct self_view self;
	struct engine_diff diff;
	const struct ledger_image *image; /* until the first configuration is applied */
	struct record *slots;             /* of the keeper; NULL = nothing is kept */
	size_t n_counting, n_unreachable; /* hosts, for the guard */
	usec_t online_since;              /* end of the last time offline; 0 = never offline */
	usec_t answered_t0; /* latest start of a check that a counting host answered */
	char *reload_error;
};

/* ---- schedule.c ---- */

/* Arms the first slot of a check in this process: goes on with the schedule that an earlier one left
 * in slot_at and not_before, else begins one. False when too much has passed, or nothing was left:
 * then it starts as at the first start of all. */
bool schedule_begin(struct engine *engine, struct check *check);

/* Plans the slot after the current one by what the check's state asks for. */
void schedule_next(struct engine *engine, struct check *check);

/* Keeps the last planned start but moves to a changed interval. */
void schedule_changed(struct engine *engine, struct check *check);

/* Puts an idle check in line and starts what may start. */
void schedule_enqueue(struct engine *engine, struct check *check);

/* Takes a queued check out of line, or gives its slot back. */
void schedule_dequeue(struct engine *engine, struct check *check);
void schedule_release(struct engine *engine, struct check *check);

/* Around a change of the limits: everything that waits for a token stands in line again, then
 * every line is looked at. */
void schedule_recall(struct engine *engine);
void schedule_review(struct engine *engine);

/* Its token is there: back into line, at the place of its age. */
void schedule_on_turn(struct engine *engine, struct check *check);

/* Starts waiting checks as far as limits allow. */
void schedule_pump(struct engine *engine);

/* Moves the slot of an idle check to the next moments: there is news that it should look at. */
void schedule_soon(struct engine *engine, struct check *check);

void schedule_on_slot(struct timer *timer);
void schedule_on_token(struct timer *timer);

/* ---- engine.c ---- */

/* Hands a check to its kind; it holds a slot. */
void engine_start_attempt(struct engine *engine, struct check *check);

/* Ends a run for which nothing had to be asked: the server's counters prove it. */
void engine_skip(struct engine *engine, struct check *check);

/* Makes sure that so many attempts can be under way at once. 0 or -ENOMEM. */
int engine_reserve_flights(struct engine *engine, size_t n);

/* Frees what the kind keeps of a check that is idle. */
void engine_fini_probe(struct engine *engine, struct check *check);

/* Ends whatever the check is doing, without a result. */
void engine_abandon(struct engine *engine, struct check *check);

void engine_on_attempt_timer(struct timer *timer);
void engine_on_settle(struct task *task);

/* Works out the endpoint's state and tells the outputs when it changed. */
void engine_judge(struct engine *engine, struct endpoint *endpoint, const struct check *check);

/* The first round need not wait for this check any more. */
void engine_end_round(struct engine *engine, struct check *check);

/* Logs "endpoint <name>: ..." with the fields ENDPOINT and CHECK, by which journalctl finds it. */
void engine_log(const struct check *check, enum log_level level, const char *message_id,
	const char *format, ...) _printf_(4, 5);

/* ---- ask.c ---- */

/* A run has ended, with a result or (suppressed) without: the next of those asked for may start. */
void engine_end_asked(struct engine *engine, struct check *check);

/* ---- gate.c ---- */

/* Why a due check must not start now; SUPPRESSED_NOT = it may. */
enum suppression gate_look(const struct engine *engine, const struct check *check);

/* Whether an inference may be left out because the server's counters prove that it works. */
bool gate_is_proven(const struct engine *engine, const struct check *check);

/* Counts a slot that came to nothing. */
void gate_suppress(struct engine *engine, struct check *check, enum suppression why);

/* Whether a failure may well be the effect of an inference that we broke off; it is marked so. */
bool gate_is_echo(const struct engine *engine, const struct check *check, struct result *result);

/* Takes what a settled result means for later starts on its host. */
void gate_note(struct engine *engine, struct check *check, const struct result *result);

/* An inference was broken off: the server may still be at it. */
void gate_note_abandoned(struct engine *engine, const struct check *check);

/* How long the server asks us to stay away. Who answers well has nothing to ask for. */
usec_t gate_patience(const struct result *result);

/* What the check's record says of its server, there and back. */
void gate_fill_pace(const struct check *check, struct record_pace *pace);
void gate_recall(struct engine *engine, struct check *check, const struct record_pace *pace);

/* How long an inference that was broken off again keeps its check away; sets not_before. */
void gate_delay(const struct engine *engine, struct check *check, const struct result *result);

/* After a result: starts soon what it gives reason to start. */
void gate_wake(struct engine *engine, const struct check *check);

/* ---- guard.c ---- */

/* Whether an endpoint's host can speak for our own network. */
void guard_classify(struct engine *engine);

/* Notes a result; true when it must not move any state because the fault may well be ours. */
bool guard_note(struct engine *engine, struct check *check, const struct result *result);

/* ---- recall.c ---- */

/* Takes up what an earlier process left of an endpoint; false when there is nothing. Checks that had
 * a slot have it in slot_at. */
bool recall_endpoint(struct engine *engine, struct endpoint *endpoint);

/* Gives every record its place, and writes them all: after each configuration. */
void recall_layout(struct engine *engine);

/* Writes what there is to know of a check and of its endpoint. */
void recall_note(struct engine *engine, const struct check *check);

/* ---- trace.c ---- */

/* An attempt has ended and is tried again when its timer fires. */
void trace_retry(
	const struct engine *engine, const struct check *check, const struct result *result);

/* A run has ended with a result, which is the check's last. */
void trace_result(const struct engine *engine, const struct check *check);

static inline bool is_inference(const struct check *check)
{
	return check->view.spec->cost.is_inference;
}

static inline struct engine *check_engine(const struct check *check)
{
	return check->endpoint->host->engine;
}
