/*
 * look.c - `orlop module list`, `stats` and `debug`: modules from outside, for people.
 */
#include "clean.h"
#include "cli.h"
#include "ctl.h"
#include "ops.h"
#include "setup.h"
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"

static long long num(const struct ojson *j, const char *name)
{
	return (long long)ojson_get_i64(j, name, 0);
}

/* Asks one question about a module. */
static int ask(const char *dir, uint32_t op, const char *name, const char *level, struct ojson **ret,
	       struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct setup s = { .dir = NULL };
	struct ctl c = { .fd = -1 };
	struct orlop_msgw w;
	int r = setup_open(dir, &s, err);

	if (r == 0)
		r = ctl_open(s.control, &c, err);
	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		if (name)
			orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
		if (level)
			orlop_msgw_str(&w, ORLOP_ADMIN_T_LEVEL, level);
		r = ctl_call(&c, op, &w, &answer, err);
		orlop_msgw_done(&w);
	}
	if (r == 0 && ojson_parse_bytes(ctl_field(&answer, ORLOP_ADMIN_T_JSON), ret, NULL))
		r = orlop_fail(err, EBADMSG, 0, "", "the answer of orlopd cannot be read; is it of another version?");
	obuf_done(&answer);
	ctl_close(&c);
	setup_done(&s);
	return r;
}

static void print_json(const struct ojson *j)
{
	cleanup_free char *text = ojson_text(j, OJSON_PRETTY, NULL);

	puts(text ? text : "null");
}

static void print_wide(const struct ojson *list)
{
	static const char *const columns[] = { "NAME", "VERSION", "ABI", "STATE", "SHARDS", "CALLS", "REQUESTS", "TIMERS",
					       "WATCHES", "THREADS", "JOBS", "CHILDREN", "BUSY-MS", "BUILD-ID", NULL };
	static const char *const counts[] = { "calls", "requests", "timers", "watches", "threads", "jobs", "children" };
	struct table t;

	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		const struct ojson *held = ojson_get(e, "held");
		char text[128];

		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "name", ""), text, sizeof(text)));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "version", ""), text, sizeof(text)));
		table_add(&t, "%s", ojson_get_cstr(e, "abi", ""));
		table_add(&t, "%s", ojson_get_cstr(e, "state", ""));
		table_add(&t, "%lld", num(e, "shards"));
		for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
			table_add(&t, "%lld", num(held, counts[k]));
		table_add(&t, "%.1f", (double)num(e, "busyNs") / 1e6);
		table_add(&t, "%.16s", ojson_get_cstr(e, "buildId", ""));
	}
	table_print(&t, stdout);
}

static void print_list(const struct ojson *list)
{
	static const char *const columns[] = { "NAME", "CLASS", "VERSION", "STATE", "HEALTHY", "SAYS", NULL };
	/* Some have processes of their own. */
	static const char *const with_pid[] = { "NAME", "CLASS", "VERSION", "STATE", "HEALTHY", "PID", "RESTARTS", "SAYS",
						NULL };
	struct table t;
	bool any = false;

	OJSON_FOREACH_ELEM(k, o, list)
		any = any || num(o, "pid") || num(o, "restarts");
	table_init(&t, any ? with_pid : columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		char text[256];

		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "name", ""), text, sizeof(text)));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "class", ""), text, sizeof(text)));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "version", ""), text, sizeof(text)));
		table_add(&t, "%s", ojson_get_cstr(e, "state", ""));
		table_add(&t, "%s", ojson_get_bool(e, "healthy", false) ? "yes" : "no");
		if (any && num(e, "pid"))
			table_add(&t, "%lld", num(e, "pid"));
		else if (any)
			table_add(&t, "-");
		if (any)
			table_add(&t, "%lld", num(e, "restarts"));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "text", ""), text, sizeof(text)));
	}
	table_print(&t, stdout);
}

/* The members that are not 0, one line. */
static void print_counts(const char *what, const struct ojson *j)
{
	bool any = false;

	printf("%-9s", what);
	OJSON_FOREACH(it, j) {
		int64_t n = ojson_i64(it.value, 0);
		char name[64];

		if (n == 0)
			continue;
		printf(" %s=%lld", clean_text(it.key, name, sizeof(name)), (long long)n);
		any = true;
	}
	puts(any ? "" : " nothing");
}

static void print_shards(const struct ojson *list)
{
	static const char *const columns[] = { "LOOP", "CALLBACKS", "BUSY-MS", "LONGEST-MS", "LOOP-CPU-MS", "LOOP-TURNS",
					       NULL };
	struct table t;

	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		table_add(&t, "%s", ojson_get_cstr(e, "loop", ""));
		table_add(&t, "%lld", num(e, "callbacks"));
		table_add(&t, "%.3f", (double)num(e, "busyNs") / 1e6);
		table_add(&t, "%.3f", (double)num(e, "longestNs") / 1e6);
		table_add(&t, "%.1f", (double)num(e, "loopCpuNs") / 1e6);
		table_add(&t, "%lld", num(e, "loopTurns"));
	}
	table_print(&t, stdout);
}

static void print_links(const struct ojson *list)
{
	static const char *const columns[] = { "LINK", "REQ-IN", "REQ-OUT", "OPEN", "PEAK", "P50-US", "P99-US", "QUEUED",
					       "REFUSED", "RESET", NULL };
	struct table t;

	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		char name[128];

		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "name", ""), name, sizeof(name)));
		table_add(&t, "%lld", num(e, "requestsIn"));
		table_add(&t, "%lld", num(e, "requestsOut"));
		table_add(&t, "%lld", num(e, "open"));
		table_add(&t, "%lld", num(e, "openPeak"));
		table_add(&t, "%lld", num(e, "p50Ns") / 1000);
		table_add(&t, "%lld", num(e, "p99Ns") / 1000);
		table_add(&t, "%lld", num(e, "queued"));
		table_add(&t, "%lld", num(e, "refused"));
		table_add(&t, "%lld", num(e, "resets"));
	}
	table_print(&t, stdout);
}

static void print_own(const struct ojson *own)
{
	cleanup_free char *text = own ? ojson_text(own, OJSON_PRETTY, NULL) : NULL;
	struct obuf b = OBUF_INIT;

	if (!text)
		return;
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");

		clean_put(&b, p, n);
		obuf_putc(&b, '\n');
		p += n + (p[n] == '\n');
	}
	printf("\nof itself it says:\n%s", obuf_cstr(&b));
	obuf_done(&b);
}

static void print_stats(const struct ojson *j)
{
	char age[32];
	char name[128];

	printf("%s is %s since %s\n", clean_text(ojson_get_cstr(j, "name", ""), name, sizeof(name)),
	       ojson_get_cstr(j, "state", ""), age_text((uint64_t)num(j, "sinceMs"), age, sizeof(age)));
	print_counts("holds", ojson_get(j, "held"));
	putchar('\n');
	print_shards(ojson_get(j, "shards"));
	putchar('\n');
	print_links(ojson_get(j, "links"));
	print_own(ojson_get(j, "module"));
}

static void print_messages(const struct ojson *list)
{
	static const char *const columns[] = { "AGO-MS", "KIND", "FROM", "TO", "WHAT", "STATUS", "BYTES", "MS", "TRACE",
					       NULL };
	struct table t;

	if (!ojson_count(list))
		return;
	puts("\nlast messages:");
	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *address = ojson_get_cstr(e, "address", "");
		char a[128];
		char buf[32];

		table_add(&t, "%.1f", (double)num(e, "agoNs") / 1e6);
		table_add(&t, "%s", ojson_get_cstr(e, "kind", ""));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "from", "-"), a, sizeof(a)));
		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "to", "-"), a, sizeof(a)));
		table_add(&t, "%s.%s", clean_text(address, a, sizeof(a)),
			  op_text(address, (uint32_t)num(e, "op"), buf, sizeof(buf)));
		table_add(&t, "%lld", num(e, "status"));
		table_add(&t, "%lld", num(e, "bytes"));
		table_add(&t, "%.3f", (double)num(e, "latencyNs") / 1e6);
		table_add(&t, "%s", ojson_get_cstr(e, "trace", ""));
	}
	table_print(&t, stdout);
}

int cmd_module_list(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	bool wide = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "wide", ARG_FLAG, &wide, NULL, "what each holds, the time it took, its build" },
		{ "json", ARG_FLAG, &json, NULL, "the answer as it comes, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int n = args_parse(cmd, args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	if (ask(dir, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &j, &err))
		return cli_fail(&err);
	if (json)
		print_json(j);
	else if (wide)
		print_wide(j);
	else
		print_list(j);
	return CLI_OK;
}

int cmd_module_stats(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &json, NULL, "the answer as it comes, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int n = args_parse(cmd, args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	if (ask(dir, ORLOP_ADMIN_MODULE_STATS, argv[1], NULL, &j, &err))
		return cli_fail(&err);
	if (json)
		print_json(j);
	else
		print_stats(j);
	return CLI_OK;
}

int cmd_module_debug(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	const char *level = NULL;
	bool json = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "log-level", ARG_TEXT, &level, "LEVEL",
		  "what it logs from now on: error, warn, info, debug; default: as all do" },
		{ "json", ARG_FLAG, &json, NULL, "the answer as it comes, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int n = args_parse(cmd, args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	if (ask(dir, ORLOP_ADMIN_MODULE_DEBUG, argv[1], level, &j, &err))
		return cli_fail(&err);
	if (json) {
		print_json(j);
		return CLI_OK;
	}
	printf("file      %s\nbuild-id  %s\nlog level %s\n", ojson_get_cstr(j, "path", ""),
	       ojson_get_cstr(j, "buildId", ""), ojson_get_cstr(j, "logLevel", ""));
	if (level)
		return CLI_OK;
	print_stats(j);
	print_messages(ojson_get(j, "messages"));
	return CLI_OK;
}
