/*
 * args.c - options of commands: one table says what is accepted and what the help prints.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_say(const char *fmt, ...)
{
	va_list ap;

	fputs("orlop: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_fail(const struct orlop_error *err)
{
	cli_say("%s", err->msg[0] ? err->msg : err->err ? strerrordesc_np(err->err) : "failed");
	return CLI_FAILED;
}

static void help(const struct command *cmd, const struct arg *args)
{
	printf("usage: orlop %s [options]%s%s\n%s\n\noptions:\n", cmd->name, cmd->args ? " " : "",
	       cmd->args ? cmd->args : "", cmd->summary);
	for (const struct arg *a = args; a->name; a++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", a->name, a->meta ? " " : "", a->meta ? a->meta : "");
		printf("  %-24s %s\n", left, a->help);
	}
	printf("  %-24s %s\n", "--help", "this text");
}

static const struct arg *find(const struct arg *args, const char *name, size_t len)
{
	for (; args->name; args++)
		if (strlen(args->name) == len && !memcmp(args->name, name, len))
			return args;
	return NULL;
}

static int wrong(const struct command *cmd, const char *what, const char *arg, const char *why)
{
	cli_say("%s: %s%s: %s; see orlop help %s", cmd->name, what, arg, why, cmd->name);
	return -1 - CLI_USAGE;
}

static int take(const struct command *cmd, const struct arg *a, const char *value)
{
	char *rest;

	switch (a->kind) {
	case ARG_FLAG:
		*(bool *)a->to = true;
		return 0;
	case ARG_TEXT:
		if (!*value)
			return wrong(cmd, "--", a->name, "its value is empty");
		*(const char **)a->to = value;
		return 0;
	case ARG_NUMBER:
		errno = 0;
		*(int64_t *)a->to = strtoll(value, &rest, 10);
		if (errno || *rest || rest == value || *(int64_t *)a->to < 0)
			return wrong(cmd, "--", a->name, "its value is not a number");
		return 0;
	}
	return 0;
}

int args_parse(const struct command *cmd, const struct arg *args, int argc, char **argv)
{
	int n = 0;
	bool only_args = false;

	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];
		const char *eq;
		const struct arg *a;
		int r;

		if (only_args || s[0] != '-' || !s[1]) {
			argv[1 + n++] = argv[i];
			continue;
		}
		if (!strcmp(s, "--")) {
			only_args = true;
			continue;
		}
		if (!strcmp(s, "-w"))
			s = "--watch";
		if (!strcmp(s, "--help") || !strcmp(s, "-h")) {
			help(cmd, args);
			return -1 - CLI_OK;
		}
		eq = strchr(s, '=');
		a = strncmp(s, "--", 2) ? NULL : find(args, s + 2, eq ? (size_t)(eq - s - 2) : strlen(s + 2));
		if (!a)
			return wrong(cmd, "", s, "no such option");
		if (a->kind == ARG_FLAG && eq)
			return wrong(cmd, "", s, "takes no value");
		if (a->kind != ARG_FLAG && !eq && i + 1 == argc)
			return wrong(cmd, "", s, "needs a value");
		r = take(cmd, a, a->kind == ARG_FLAG ? "" : eq ? eq + 1 : argv[++i]);
		if (r)
			return r;
	}
	if (n < cmd->min_args)
		return wrong(cmd, "", cmd->args, "is missing");
	if (cmd->max_args >= 0 && n > cmd->max_args)
		return wrong(cmd, "", argv[1 + cmd->max_args], "is one argument too many");
	return n;
}
