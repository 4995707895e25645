/*
 * tap.c - `orlop bus tap` and `orlop module trace`: messages of the bus while they pass, a line each.
 */
#include "clean.h"
#include "cli.h"
#include "ctl.h"
#include "ops.h"
#include "setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"

struct tap {
	const char	*link;
	const char	*address;
	const char	*op;
	const char	*trace;
	bool		bodies;
	bool		json;
	int64_t		count;
};

static int request_put(const struct tap *t, struct orlop_msgw *w, struct orlop_error *err)
{
	uint32_t op;
	char *end;

	if (t->link)
		orlop_msgw_str(w, ORLOP_ADMIN_T_NAME, t->link);
	if (t->address)
		orlop_msgw_str(w, ORLOP_ADMIN_T_TO, t->address);
	if (t->op && op_parse(t->address, t->op, &op))
		return orlop_fail(err, EINVAL, 0, "", "there is no op %s%s%s; give its number", t->op,
				  t->address ? " at " : "", t->address ? t->address : "");
	if (t->op)
		orlop_msgw_u64(w, ORLOP_ADMIN_T_OP, op);
	if (t->trace) {
		size_t len = strlen(t->trace);
		/* Of a traceparent's 32 digits the last 16 are ours. */
		const char *digits = len == 32 ? t->trace + 16 : t->trace;
		uint64_t v = strtoull(digits, &end, 16);

		if (*end || len == 0 || strlen(digits) > 16 || *digits == '-' || v == 0)
			return orlop_fail(err, EINVAL, 0, "", "%s is not a trace id: want 16 or 32 hexadecimal digits",
					  t->trace);
		orlop_msgw_u64(w, ORLOP_ADMIN_T_TRACE, v);
	}
	if (t->bodies)
		orlop_msgw_u64(w, ORLOP_ADMIN_T_BODIES, 1);
	return 0;
}

static void put_time(struct obuf *b, uint64_t wall_ns)
{
	time_t sec = (time_t)(wall_ns / 1000000000);
	struct tm tm;

	if (!localtime_r(&sec, &tm))
		memset(&tm, 0, sizeof(tm));
	obuf_printf(b, "%02d:%02d:%02d.%06u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		    (unsigned int)(wall_ns / 1000 % 1000000));
}

static void put_name(struct obuf *b, const char *name)
{
	if (*name)
		clean_put(b, name, strlen(name));
	else
		obuf_putc(b, '-');
}

/* 12:34:56.123456 cache -> controllers/replicaset pods note revision 123 */
static void put_note(struct obuf *b, const struct ojson *j)
{
	obuf_puts(b, " cache -> ");
	put_name(b, ojson_get_cstr(j, "to", ""));
	obuf_putc(b, ' ');
	put_name(b, ojson_get_cstr(j, "address", ""));
	obuf_printf(b, " note revision %lld\n", (long long)ojson_get_i64(j, "revision", 0));
}

/* 12:34:56.123456 0123456789abcdef apiserver#1 -> storage/lmdb storage.txn reply ok 120 B 0.31 ms */
static void put_line(struct obuf *b, const struct ojson *j)
{
	const char *kind = ojson_get_cstr(j, "kind", "?");
	const char *address = ojson_get_cstr(j, "address", "");
	int64_t status = ojson_get_i64(j, "status", 0);
	int64_t ns = ojson_get_i64(j, "latencyNs", 0);
	const char *body = ojson_get_cstr(j, "body", NULL);
	bool reply = !strcmp(kind, "reply");
	char buf[32];

	put_time(b, (uint64_t)ojson_get_i64(j, "at", 0));
	if (ojson_get(j, "revision")) {
		put_note(b, j);
		return;
	}
	obuf_puts(b, " ");
	obuf_puts(b, ojson_get_cstr(j, "trace", ""));
	obuf_putc(b, ' ');
	put_name(b, ojson_get_cstr(j, "from", ""));
	obuf_puts(b, " -> ");
	put_name(b, ojson_get_cstr(j, "to", ""));
	obuf_putc(b, ' ');
	put_name(b, address);
	if (strcmp(kind, "publish") && strcmp(kind, "event") && strcmp(kind, "note"))
		obuf_printf(b, ".%s", op_text(address, (uint32_t)ojson_get_i64(j, "op", 0), buf, sizeof(buf)));
	obuf_printf(b, " %s", kind);
	if (reply) {
		const char *name = status < 0 ? strerrorname_np((int)-status) : NULL;

		if (name)
			obuf_printf(b, " %s", name);
		else if (status < 0)
			obuf_printf(b, " %lld", (long long)status);
		else
			obuf_puts(b, " ok");
	}
	obuf_printf(b, " %lld B", (long long)ojson_get_i64(j, "bytes", 0));
	if (ns)
		obuf_printf(b, " %lld.%03lld ms", (long long)(ns / 1000000), (long long)(ns / 1000 % 1000));
	if (body) {
		obuf_puts(b, "  ");
		clean_put(b, body, strlen(body));
	}
	obuf_putc(b, '\n');
}

/* One line of JSON from the daemon; true: it counts. */
static bool put_one(const struct tap *t, struct obuf *b, struct orlop_bytes line)
{
	cleanup_ojson struct ojson *j = NULL;
	int64_t missed;

	if (ojson_parse_bytes(line, &j, NULL))
		return false;
	missed = ojson_get_i64(j, "missed", 0);
	if (t->json) {
		clean_put(b, line.p, line.len);
		obuf_putc(b, '\n');
	} else if (missed) {
		obuf_printf(b, "... %lld missed: more passed than could be shown\n", (long long)missed);
	} else {
		put_line(b, j);
	}
	return !missed;
}

/* True: as many as were asked for. */
static bool put_lines(const struct tap *t, struct obuf *b, struct orlop_bytes text, int64_t *n)
{
	while (text.len > 0) {
		const char *end = memchr(text.p, '\n', text.len);
		size_t len = end ? (size_t)(end - text.p) : text.len;

		if (len && put_one(t, b, (struct orlop_bytes){ text.p, len }) && ++*n == t->count)
			return true;
		len += end != NULL;
		text.p += len;
		text.len -= len;
	}
	return false;
}

static int stream(const struct tap *t, struct ctl *c, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct obuf out = OBUF_INIT;
	struct orlop_msgw w;
	int64_t n = 0;
	bool enough = false;
	int r;

	orlop_msgw_init(&w, NULL);
	r = request_put(t, &w, err);
	if (r == 0)
		r = ctl_send(c, ORLOP_ADMIN_TAP, &w, err);
	orlop_msgw_done(&w);
	while (r == 0 && !enough && (r = ctl_next(c, &answer, err)) > 0) {
		struct orlop_bytes text = ctl_field(&answer, ORLOP_ADMIN_T_TEXT);

		obuf_reset(&out);
		enough = text.p && put_lines(t, &out, text, &n);
		fwrite(obuf_cstr(&out), 1, out.len, stdout);
		r = fflush(stdout) ? orlop_fail(err, EPIPE, 0, "", "nobody reads any more") : 0;
	}
	obuf_done(&answer);
	obuf_done(&out);
	return r == -EPIPE ? 0 : r;
}

static int run(const char *dir, const struct tap *t)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	struct ctl c = { .fd = -1 };
	int r = setup_open(dir, &s, &err);

	if (r == 0)
		r = ctl_open(s.control, &c, &err);
	if (r == 0 && t->bodies)
		cli_say("bodies are shown: they may hold secrets, do not pass this on");
	if (r == 0)
		r = stream(t, &c, &err);
	ctl_close(&c);
	setup_done(&s);
	return r < 0 ? cli_fail(&err) : CLI_OK;
}

/* "storage" is storage/lmdb here: the daemon knows, and says so if there is none. */
static int resolve(const char *dir, const char *name, char *buf, size_t size)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct setup s = { .dir = NULL };
	struct ctl c = { .fd = -1 };
	int r = setup_open(dir, &s, &err);

	if (r == 0)
		r = ctl_open(s.control, &c, &err);
	if (r == 0)
		r = ctl_json(&c, ORLOP_ADMIN_MODULE_INFO, name, &j, &err);
	ctl_close(&c);
	setup_done(&s);
	if (r)
		return cli_fail(&err);
	(void)snprintf(buf, size, "%s", ojson_get_cstr(j, "name", name));
	return 0;
}

int cmd_bus_tap(const struct command *cmd, int argc, char **argv)
{
	struct tap t = { .count = 0 };
	const char *dir = NULL;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "link", ARG_TEXT, &t.link, "NAME", "only from or to this module" },
		{ "address", ARG_TEXT, &t.address, "A", "only to this address, and answers from it" },
		{ "op", ARG_TEXT, &t.op, "OP", "only this op, by name or number" },
		{ "trace", ARG_TEXT, &t.trace, "ID", "only what belongs to one request" },
		{ "count", ARG_NUMBER, &t.count, "N", "end after N messages" },
		{ "bodies", ARG_FLAG, &t.bodies, NULL, "with the beginning of each body, which may hold secrets" },
		{ "json", ARG_FLAG, &t.json, NULL, "a line of JSON each, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	int n = args_parse(cmd, args, argc, argv);
	char name[256];

	if (n < 0)
		return ARGS_EXIT(n);
	if (t.link && strcmp(t.link, "core") && !strchr(t.link, '#')) {
		if (resolve(dir, t.link, name, sizeof(name)))
			return CLI_FAILED;
		t.link = name;
	}
	return run(dir, &t);
}

int cmd_module_trace(const struct command *cmd, int argc, char **argv)
{
	struct tap t = { .count = 0 };
	const char *dir = NULL;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "trace", ARG_TEXT, &t.trace, "ID", "only what belongs to one request: 16 digits, or a traceparent's 32" },
		{ "count", ARG_NUMBER, &t.count, "N", "end after N messages" },
		{ "bodies", ARG_FLAG, &t.bodies, NULL, "with the beginning of each body, which may hold secrets" },
		{ "json", ARG_FLAG, &t.json, NULL, "a line of JSON each, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	int n = args_parse(cmd, args, argc, argv);
	char name[256];

	if (n < 0)
		return ARGS_EXIT(n);
	if (resolve(dir, argv[1], name, sizeof(name)))
		return CLI_FAILED;
	t.link = name;
	return run(dir, &t);
}
