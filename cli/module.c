/*
 * module.c - `orlop module …`: what the core of a running daemon says about modules and does to them.
 */
#include "cli.h"
#include "ctl.h"
#include "setup.h"
#include "table.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"

#define FIRST_WORD_MS	2000	/* to say what is being waited for */
#define NEXT_WORD_MS	10000

/* What all of these have in common. */
struct module_cmd {
	const char	*dir;
	bool		json;
	const char	*name;		/* load: instance */
	bool		isolated;	/* load, replace: in a process of its own */
	bool		in_process;	/* replace: in the daemon's */
	struct setup	s;
	struct ctl	c;
	int		n;		/* other arguments */
};

static int begin(const struct command *cmd, int argc, char **argv, struct module_cmd *m, struct orlop_error *err)
{
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &m->dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &m->json, NULL, "the answer as it comes, for programs" },
		{ "isolated", ARG_FLAG, &m->isolated, NULL, "load, replace: in a process of its own" },
		{ "in-process", ARG_FLAG, &m->in_process, NULL, "load, replace: in the daemon's process" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n) == CLI_OK ? 1 : ARGS_EXIT(n) == CLI_USAGE ? 2 : -EINVAL;
	m->n = n;
	m->c.fd = -1;
	r = setup_open(m->dir, &m->s, err);
	if (r == 0)
		r = ctl_open(m->s.control, &m->c, err);
	return r;
}

static int end(struct module_cmd *m, int r, const struct orlop_error *err)
{
	ctl_close(&m->c);
	setup_done(&m->s);
	if (r == 1)
		return CLI_OK;		/* the help was asked for */
	if (r == 2)
		return CLI_USAGE;
	return r ? cli_fail(err) : CLI_OK;
}

static void print_json(const struct ojson *j)
{
	cleanup_free char *text = ojson_text(j, OJSON_PRETTY, NULL);

	puts(text ? text : "null");
}

static void print_list(const char *what, const struct ojson *list)
{
	if (!ojson_count(list))
		return;
	printf("%-10s", what);
	OJSON_FOREACH_ELEM(i, e, list)
		printf(" %s", ojson_cstr(e, ""));
	putchar('\n');
}

/* "pods;create" "pods;delete" become "pods;create;delete", as its author wrote it. */
static void print_asks(struct ojson *asks)
{
	const char *last = "";
	size_t n = 0;

	if (!asks)
		return;		/* whatever its user may */
	printf("%-10s%s", "asks", ojson_count(asks) ? "" : " nothing");
	OJSON_FOREACH(it, asks) {
		const char *semi = strchr(it.key, ';');
		bool more = semi && n == (size_t)(semi - it.key) && strncmp(it.key, last, n) == 0;

		printf("%s%s", more ? "" : " ", more ? semi : it.key);
		last = it.key;
		n = semi ? (size_t)(semi - it.key) : 0;
	}
	putchar('\n');
}

static void print_info(const struct ojson *j)
{
	static const char *const columns[] = { "PARAMETER", "TYPE", "VALUE", "LIVE", "MEANING", NULL };
	static const char *const lines[] = { "name", "summary", "version", "abi", "license", "path", "buildId", "user",
					     "state", "text", "isolation", "rights", "lastExit" };
	struct table t;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (*ojson_get_cstr(j, lines[i], ""))
			printf("%-10s %s\n", lines[i], ojson_get_cstr(j, lines[i], ""));
	printf("%-10s %lld\n", "shards", (long long)ojson_get_i64(j, "shards", 1));
	print_list("provides", ojson_get(j, "provides"));
	print_list("needs", ojson_get(j, "needs"));
	print_list("reads", ojson_get(j, "reads"));
	print_asks(ojson_get(j, "asks"));
	if (!ojson_count(ojson_get(j, "parameters")))
		return;
	putchar('\n');
	table_init(&t, columns);
	OJSON_FOREACH_ELEM(i, p, ojson_get(j, "parameters")) {
		const char *v = ojson_get_cstr(p, "value", "");

		table_add(&t, "%s", ojson_get_cstr(p, "name", ""));
		table_add(&t, "%s", ojson_get_cstr(p, "type", ""));
		table_add(&t, "%s", *v ? v : "-");
		table_add(&t, "%s", ojson_get_bool(p, "live", false) ? "yes" : "no");
		table_add(&t, "%s", ojson_get_cstr(p, "help", ""));
	}
	table_print(&t, stdout);
}

int cmd_module_info(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0)
		r = ctl_json(&m.c, ORLOP_ADMIN_MODULE_INFO, argv[1], &j, &err);
	if (r == 0 && m.json)
		print_json(j);
	else if (r == 0)
		print_info(j);
	return end(&m, r, &err);
}

/* A file is meant from here, not from where the daemon stands. */
static void put_file(struct orlop_msgw *w, uint32_t tag, const char *name)
{
	cleanup_free char *file = strstr(name, ".so") && name[0] != '/' ? realpath(name, NULL) : NULL;

	orlop_msgw_str(w, tag, file ? file : name);
}

static void put_isolation(struct orlop_msgw *w, const struct module_cmd *m)
{
	if (m->isolated || m->in_process)
		orlop_msgw_str(w, ORLOP_ADMIN_T_ISOLATION, m->isolated ? "process" : "none");
}

/* What is not ready yet, and why: on stderr, for who waits for it. */
static void say_waits(const char *path)
{
	struct ctl c = { .fd = -1 };
	cleanup_ojson struct ojson *j = NULL;

	if (ctl_open(path, &c, NULL) == 0 && ctl_json(&c, ORLOP_ADMIN_MODULE_LIST, NULL, &j, NULL) == 0)
		OJSON_FOREACH_ELEM(i, e, j) {
			const char *state = ojson_get_cstr(e, "state", "");

			if (!strcmp(state, "loaded") || !strcmp(state, "starting"))
				fprintf(stderr, "orlop: %s is not ready: %s (start_timeout_s); waiting, Ctrl-C takes it back out\n",
					ojson_get_cstr(e, "name", "?"), ojson_get_cstr(e, "text", ""));
		}
	ctl_close(&c);
}

/* ctl_call() for what may take as long as a module takes to start. */
static int call_patient(struct module_cmd *m, uint32_t op, struct orlop_msgw *w, struct obuf *ret, struct orlop_error *err)
{
	int r = ctl_send(&m->c, op, w, err);
	int wait_ms = FIRST_WORD_MS;

	if (r)
		return r;
	for (; !ctl_wait(&m->c, wait_ms); wait_ms = NEXT_WORD_MS)
		say_waits(m->c.path);
	return ctl_recv(&m->c, ret, err);
}

/* Sends @w, prints the answer as it is or hands it out. */
static int change(struct module_cmd *m, uint32_t op, struct orlop_msgw *w, struct ojson **ret, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct orlop_bytes text;
	int r = op == ORLOP_ADMIN_MODULE_REPLACE ? call_patient(m, op, w, &answer, err) :
		ctl_call(&m->c, op, w, &answer, err);

	if (r == 0) {
		text = ctl_field(&answer, ORLOP_ADMIN_T_JSON);
		if (m->json)
			printf("%.*s\n", (int)text.len, text.p ? text.p : "");
		else
			(void)ojson_parse_bytes(text, ret, NULL);
	}
	obuf_done(&answer);
	return r;
}

int cmd_module_replace(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct orlop_msgw w;
	int r = begin(cmd, argc, argv, &m, &err);
	int i = 2;

	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, argv[1]);
		if (m.n > 1 && !strchr(argv[2], '='))
			put_file(&w, ORLOP_ADMIN_T_FILE, argv[i++]);
		for (; i <= m.n; i++)
			orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, argv[i]);
		put_isolation(&w, &m);
		r = change(&m, ORLOP_ADMIN_MODULE_REPLACE, &w, &j, &err);
		orlop_msgw_done(&w);
	}
	if (r == 0 && j)
		printf("%s %s serves; requests waited %.1f ms\n", ojson_get_cstr(j, "name", argv[1]),
		       ojson_get_cstr(j, "version", ""), (double)ojson_get_i64(j, "stallUs", 0) / 1000);
	return end(&m, r, &err);
}

int cmd_module_set(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct orlop_msgw w;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, argv[1]);
		for (int i = 2; i <= m.n; i++)
			orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, argv[i]);
		r = change(&m, ORLOP_ADMIN_MODULE_SET, &w, &j, &err);
		orlop_msgw_done(&w);
	}
	if (r == 0 && j)
		printf("%lld changed; the configuration file is as it was\n", (long long)ojson_get_i64(j, "changed", 0));
	return end(&m, r, &err);
}

int cmd_reload(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct orlop_msgw w;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		r = change(&m, ORLOP_ADMIN_RELOAD, &w, &j, &err);
		orlop_msgw_done(&w);
	}
	if (r == 0 && j) {
		OJSON_FOREACH_ELEM(i, e, ojson_get(j, "changed"))
			printf("changed: %s\n", ojson_cstr(e, ""));
		OJSON_FOREACH_ELEM(i, e, ojson_get(j, "notChanged"))
			printf("not changed: %s\n", ojson_cstr(e, ""));
		if (!ojson_count(ojson_get(j, "changed")) && !ojson_count(ojson_get(j, "notChanged")))
			puts("nothing has changed");
	}
	return end(&m, r, &err);
}

int cmd_module_load(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		put_file(&w, ORLOP_ADMIN_T_NAME, argv[1]);
		for (int i = 1; i < m.n; i++)
			orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, argv[1 + i]);
		put_isolation(&w, &m);
		r = call_patient(&m, ORLOP_ADMIN_MODULE_LOAD, &w, &answer, &err);
		orlop_msgw_done(&w);
	}
	if (r == 0) {
		struct orlop_bytes text = ctl_field(&answer, ORLOP_ADMIN_T_JSON);
		cleanup_ojson struct ojson *j = NULL;

		if (m.json)
			printf("%.*s\n", (int)text.len, text.p ? text.p : "");
		else if (ojson_parse_bytes(text, &j, NULL) == 0)
			printf("%s %s is %s\n", ojson_get_cstr(j, "name", argv[1]), ojson_get_cstr(j, "version", ""),
			       ojson_get_cstr(j, "state", "loaded"));
	}
	obuf_done(&answer);
	return end(&m, r, &err);
}

int cmd_module_unload(const struct command *cmd, int argc, char **argv)
{
	struct module_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0) {
		orlop_msgw_init(&w, NULL);
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, argv[1]);
		r = ctl_call(&m.c, ORLOP_ADMIN_MODULE_UNLOAD, &w, &answer, &err);
		orlop_msgw_done(&w);
	}
	if (r == 0)
		printf("%s is unloaded\n", argv[1]);
	obuf_done(&answer);
	return end(&m, r, &err);
}
