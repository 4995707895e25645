/*
 * Options of commands: both spellings, values, mistakes.
 */
#include "base/otap.h"

#include "cli.h"

#include <stdio.h>
#include <string.h>

struct got {
	const char	*dir;
	int64_t		port;
	bool		wipe;
	int		n;
	char		*argv[10];
};

static const struct command cmd = { .name = "try", .args = "FILE", .summary = "A test.", .min_args = 0, .max_args = 2 };

/* Words separated by blanks. */
static int parse(const char *line, struct got *g)
{
	static char words[256];
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &g->dir, "DIR", "" },
		{ "port", ARG_NUMBER, &g->port, "N", "" },
		{ "wipe", ARG_FLAG, &g->wipe, NULL, "" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	char *save = NULL;
	int argc = 0;

	memset(g, 0, sizeof(*g));
	snprintf(words, sizeof(words), "try %s", line);
	for (char *w = strtok_r(words, " ", &save); w && argc < 9; w = strtok_r(NULL, " ", &save))
		g->argv[argc++] = w;
	g->n = args_parse(&cmd, args, argc, g->argv);
	return g->n;
}

int main(void)
{
	struct got g;

	/* What is said of mistakes is tests/e2e's affair. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	ok(parse("", &g) == 0, "nothing");
	ok(parse("--data-dir /x --port=7 --wipe", &g) == 0 && !strcmp(g.dir, "/x") && g.port == 7 && g.wipe,
	   "values after a blank and after =");
	ok(parse("a --wipe b", &g) == 2 && !strcmp(g.argv[1], "a") && !strcmp(g.argv[2], "b") && g.wipe,
	   "other arguments keep their order");
	ok(parse("-- --wipe", &g) == 1 && !strcmp(g.argv[1], "--wipe") && !g.wipe, "after -- nothing is an option");
	ok(parse("-", &g) == 1, "- is an argument");
	ok(ARGS_EXIT(parse("--nope", &g)) == CLI_USAGE, "an unknown option");
	ok(ARGS_EXIT(parse("-x", &g)) == CLI_USAGE, "an unknown letter");
	ok(ARGS_EXIT(parse("--port", &g)) == CLI_USAGE, "a value is missing");
	ok(ARGS_EXIT(parse("--port=", &g)) == CLI_USAGE, "a value is empty");
	ok(ARGS_EXIT(parse("--port 7x", &g)) == CLI_USAGE, "half a number");
	ok(ARGS_EXIT(parse("--port -7", &g)) == CLI_USAGE, "a number below zero");
	ok(ARGS_EXIT(parse("--port 99999999999999999999", &g)) == CLI_USAGE, "a number too large");
	ok(ARGS_EXIT(parse("--wipe=yes", &g)) == CLI_USAGE, "a flag with a value");
	ok(ARGS_EXIT(parse("--dat x", &g)) == CLI_USAGE, "options are not shortened");
	ok(ARGS_EXIT(parse("a b c", &g)) == CLI_USAGE, "one argument too many");
	return done_testing();
}
