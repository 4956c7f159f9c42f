/* SPDX-License-Identifier: MIT */
/*
 * modelhealthd: argv to mode. Each mode is a file of its own: daemon.c, once.c, and the short ones
 * about configuration in confcmd.c.
 */
#include "modelhealth/app/options.h"
#include "modelhealth/app/services.h"
#include "modelhealth/base/sbuf.h"

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"Usage: modelhealthd [OPTION]...\n"
	"Watches AI model endpoints and tells the truth about them.\n"
	"\n"
	"  -c, --config FILE        configuration, default " MODELHEALTH_SYSCONFDIR
	"/modelhealthd/modelhealthd.yaml\n"
	"      --profiles DIR       own profiles of servers, NAME.yaml each, default " MODELHEALTH_SYSCONFDIR
	"/modelhealthd/profiles\n"
	"      --check              load the configuration, print every error, exit 0 or 2\n"
	"      --dump-config        print the effective configuration, secrets as ***\n"
	"      --list-types         print the types of servers that are known, and what they are\n"
	"      --once [NAME]...     check every endpoint (or those named) once and print the results,\n"
	"                           with one name also the phases of its inferences; exit 0 when all\n"
	"                           are up, 1 when some are not\n"
	"      --reload             make the running daemon load its configuration anew and wait for\n"
	"                           the outcome: 0 live, 2 refused, 3 no daemon\n"
	"      --output table|json  how --once prints, default table\n"
	"      --log-format text|json\n"
	"                           how to log to standard error, default text; under systemd the\n"
	"                           journal gets records with fields instead\n"
	"      --log-level LEVEL    err, warning, notice, info (default) or debug\n"
	"  -V, --version\n"
	"  -h, --help\n"
	"\n"
	"Signals: HUP loads the configuration anew, TERM and INT stop. See modelhealthd(8).\n";

enum {
	OPTION_CHECK = 256,
	OPTION_DUMP_CONFIG,
	OPTION_ONCE,
	OPTION_RELOAD,
	OPTION_OUTPUT,
	OPTION_LIST_TYPES,
	OPTION_PROFILES,
	OPTION_LOG_FORMAT,
	OPTION_LOG_LEVEL,
};

static const struct option long_options[] = {
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "config", required_argument, NULL, 'c' },
	{ "dump-config", no_argument, NULL, OPTION_DUMP_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ "list-types", no_argument, NULL, OPTION_LIST_TYPES },
	{ "log-format", required_argument, NULL, OPTION_LOG_FORMAT },
	{ "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "profiles", required_argument, NULL, OPTION_PROFILES },
	{ "reload", no_argument, NULL, OPTION_RELOAD },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int refuse(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "modelhealthd: %s: expected %s, got '%s'\n", option, expected, value);
	return EXIT_CONFIG;
}

/* Index of word in a list ended by NULL, -1 when it is not there. */
static int choose(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

static int parse_output(struct options *options, const char *value)
{
	int choice = choose(value, (const char *const[]){ "table", "json", NULL });

	options->as_json = choice == 1;
	return choice >= 0 ? -1 : refuse("--output", value, "table or json");
}

static int parse_log_format(struct options *options, const char *value)
{
	int choice = choose(value, (const char *const[]){ "text", "json", NULL });

	options->log_format = choice == 1 ? CONSOLE_JSON : CONSOLE_TEXT;
	options->log_format_is_set = true;
	return choice >= 0 ? -1 : refuse("--log-format", value, "text or json");
}

static bool is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int print_text(const char *text)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	sbuf_puts(&out, text);
	return print_answer(&out, EXIT_OK);
}

static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 'c':
		options->config_path = optarg;
		return -1;
	case 'h':
		return print_text(usage);
	case 'V':
		return print_text("modelhealthd " MODELHEALTH_VERSION "\n");
	case OPTION_CHECK:
		options->mode = RUN_CHECK;
		return -1;
	case OPTION_DUMP_CONFIG:
		options->mode = RUN_DUMP_CONFIG;
		return -1;
	case OPTION_ONCE:
		options->mode = RUN_ONCE;
		return -1;
	case OPTION_LIST_TYPES:
		options->mode = RUN_LIST_TYPES;
		return -1;
	case OPTION_PROFILES:
		options->profiles_dir = optarg;
		return is_directory(optarg) ? -1 : refuse("--profiles", optarg, "a directory");
	case OPTION_RELOAD:
		options->mode = RUN_RELOAD;
		return -1;
	case OPTION_OUTPUT:
		return parse_output(options, optarg);
	case OPTION_LOG_FORMAT:
		return parse_log_format(options, optarg);
	case OPTION_LOG_LEVEL:
		return log_level_from_text(optarg, &options->log_level)
			       ? -1
			       : refuse("--log-level", optarg,
					 "err, warning, notice, info or debug");
	default:
		fprintf(stderr, "Try 'modelhealthd --help'.\n"); /* getopt said what is wrong */
		return EXIT_CONFIG;
	}
}

/* Returns -1 to go on, or the exit code when all is said (--help, bad usage). */
static int read_options(int argc, char **argv, struct options *ret_options)
{
	struct options options = {
		.config_path = MODELHEALTH_SYSCONFDIR "/modelhealthd/modelhealthd.yaml",
		.profiles_dir = MODELHEALTH_SYSCONFDIR "/modelhealthd/profiles",
		.log_level = LOG_LEVEL_INFO,
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
		int code = parse_option(&options, option);

		if (code >= 0)
			return code;
	}
	options.names = argv + optind;
	if (options.names[0] && options.mode != RUN_ONCE) {
		fprintf(stderr,
			"modelhealthd: unexpected argument '%s' (names go with --once only)\n",
			options.names[0]);
		return EXIT_CONFIG;
	}
	*ret_options = options;
	return -1;
}

/* Configurations and large answers come and go as a whole: mapped on their own they leave no holes
 * behind, which a threshold that adapts itself would prevent. One arena serves both threads. Fast
 * bins would only be merged again and again: a TLS check frees a thousand small pieces at once,
 * then asks for large ones (5 % of its CPU). A refusal of any of these costs no more than it saves. */
static void tune_malloc(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_MXFAST, 0);
}

/* With standard error closed its number would go to the next descriptor that we open, and our log
 * to a target or a client. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

/* A core holds the keys that we hold. LimitCORE=0 (as in the unit, and usual in a shell) is no bar
 * where the kernel pipes cores to a program: that has to be told apart. With a higher limit a core
 * is wanted. It also keeps other processes of our user from reading our memory and environment. */
static void refuse_core(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0)
		(void)prctl(PR_SET_DUMPABLE, 0); /* cannot fail for 0 */
}

int main(int argc, char **argv)
{
	static int (*const modes[])(const struct options *) = {
		[RUN_DAEMON] = run_daemon,
		[RUN_CHECK] = run_check,
		[RUN_DUMP_CONFIG] = run_dump_config,
		[RUN_ONCE] = run_once,
		[RUN_RELOAD] = run_reload,
		[RUN_LIST_TYPES] = run_list_types,
	};
	struct options options;
	int code;

	fill_standard_fds();
	refuse_core();
	code = read_options(argc, argv, &options);
	tune_malloc();
	return code >= 0 ? code : modes[options.mode](&options);
}
