/* SPDX-License-Identifier: MIT */
#include "modelhealth/app/services.h"

#include "modelhealth/base/messages.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/conffile.h"
#include "modelhealth/io/dns.h"
#include "modelhealth/io/httpc.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are neither a check's nor a status client's: listeners, epoll, DNS, files that
 * a reload opens. */
enum {
	RESERVED_FDS = 24
};

static void describe(
	const char *path, const struct conf_errors *errors, int error, struct sbuf *out)
{
	conf_errors_print(errors, out);
	if (errors->n == 0)
		sbuf_printf(out, "modelhealthd: %s: %s\n", path, strerror(-error));
}

void complain(const char *path, const struct conf_errors *errors, int error)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	describe(path, errors, error, &text);
	(void)fputs(sbuf_str(&text), stderr);
}

int print_answer(const struct sbuf *answer, int code)
{
	if (answer->failed) {
		fprintf(stderr, "modelhealthd: out of memory\n");
		return EXIT_SYSTEM;
	}
	if (fputs(sbuf_str(answer), stdout) >= 0 && fflush(stdout) == 0)
		return code;
	if (errno == EPIPE)
		return code; /* who reads has had enough, as head(1) has */
	fprintf(stderr, "modelhealthd: cannot write to standard output: %s\n", strerror(errno));
	return EXIT_SYSTEM;
}

bool load_or_complain(const struct options *options, struct config **ret_config)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	int r = conffile_load(
		options->config_path, options->profiles_dir, check_kinds, &errors, ret_config);

	if (r < 0)
		complain(options->config_path, &errors, r);
	return r == 0;
}

/* A record for each mistake, which journalctl -x explains. */
static void log_mistakes(const char *path, const struct conf_errors *errors, int error)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	const char *line;

	describe(path, errors, error, &text);
	for (line = sbuf_str(&text); *line;) {
		int len = (int)strcspn(line, "\n");

		log_printf(LOG_LEVEL_ERR, MSG_START_FAILED, "cannot start: %.*s", len, line);
		line += len + (line[len] == '\n' ? 1 : 0);
	}
}

bool services_load(
	const struct services *services, const struct options *options, struct config **ret_config)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	int r;

	if (!services->journal)
		return load_or_complain(options, ret_config);
	r = conffile_load(
		options->config_path, options->profiles_dir, check_kinds, &errors, ret_config);
	if (r < 0)
		log_mistakes(options->config_path, &errors, r);
	return r == 0;
}

static void raise_fd_limit(void)
{
	struct rlimit limit;

	/* The soft limit is low only for programs that use select(); we do not. */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* services_fit_limits sees what came of it */
}

void services_start_log(struct services *services, const struct options *options)
{
	services->console = (struct console){ .fd = console_own_fd(STDERR_FILENO),
		.format = options->log_format };
	if (!options->log_format_is_set && journal_is_stderr() &&
		journal_open(JOURNAL_SOCKET, &services->journal) == 0)
		log_set_sink(journal_sink, services->journal, options->log_level);
	else
		log_set_sink(console_sink, &services->console, options->log_level);
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN },
		NULL); /* cannot fail for a valid signal */
	raise_fd_limit();
}

int services_open(struct services *services)
{
	int r = loop_new(&services->io.loop);

	if (r == 0)
		r = dns_new(services->io.loop, NULL, &services->io.dns);
	if (r == 0)
		r = httpc_new(services->io.loop, services->io.dns, &services->io.httpc);
	if (r < 0)
		log_printf(LOG_LEVEL_ERR, MSG_START_FAILED, "cannot start: %s", strerror(-r));
	return r;
}

void services_close(struct services *services)
{
	services->io.httpc = services->io.httpc ? httpc_free(services->io.httpc) : NULL;
	services->io.dns = services->io.dns ? dns_free(services->io.dns) : NULL;
	services->io.loop = loop_free(services->io.loop);
	log_set_sink(NULL, NULL, LOG_LEVEL_ERR);
	services->journal = journal_close(services->journal);
	if (services->console.fd > STDERR_FILENO)
		closep(&services->console.fd);
}

uint64_t services_log_dropped(const struct services *services)
{
	return services->console.dropped_total +
	       (services->journal ? journal_dropped_total(services->journal) : 0);
}

void services_tell_log_loss(const struct services *services, const char *state)
{
	if (services->journal)
		journal_tell_loss(services->journal, state);
}

void services_fit_limits(const struct services *services, struct config *config)
{
	rlim_t reserved = RESERVED_FDS + httpc_held_fds(services->io.httpc);
	struct limits *limits = &config->limits;
	struct rlimit files;
	rlim_t clients, checks;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
		return;
	clients = min_of((rlim_t)limits->status_clients, files.rlim_cur / 4);
	checks = files.rlim_cur > reserved + clients ? files.rlim_cur - reserved - clients : 1;
	limits->status_clients = (unsigned)clients;
	if (checks >= limits->concurrency)
		return;
	log_printf(LOG_LEVEL_WARNING, MSG_LOCAL_LIMIT,
		"limits.concurrency is %u, but %ju open files allow only %ju checks at once; the "
		"others wait (raise LimitNOFILE= or lower limits.concurrency)",
		limits->concurrency, (uintmax_t)files.rlim_cur, (uintmax_t)checks);
	limits->concurrency = (unsigned)checks;
}
