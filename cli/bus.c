/*
 * bus.c - `orlop bus stats`: the counters of every link.
 */
#include "clean.h"
#include "cli.h"
#include "ctl.h"
#include "setup.h"
#include "table.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"

static int64_t num(const struct ojson *e, const char *name)
{
	return ojson_get_i64(e, name, 0);
}

static void print(const struct ojson *list)
{
	static const char *const columns[] = { "LINK", "REQ-IN", "REQ-OUT", "OPEN", "FRAMES", "BYTES", "P50-US",
					       "P99-US", "AGAIN", "QUEUED", "PEAK", "REFUSED", "RESET", NULL };
	struct table t;

	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		char name[128];
		char bytes[32];

		table_add(&t, "%s", clean_text(ojson_get_cstr(e, "name", ""), name, sizeof(name)));
		table_add(&t, "%lld", (long long)num(e, "requestsIn"));
		table_add(&t, "%lld", (long long)num(e, "requestsOut"));
		table_add(&t, "%lld", (long long)num(e, "open"));
		table_add(&t, "%lld", (long long)(num(e, "framesIn") + num(e, "framesOut")));
		table_add(&t, "%s", size_text((uint64_t)(num(e, "bytesIn") + num(e, "bytesOut")), bytes, sizeof(bytes)));
		table_add(&t, "%lld", (long long)num(e, "p50Ns") / 1000);
		table_add(&t, "%lld", (long long)num(e, "p99Ns") / 1000);
		table_add(&t, "%lld", (long long)num(e, "retransmitted"));
		table_add(&t, "%lld", (long long)num(e, "queued"));
		table_add(&t, "%lld", (long long)num(e, "queuedPeak"));
		table_add(&t, "%lld", (long long)num(e, "refused"));
		table_add(&t, "%lld", (long long)num(e, "resets"));
	}
	table_print(&t, stdout);
}

/* Again and again; the screen is cleared if there is one. */
static int watch(struct ctl *c, int64_t times, struct orlop_error *err)
{
	const struct timespec second = { .tv_sec = 1 };
	int r = 0;

	for (int64_t i = 0; r == 0 && (times == 0 || i < times); i++) {
		cleanup_ojson struct ojson *j = NULL;

		if (i)
			(void)nanosleep(&second, NULL);
		r = ctl_json(c, ORLOP_ADMIN_BUS_STATS, NULL, &j, err);
		if (r)
			break;
		if (isatty(1))
			fputs("\033[H\033[J", stdout);
		else if (i)
			putchar('\n');
		print(j);
		if (fflush(stdout))
			return 0;	/* nobody reads any more */
	}
	return r;
}

int cmd_bus_stats(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	bool again = false;
	int64_t times = 0;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &json, NULL, "all counters, for programs" },
		{ "watch", ARG_FLAG, &again, NULL, "again each second (-w)" },
		{ "count", ARG_NUMBER, &times, "N", "with --watch: end after N times" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct setup s = { .dir = NULL };
	struct ctl c = { .fd = -1 };
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	r = setup_open(dir, &s, &err);
	if (r == 0)
		r = ctl_open(s.control, &c, &err);
	if (r == 0 && again && !json)
		r = watch(&c, times, &err);
	else if (r == 0)
		r = ctl_json(&c, ORLOP_ADMIN_BUS_STATS, NULL, &j, &err);
	if (r == 0 && json) {
		cleanup_free char *text = ojson_text(j, OJSON_PRETTY, NULL);

		puts(text ? text : "[]");
	} else if (r == 0 && !again) {
		print(j);
	}
	ctl_close(&c);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}
