/*
 * main.c - orlop: finds the command and runs it.
 */
#include "cli.h"

#include <orlop/types.h>
#include <orlop/module.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int cmd_version(const struct command *cmd, int argc, char **argv);
static int cmd_help(const struct command *cmd, int argc, char **argv);

const struct command cli_commands[] = {
	{ "up", NULL, "Start Orlop on this machine: data directory, certificates, configuration, daemon.", cmd_up, 0, 0 },
	{ "down", NULL, "Stop Orlop in order; with --wipe also end its pods and remove everything it made.", cmd_down, 0, 0 },
	{ "status", NULL, "What runs: daemon, modules, memory.", cmd_status, 0, 0 },
	{ "module list", NULL, "The modules that are loaded.", cmd_module_list, 0, 0 },
	{ "module info", "NAME", "All about one module.", cmd_module_info, 1, 1 },
	{ "module load", "MODULE [NAME=VALUE…]", "Load a module, class/name or a file, with parameters.", cmd_module_load, 1, -1 },
	{ "module unload", "NAME", "Unload a module that nothing needs.", cmd_module_unload, 1, 1 },
	{ "module replace", "NAME [FILE] [NAME=VALUE…]", "A new instance, of FILE or the same file, takes the place of a running module.",
	  cmd_module_replace, 1, -1 },
	{ "module set", "NAME NAME=VALUE…", "Change live parameters of a running module.", cmd_module_set, 2, -1 },
	{ "module check", "FILE [NAME=VALUE…]", "Is this file a module one would want to load?", cmd_module_check, 1, -1 },
	{ "module stats", "NAME", "Counters of a module.", cmd_module_stats, 1, 1 },
	{ "module trace", "NAME", "Requests in and out of a module while they pass.", cmd_module_trace, 1, 1 },
	{ "module debug", "NAME", "The state of a module in full; its log level, live.", cmd_module_debug, 1, 1 },
	{ "reload", NULL, "Read the configuration again: what may change while running changes, the rest is named.", cmd_reload, 0, 0 },
	{ "image list", NULL, "The container images on this machine.", cmd_image_list, 0, 0 },
	{ "image import", "FILE", "Take in an image from a docker or OCI archive.", cmd_image_import, 1, 1 },
	{ "image pull", "REFERENCE", "Fetch an image from its registry.", cmd_image_pull, 1, 1 },
	{ "image remove", "IMAGE…", "Remove images, by name or id.", cmd_image_remove, 1, -1 },
	{ "bus stats", NULL, "Counters of the message bus, by link.", cmd_bus_stats, 0, 0 },
	{ "bus tap", NULL, "Messages of the bus while they pass.", cmd_bus_tap, 0, 0 },
	{ "snapshot save", "FILE", "The whole store at one revision as a file, while it is in use.", cmd_snapshot_save, 1, 1 },
	{ "snapshot restore", "FILE", "Make a store out of such a file.", cmd_snapshot_restore, 1, 1 },
	{ "snapshot info", "FILE", "What is in such a file, and whether it is whole.", cmd_snapshot_info, 1, 1 },
	{ "storage check", NULL, "Is what is stored whole? Tables, history, objects.", cmd_storage_check, 0, 0 },
	{ "crash list", NULL, "What is known of crashes of the daemon.", cmd_crash_list, 0, 0 },
	{ "crash show", "[FILE]", "A crash report, by default the last, with names instead of addresses.", cmd_crash_show, 0, 1 },
	{ "version", NULL, "The version of this program.", cmd_version, 0, 0 },
	{ "help", "[COMMAND]", "How to use it.", cmd_help, 0, -1 },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};

static const struct arg no_args[] = { { NULL, ARG_FLAG, NULL, NULL, NULL } };

static int cmd_version(const struct command *cmd, int argc, char **argv)
{
	int n = args_parse(cmd, no_args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	printf("orlop %s (module ABI %u.%u)\n", ORLOP_VERSION, ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR);
	return CLI_OK;
}

/* The command that argv[0…] names, by one word or two; *@ret_words: how many. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
	for (const struct command *c = cli_commands; c->name; c++) {
		const char *blank = strchr(c->name, ' ');
		size_t n = blank ? (size_t)(blank - c->name) : strlen(c->name);

		if (strlen(argv[0]) != n || memcmp(argv[0], c->name, n))
			continue;
		if (blank && (argc < 2 || strcmp(argv[1], blank + 1)))
			continue;
		*ret_words = blank ? 2 : 1;
		return c;
	}
	return NULL;
}

/* "module" alone, or a word that is no command. */
static int unknown(int argc, char **argv)
{
	char list[256] = "";
	size_t len = strlen(argv[0]);

	for (const struct command *c = cli_commands; c->name; c++) {
		size_t at = strlen(list);

		if (!strncmp(c->name, argv[0], len) && c->name[len] == ' ')
			snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", c->name + len + 1);
	}
	if (list[0] && argc > 1)
		cli_say("%s has no command %s; it has: %s", argv[0], argv[1], list);
	else if (list[0])
		cli_say("%s: one of these must follow: %s", argv[0], list);
	else
		cli_say("there is no command %s; orlop help lists them", argv[0]);
	return CLI_USAGE;
}

static void usage(FILE *f)
{
	fputs("usage: orlop COMMAND [options]\n\n", f);
	for (const struct command *c = cli_commands; c->name; c++)
		fprintf(f, "  %-15s %s\n", c->name, c->summary);
	fputs("\norlop help COMMAND explains one. kubectl does the rest:\n"
	      "  export KUBECONFIG=" ORLOP_STATE_DIR "/admin.kubeconfig\n", f);
}

static int cmd_help(const struct command *cmd, int argc, char **argv)
{
	char ask[] = "--help";
	char *help_argv[2];
	const struct command *c;
	int words;
	int n = args_parse(cmd, no_args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	if (n == 0) {
		usage(stdout);
		return CLI_OK;
	}
	c = find(n, argv + 1, &words);
	if (!c)
		return unknown(n, argv + 1);
	help_argv[0] = argv[1];
	help_argv[1] = ask;
	return c->run(c, 2, help_argv);
}

int main(int argc, char **argv)
{
	const struct command *c;
	int words = 0;
	int code;

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version"))
		argv[1] += 2;
	c = find(argc - 1, argv + 1, &words);
	if (!c)
		return unknown(argc - 1, argv + 1);
	code = c->run(c, argc - words, argv + words);
	if (fflush(stdout) && code == CLI_OK)
		code = CLI_FAILED;
	return code;
}
