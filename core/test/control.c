/* test/control.c - the control socket: questions, rubbish, slow and many clients. */
#include <orlop/admin.h>

#include "admin.h"
#include "kit.h"

static char dir[] = "/tmp/orlop-control-XXXXXX";
static struct core *c;
static int asked_to_end;

static void on_end(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	asked_to_end++;
}

/* Reads what there is; false at the end. */
static bool pull(int fd, struct obuf *b)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0)
		obuf_append(b, buf, (size_t)n);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static uint32_t u32(const struct obuf *b, size_t at)
{
	uint32_t v = 0;

	memcpy(&v, b->data + at, 4);
	return v;
}

static bool whole(const struct obuf *b)
{
	return b->len >= 8 && b->len >= 8 + (size_t)u32(b, 0);
}

static void put_frame(struct obuf *b, uint32_t op, const struct orlop_msg *m)
{
	uint32_t head[2] = { (uint32_t)m->body.len, op };

	obuf_append(b, head, 8);
	obuf_append(b, m->body.p, m->body.len);
}

/* One question; the answer's text field goes to @out. Returns the status. */
static int ask(int fd, uint32_t op, const char *name, const char *param, struct obuf *out)
{
	struct orlop_msgw w;
	struct orlop_msg m;
	struct obuf b = OBUF_INIT;
	struct orlop_msgr r;
	bool open = true;
	int status = -EPIPE;

	orlop_msgw_init(&w, NULL);
	if (name)
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
	if (param)
		orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, param);
	m = orlop_msgw_msg(&w);
	put_frame(&b, op, &m);
	orlop_msgw_done(&w);
	(void)!write(fd, b.data, b.len);
	obuf_reset(&b);
	(void)kit_until(c->main, !(open = pull(fd, &b)) || whole(&b));
	obuf_reset(out);
	if (whole(&b)) {
		status = (int)u32(&b, 4);
		orlop_msgr_init(&r, NULL, NULL, (struct orlop_bytes){ b.data + 8, u32(&b, 0) });
		if (orlop_msgr_next(&r))
			obuf_append(out, r.bytes.p, r.bytes.len);
	}
	obuf_done(&b);
	return status;
}

static int n_starting(void)
{
	int n = 0;

	OLIST_FOREACH(k, &c->instances)
		n += OLIST_ENTRY(k, struct core_instance, node)->state == CORE_STARTING;
	return n;
}

static void test_questions(void)
{
	struct obuf out = OBUF_INIT;
	char path[512];
	int fd = kit_dial(c);

	is_int(ask(fd, ORLOP_ADMIN_STATUS, NULL, NULL, &out), 0, "status");
	ok(strncmp(obuf_cstr(&out), "{\"version\":\"", 12) == 0 && strstr(obuf_cstr(&out), "\"modules\":[]"),
	   "is JSON: %s", obuf_cstr(&out));
	ok(strstr(obuf_cstr(&out), "\"endMs\":45000,") != NULL, "says how long its end may take");
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LOAD, kit_module("good", path, sizeof(path)), "number=5", &out), 0,
	       "load a module %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "list");
	ok(strstr(obuf_cstr(&out), "[{\"name\":\"test/good\",\"module\":\"test/good\",\"class\":\"test\","
		  "\"version\":\"1.2\",\"state\":\"ready\""), "shows it: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_INFO, "test/good", NULL, &out), 0, "info");
	ok(strstr(obuf_cstr(&out), "\"name\":\"number\",\"type\":\"int\",\"value\":\"5\",\"default\":\"42\""),
	   "shows parameters: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_STATS, "test/good", NULL, &out), 0, "stats");
	ok(strstr(obuf_cstr(&out), "\"module\":{\"answered\":0}"), "are the module's own: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_BUS_STATS, NULL, NULL, &out), 0, "bus");
	ok(strstr(obuf_cstr(&out), "{\"name\":\"core\","), "shows links: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_METRICS, NULL, NULL, &out), 0, "metrics");
	is_int(ask(fd, ORLOP_ADMIN_MODULE_UNLOAD, "test/nobody", NULL, &out), -ENOENT, "unload what is not there");
	is_str(obuf_cstr(&out), "no module test/nobody is loaded; `orlop module list` shows those that are", "in words");
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LOAD, "/etc/passwd", NULL, &out), -ENOEXEC, "load what is no module: %s",
	       obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LOAD, path, "nonsense", &out), -EINVAL, "a parameter without a value: %s",
	       obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_INFO, NULL, NULL, &out), -EINVAL, "no name: %s", obuf_cstr(&out));
	is_int(ask(fd, 77, NULL, NULL, &out), -ENOTSUP, "no such op: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_UNLOAD, "test/good", NULL, &out), 0, "unload");
	obuf_done(&out);
	close(fd);
}

static void test_changes(void)
{
	struct obuf out = OBUF_INIT;
	char path[512];
	int fd = kit_dial(c);

	(void)ask(fd, ORLOP_ADMIN_MODULE_LOAD, kit_module("swap", path, sizeof(path)), NULL, &out);
	is_int(ask(fd, ORLOP_ADMIN_MODULE_SET, "test/swap", "tag=other", &out), 0, "set a parameter");
	is_str(obuf_cstr(&out), "{\"changed\":1}", "says how many");
	is_int(ask(fd, ORLOP_ADMIN_MODULE_SET, "test/swap", "tag", &out), -EINVAL, "without a value: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_SET, "test/swap", NULL, &out), -EINVAL, "nothing: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_INFO, "test/swap", NULL, &out), 0, "info");
	ok(strstr(obuf_cstr(&out), "\"value\":\"other\",\"default\":\"first\",\"live\":true"), "shows it: %s",
	   obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_REPLACE, "test/swap", "delay_ms=3", &out), 0, "replace");
	ok(strstr(obuf_cstr(&out), "\"state\":\"ready\"") && strstr(obuf_cstr(&out), "\"stallUs\":"), "says how it went: %s",
	   obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_REPLACE, "nobody", NULL, &out), -ENOENT, "one that is not there: %s",
	       obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_RELOAD, NULL, NULL, &out), -ENOENT, "no file to read again: %s", obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_UNLOAD, "test/swap", NULL, &out), 0, "unload %s", obuf_cstr(&out));
	obuf_done(&out);
	close(fd);
}

/* Sends a change of a module that never calls ready(), and waits until it is under way. */
static int begin_never(uint32_t op, const char *name, const char *param)
{
	struct obuf b = OBUF_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;
	int fd = kit_dial(c);

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
	orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, param);
	m = orlop_msgw_msg(&w);
	put_frame(&b, op, &m);
	orlop_msgw_done(&w);
	(void)!write(fd, b.data, b.len);
	obuf_done(&b);
	ok(kit_until(c->main, n_starting() == 1), "a module that never calls ready()");
	return fd;
}

/* Who hangs up while a module is not ready takes it back out; one that was to be replaced serves on. */
static void test_hang_up(void)
{
	struct obuf out = OBUF_INIT;
	struct kit_load l;
	char path[512];
	const char *file = kit_module("badinit", path, sizeof(path));
	int fd = begin_never(ORLOP_ADMIN_MODULE_LOAD, file, "at=ready");
	int other = kit_dial(c);

	is_int(ask(other, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "list");
	ok(strstr(obuf_cstr(&out), "has not called ready(), ") && strstr(obuf_cstr(&out), " s of at most 20\""),
	   "says what it waits for: %s", obuf_cstr(&out));
	close(fd);
	ok(kit_until(c->main, !core_instance_find(c, "test/badinit")), "it is taken out when its asker hangs up");
	fd = begin_never(ORLOP_ADMIN_MODULE_LOAD, file, "at=ready");
	(void)shutdown(fd, SHUT_WR);
	is_int(ask(other, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "list");
	is_int(n_starting(), 1, "who says no more, and listens, still waits");
	kit_starting_left(c, 1);
	obuf_reset(&out);
	ok(kit_until(c->main, !pull(fd, &out) || whole(&out)) && whole(&out), "and is answered");
	is_int((int)u32(&out, 4), -ETIMEDOUT, "that it took too long");
	close(fd);
	is_int(kit_load_as(c, "badinit", NULL, "at", "later", &l), 0, "one that runs %s", l.msg);
	fd = begin_never(ORLOP_ADMIN_MODULE_REPLACE, "test/badinit", "at=ready");
	close(fd);
	ok(kit_until(c->main, !core_instance_find(c, "test/badinit")->rep), "what was to replace it is taken out, too");
	is_int(kit_unload(c, "test/badinit", &l), 0, "it is as it was before %s", l.msg);
	c->config->start_timeout_ns = 60 * KIT_SECOND;
	is_int(kit_load(c, "exclusive", &l), 0, "one that is replaced by closing first %s", l.msg);
	fd = begin_never(ORLOP_ADMIN_MODULE_REPLACE, "test/exclusive", "fail=never");
	kit_starting_left(c, 60 * KIT_SECOND);
	is_int(ask(other, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "list");
	ok(strstr(obuf_cstr(&out), "has not called ready(), ") && strstr(obuf_cstr(&out), " s of at most 5\""),
	   "has less time, because it is waited for: %s", obuf_cstr(&out));
	close(fd);
	c->config->start_timeout_ns = KIT_START_NS;
	ok(kit_until(c->main, core_instance_find(c, "test/exclusive") && !core_instance_find(c, "test/exclusive")->rep), "given up");
	is_int(kit_unload(c, "test/exclusive", &l), 0, "the old one is opened again %s", l.msg);
	close(other);
	obuf_done(&out);
}

static void test_forward(void)
{
	struct orlop_msgw in;
	struct orlop_msgw w;
	struct orlop_msg m;
	struct obuf b = OBUF_INIT;
	struct obuf big = OBUF_INIT;
	struct kit_load l;
	struct orlop_msgr r;
	int fd = kit_dial(c);

	(void)kit_load(c, "good", &l);
	for (int i = 0; i < 20000; i++)
		obuf_putc(&big, (char)('a' + i % 26));
	orlop_msgw_init(&in, NULL);
	orlop_msgw_bytes(&in, 1, big.data, big.len);
	m = orlop_msgw_msg(&in);
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_ADMIN_T_TO, "echo");
	orlop_msgw_u64(&w, ORLOP_ADMIN_T_OP, 1);
	orlop_msgw_bytes(&w, ORLOP_ADMIN_T_BODY, m.body.p, m.body.len);
	m = orlop_msgw_msg(&w);
	put_frame(&b, ORLOP_ADMIN_FORWARD, &m);
	orlop_msgw_done(&w);
	orlop_msgw_done(&in);
	(void)!write(fd, b.data, b.len);
	obuf_reset(&b);
	ok(kit_until(c->main, !pull(fd, &b) || whole(&b)) && whole(&b), "a forwarded question is answered");
	is_int((int)u32(&b, 4), 0, "well");
	orlop_msgr_init(&r, NULL, NULL, (struct orlop_bytes){ b.data + 8, u32(&b, 0) });
	ok(orlop_msgr_next(&r) && r.tag == ORLOP_ADMIN_T_BODY, "with a body");
	orlop_msgr_init(&r, NULL, NULL, r.bytes);
	ok(orlop_msgr_next(&r) && r.bytes.len == big.len && memcmp(r.bytes.p, big.data, big.len) == 0,
	   "20000 bytes there and back");
	obuf_done(&b);
	obuf_done(&big);
	(void)kit_unload(c, "test/good", &l);
	close(fd);
}

static void test_rubbish(void)
{
	struct obuf out = OBUF_INIT;
	uint32_t huge[2] = { 0xffffffffu, 1 };
	uint64_t seed = 1;
	int idle[80];
	int fd = kit_dial(c);
	int fds = kit_fds();

	(void)!write(fd, huge, 8);
	ok(kit_until(c->main, !pull(fd, &out) || whole(&out)) && whole(&out), "a frame of 4 GB is answered");
	is_int((int)u32(&out, 4), -E2BIG, "too big");
	close(fd);
	for (int i = 0; i < 200; i++) {
		char buf[256];

		fd = kit_dial(c);
		for (size_t k = 0; k < sizeof(buf); k++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			buf[k] = (char)(seed >> 40);
		}
		/* Sometimes a plausible head over a rubbish message; never the op that stops. */
		if (i % 2) {
			uint32_t head[2] = { 200, (uint32_t)(i % 8) };

			memcpy(buf, head, 8);
		}
		(void)!write(fd, buf, sizeof(buf));
		core_loop_turn(c->main, false);
		close(fd);
	}
	/* Many that say nothing: the last are turned away, the first may stay, all else goes on. */
	for (int i = 0; i < 80; i++) {
		idle[i] = kit_dial(c);
		core_loop_turn(c->main, false);
	}
	for (int i = 0; i < 80; i++)
		close(idle[i]);
	ok(kit_until(c->main, kit_fds() < fds), "connections that end are let go");
	fd = kit_dial(c);
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "after all that it still answers");
	is_str(obuf_cstr(&out), "[]", "as before");
	is_int(ask(fd, ORLOP_ADMIN_STOP, NULL, NULL, &out), 0, "stop is answered");
	ok(kit_until(c->main, asked_to_end), "before it happens");
	close(fd);
	obuf_done(&out);
}

/* A replacement that is over before its op returns. */
static void test_refused(void)
{
	struct obuf out = OBUF_INIT;
	char path[512];
	int fd = kit_dial(c);

	is_int(ask(fd, ORLOP_ADMIN_MODULE_LOAD, kit_module("exclusive", path, sizeof(path)), "fail=stop", &out), 0,
	       "one that refuses to stop");
	is_int(ask(fd, ORLOP_ADMIN_MODULE_REPLACE, "test/exclusive", NULL, &out), -EBUSY, "and is replaced by closing first: %s",
	       obuf_cstr(&out));
	is_int(ask(fd, ORLOP_ADMIN_MODULE_LIST, NULL, NULL, &out), 0, "list");
	ok(strstr(obuf_cstr(&out), "\"state\":\"ready\""), "it serves on");
	obuf_done(&out);
	close(fd);
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	c = kit_core();
	c->config->control = omem_printf("%s/orlop.sock", dir);
	c->end = on_end;
	is_int(core_control_start(c, &err), 0, "the control socket %s", err.msg);
	test_questions();
	test_changes();
	test_hang_up();
	test_forward();
	test_rubbish();
	test_refused();
	core_control_stop(c);
	ok(kit_end(c), "the core ends");
	(void)ofile_remove_tree(-100, dir);
	return done_testing();
}
