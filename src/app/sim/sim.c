/* SPDX-License-Identifier: MIT */
/*
 * modelhealth-sim: simulated model servers with faults, for demonstrations, fire drills, tests
 * and benchmarks. This file reads the command line, wires the servers to the loop and runs it.
 */
#include "modelhealth/app/sim/load.h"
#include "modelhealth/app/sim/server.h"
#include "modelhealth/base/duration.h"
#include "modelhealth/base/log.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	EXIT_USAGE = 2,
	ERROR_SIZE = 256
};

static void print_help(void)
{
	printf("modelhealth-sim [--config FILE] [--listen ADDRESS[,KEY=VALUE]...]... [OPTION]...\n"
	       "Simulated model servers on loopback, with faults.\n\n"
	       "  --chats FILE      write when each chat was asked and had its tokens, as JSON lines\n"
	       "  --config FILE     YAML: control, seed, and servers with the settings below\n"
	       "  --control ADDRESS answer GET /_sim and POST /_sim/fault here\n"
	       "  --listen SERVER   one server: its address, then settings; may be repeated\n"
	       "  --quiet           say nothing when faults begin and end\n"
	       "  --seed N          of every random choice (default 1)\n"
	       "  --help, --version\n\n"
	       "Settings of a server:\n");
	for (size_t i = 0; i < script_keys_count; i++) {
		const struct script_key *key = &script_keys[i];

		printf("  %s=%s\n        %s", key->name, key->value, key->help);
		if (key->preset)
			printf(" (default %s)", key->preset);
		printf("\n");
	}
	printf("\nFaults:\n");
	for (enum fault fault = 0; fault < FAULT_N; fault++)
		printf("  %-14s%s\n", fault_table[fault].name, fault_table[fault].help);
	printf("\nEvery server answers GET /v1/models, GET /metrics (in the words of vLLM) and\n"
	       "POST /v1/chat/completions and /v1/embeddings; /health and every other path give the plain answer.\n"
	       "Control: curl -X POST 'http://ADDRESS/_sim/fault?name=FAULT&server=NAME&for=30s'\n"
	       "(no server: all; no for: until &set=off; name=none ends every fault).\n");
}

/* Tells every error of the file. */
static int load_config(struct load *load, const char *path)
{
	_cleanup_(sbuf_fini) struct sbuf errors = SBUF_INIT;
	int r = load_file(load, path, &errors);

	fputs(sbuf_str(&errors), stderr);
	return r;
}

/* What the command line says apart from the servers. */
struct settings {
	bool is_quiet;
	const char *chats; /* a file, or NULL */
};

enum {
	OPTION_CHATS,
	OPTION_CONFIG,
	OPTION_CONTROL,
	OPTION_HELP,
	OPTION_LISTEN,
	OPTION_QUIET,
	OPTION_SEED,
	OPTION_VERSION
};

static const struct option long_options[] = {
	{ "chats", required_argument, NULL, OPTION_CHATS },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

static int refuse(const char *error)
{
	fprintf(stderr, "modelhealth-sim: %s\n", error);
	return EXIT_USAGE;
}

/* Returns -1 to go on, or the exit status. */
static int take_option(struct load *load, struct settings *settings, int option)
{
	char error[ERROR_SIZE] = "";
	int r = 0;

	switch (option) {
	case OPTION_CHATS:
		settings->chats = optarg;
		break;
	case OPTION_CONFIG:
		return load_config(load, optarg) < 0 ? EXIT_USAGE : -1; /* all is told */
	case OPTION_CONTROL:
		r = load_control(load, optarg, error, sizeof error);
		break;
	case OPTION_HELP:
		print_help();
		return EXIT_SUCCESS;
	case OPTION_LISTEN:
		r = load_server(load, optarg, error, sizeof error);
		break;
	case OPTION_QUIET:
		settings->is_quiet = true;
		break;
	case OPTION_SEED:
		r = load_seed(load, optarg, error, sizeof error);
		break;
	case OPTION_VERSION:
		printf("modelhealth-sim %s\n", MODELHEALTH_VERSION);
		return EXIT_SUCCESS;
	default:
		fprintf(stderr, "modelhealth-sim --help tells the options\n");
		return EXIT_USAGE;
	}
	return r < 0 ? refuse(error) : -1;
}

/* Returns -1 to go on, or the exit status. */
static int read_options(int argc, char **argv, struct load *load, struct settings *settings)
{
	char error[ERROR_SIZE];
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int status = take_option(load, settings, option);

		if (status >= 0)
			return status;
	}
	if (optind < argc) {
		(void)snprintf(error, sizeof error, "unexpected argument \"%s\"", argv[optind]);
		return refuse(error);
	}
	return load->n_scripts > 0 ? -1 : refuse("no server; --listen or --config gives one");
}

static void print_record(void *ctx, const struct log_record *record)
{
	(void)ctx;
	fprintf(stderr, "modelhealth-sim: %s\n", record->message);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* without it we serve fewer connections at once */
}

static void on_stop(void *arg, int signal_number)
{
	(void)signal_number;
	loop_stop(arg);
}

static int watch_signals(struct loop *loop)
{
	static const struct sigaction ignore = { .sa_handler = SIG_IGN };
	int r = loop_signal(loop, SIGINT, on_stop, loop);

	(void)sigaction(SIGPIPE, &ignore, NULL); /* cannot fail with these arguments */
	return r < 0 ? r : loop_signal(loop, SIGTERM, on_stop, loop);
}

/* Starts as many as it can and counts them in sim, so that fini_servers ends exactly those. */
static int start_servers(struct sim *sim, const struct load *load, char *ret_error, size_t size)
{
	sim->servers = calloc(load->n_scripts, sizeof *sim->servers);
	if (!sim->servers)
		return -ENOMEM;
	for (size_t i = 0; i < load->n_scripts; i++) {
		struct server *server = &sim->servers[i];
		int r = server_init(server, sim, &load->scripts[i], ret_error, size);

		sim->n_servers++;
		server->is_control = &load->scripts[i] == load->control;
		if (r == 0)
			r = server_start(server, ret_error, size);
		if (r < 0)
			return r;
	}
	return 0;
}

static void fini_servers(struct sim *sim)
{
	for (size_t i = 0; i < sim->n_servers; i++)
		server_fini(&sim->servers[i]);
	free(sim->servers);
}

static int run(const struct load *load, FILE *chats)
{
	struct sim sim = { .chats = chats };
	char error[ERROR_SIZE] = "out of memory";
	int r = loop_new(&sim.loop);

	rand_seed(&sim.rand, load->seed);
	if (r == 0)
		r = watch_signals(sim.loop);
	if (r == 0)
		r = start_servers(&sim, load, error, sizeof error);
	if (r == 0) {
		printf("modelhealth-sim: ready, %zu servers\n",
			load->n_scripts - (load->control ? 1 : 0));
		(void)fflush(stdout); /* whoever waits for the line finds it missing */
		r = loop_run(sim.loop);
	}
	if (r < 0)
		fprintf(stderr, "modelhealth-sim: %s\n", error);
	fini_servers(&sim);
	(void)loop_free(sim.loop);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct load load;
	struct settings settings = { 0 };
	FILE *chats = NULL;
	int status = EXIT_FAILURE;

	if (load_init(&load) == 0)
		status = read_options(argc, argv, &load, &settings);
	if (status < 0 && settings.chats && !(chats = fopen(settings.chats, "we"))) {
		fprintf(stderr, "modelhealth-sim: %s: %s\n", settings.chats, strerror(errno));
		status = EXIT_FAILURE;
	}
	if (status < 0) {
		if (!settings.is_quiet)
			log_set_sink(print_record, NULL, LOG_LEVEL_INFO);
		raise_descriptor_limit();
		status = run(&load, chats);
	}
	if (chats && fclose(chats) != 0 && status == EXIT_SUCCESS)
		status = EXIT_FAILURE; /* the file is not whole */
	load_fini(&load);
	return status;
}
