/*
 * status.c - `orlop status`: what runs, in a page.
 */
#include "cli.h"
#include "ctl.h"
#include "daemon.h"
#include "proc.h"
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"

static void print(const struct setup *s, const struct ojson *j, uint64_t rss_kb)
{
	static const char *const columns[] = { "MODULE", "STATE", "HEALTHY", "SINCE", "SAYS", NULL };
	char age[32];
	char size[32];
	struct table t;

	printf("orlopd %s (pid %lld, up %s), %s\n", ojson_get_cstr(j, "version", "?"),
	       (long long)ojson_get_i64(j, "pid", 0),
	       age_text((uint64_t)ojson_get_i64(j, "uptimeMs", 0), age, sizeof(age)),
	       ojson_get_bool(j, "ready", false) ? "ready" : "not ready");
	printf("data      %s\n", s->dir);
	if (s->join && !s->config)
		printf("api       that of %s\n", s->join);
	else if (!s->config)
		printf("api       https://127.0.0.1:%lld, kubeconfig %s/admin.kubeconfig\n", (long long)s->port, s->dir);
	printf("memory    %s resident, container monitors not counted\n",
	       size_text(rss_kb * 1024, size, sizeof(size)));
	printf("revision  %lld\n\n", (long long)ojson_get_i64(j, "revision", 0));
	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, m, ojson_get(j, "modules")) {
		table_add(&t, "%s", ojson_get_cstr(m, "name", ""));
		table_add(&t, "%s", ojson_get_cstr(m, "state", ""));
		table_add(&t, "%s", ojson_get_bool(m, "healthy", false) ? "yes" : "no");
		table_add(&t, "%s", age_text((uint64_t)ojson_get_i64(m, "sinceMs", 0), age, sizeof(age)));
		table_add(&t, "%s", ojson_get_cstr(m, "text", ""));
	}
	table_print(&t, stdout);
}

static int ask(const struct setup *s, bool json, struct orlop_error *err)
{
	cleanup_ojson struct ojson *j = NULL;
	cleanup_free char *text = NULL;
	struct ctl c;
	uint64_t rss_kb;
	bool ready;
	int r = ctl_open(s->control, &c, err);

	if (r)
		return r;
	r = ctl_json(&c, ORLOP_ADMIN_STATUS, NULL, &j, err);
	ctl_close(&c);
	if (r)
		return r;
	ready = ojson_get_bool(j, "ready", false);
	rss_kb = proc_tree_rss_kb((pid_t)ojson_get_i64(j, "pid", 0));
	if (!json) {
		print(s, j, rss_kb);
		return ready ? 0 : 1;
	}
	(void)ojson_set_i64(j, "rssKb", (int64_t)rss_kb);
	(void)ojson_set_i64(j, "port", s->port);
	(void)ojson_set_i64(j, "kubeletPort", s->kubelet_port);
	(void)ojson_set_cstr(j, "nodeName", s->node_name);
	(void)ojson_set_cstr(j, "bridge", s->bridge);
	(void)ojson_set_cstr(j, "cgroupRoot", s->cgroup_root);
	text = ojson_text(j, OJSON_PRETTY, NULL);
	puts(text ? text : "{}");
	return ready ? 0 : 1;
}

int cmd_status(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &json, NULL, "all of it, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	r = setup_open(dir, &s, &err);
	if (r == 0)
		r = ask(&s, json, &err);
	if ((r == -ENOENT || r == -ECONNREFUSED) && s.dir) {
		pid_t pid = daemon_pid(&s);

		if (pid > 0)
			(void)orlop_fail(&err, EAGAIN, 0, "", "orlopd (pid %ld) holds %s but does not answer; see %s/log/orlopd.log",
					 (long)pid, s.dir, s.dir);
		else
			(void)orlop_fail(&err, ENOENT, 0, "", "orlopd is not running on %s; start it: orlop up%s%s", s.dir,
					 s.usual ? "" : " --data-dir ", s.usual ? "" : s.dir);
	}
	setup_done(&s);
	return r < 0 ? cli_fail(&err) : r ? CLI_FAILED : CLI_OK;
}
