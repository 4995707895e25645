/*
 * bus.c - `orlop bus stats`: the counters of every link.
 */
#include "cli.h"
#include "ctl.h"
#include "setup.h"
#include "table.h"

#include <stdio.h>

#include "base/ocleanup.h"

static void print(const struct ojson *list)
{
	static const char *const columns[] = { "LINK", "REQUESTS-IN", "REQUESTS-OUT", "FRAMES", "AGAIN", "QUEUED-PEAK",
					       "P50-US", "P99-US", NULL };
	struct table t;

	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, e, list) {
		table_add(&t, "%s", ojson_get_cstr(e, "name", ""));
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "requestsIn", 0));
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "requestsOut", 0));
		table_add(&t, "%lld", (long long)(ojson_get_i64(e, "framesIn", 0) + ojson_get_i64(e, "framesOut", 0)));
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "retransmitted", 0));
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "queuedPeak", 0));
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "p50Ns", 0) / 1000);
		table_add(&t, "%lld", (long long)ojson_get_i64(e, "p99Ns", 0) / 1000);
	}
	table_print(&t, stdout);
}

int cmd_bus_stats(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &json, NULL, "all counters, for programs" },
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
	if (r == 0)
		r = ctl_json(&c, ORLOP_ADMIN_BUS_STATS, NULL, &j, &err);
	if (r == 0 && json) {
		cleanup_free char *text = ojson_text(j, OJSON_PRETTY, NULL);

		puts(text ? text : "[]");
	} else if (r == 0) {
		print(j);
	}
	ctl_close(&c);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}
