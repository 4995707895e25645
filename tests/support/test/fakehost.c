/*
 * The fake host by its own means: a small module that counts pods by node, copies them to the API,
 * runs timers, work, children, sockets and requests; then the same with lost notes and a crash.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/api.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

#include "base/otap.h"
#include "fakehost.h"

/* ---- a module -------------------------------------------------------------------------------------- */

struct mod {
	const struct orlop_host *h;
	struct orlop_resource *pods;
	struct orlop_timer *timer;
	uint64_t	cursor;
	int		listed, added, modified, deleted, stale, ticks, worked, waited;
	int		on_n1;
	int32_t		api_code;
	struct orlop_call *slow;
};

static void mod_list(struct mod *m)
{
	struct orlop_query q = { .size = sizeof(q), .has_index = 1 };
	struct orlop_snapshot *s;
	struct orlop_iter *it;

	if (m->h->snapshot_open(m->pods, &s))
		return;
	m->listed++;
	m->cursor = m->h->snapshot_rev(s);
	q.index = (uint32_t)m->h->resource_index(m->pods, "spec.nodeName");
	q.index_value = OBYTES("n1");
	m->on_n1 = 0;
	if (m->h->iter_open(s, &q, &it) == 0) {
		while (m->h->iter_next(it))
			m->on_n1++;
		m->h->iter_close(it);
	}
	m->h->snapshot_close(s);
}

static void mod_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct mod *m = arg;
	struct orlop_change v[16];
	int32_t n;

	(void)rev;
	while ((n = m->h->journal_read(res, &m->cursor, v, 16)) != 0) {
		if (n == -ESTALE) {
			m->stale++;
			mod_list(m);
			continue;
		}
		for (int32_t i = 0; i < n; i++) {
			m->added += v[i].type == ORLOP_CHANGE_ADDED;
			m->modified += v[i].type == ORLOP_CHANGE_MODIFIED;
			m->deleted += v[i].type == ORLOP_CHANGE_DELETED;
			m->h->object_unref(v[i].object);
			m->h->object_unref(v[i].prev);
		}
	}
}

static void mod_tick(void *arg)
{
	((struct mod *)arg)->ticks++;
}

static void mod_work(void *arg)
{
	((struct mod *)arg)->worked++;
}

static int mod_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct mod *m = calloc(1, sizeof(*m));

	if (h->param_bool(h, "refuse")) {
		free(m);
		return orlop_fail(err, EINVAL, 0, "", "refuses, as it was told");
	}
	m->h = h;
	*ret_ctx = m;
	return h->resource_open(h, "pods", &m->pods, err);
}

static int mod_start(void *ctx, struct orlop_error *err)
{
	struct mod *m = ctx;

	(void)err;
	m->h->resource_watch(m->pods, mod_note, m);
	(void)m->h->timer_new(m->h, mod_tick, m, &m->timer);
	m->h->timer_set(m->timer, FAKEHOST_S, FAKEHOST_S);
	(void)m->h->work(m->h, 0, mod_work, mod_work, m);
	OLOG(m->h, INFO, "started", "resync=%s", m->h->param(m->h, "resync"));
	m->h->ready(m->h);
	return 0;
}

static int mod_stop(void *ctx, struct orlop_error *err)
{
	struct mod *m = ctx;

	(void)err;
	m->h->timer_free(m->timer);
	m->h->resource_close(m->pods);
	return 0;
}

static int op_echo(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	struct mod *m = ctx;

	(void)err;
	m->h->call_done(call, 0, &req->msg, NULL);
	return 0;
}

static int op_fail(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	return orlop_fail(err, EBUSY, 503, "ServiceUnavailable", "no");
}

static int op_slow(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	(void)req;
	(void)err;
	((struct mod *)ctx)->slow = call;
	return 0;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[4];
} mod_ops = { sizeof(mod_ops), 0, { NULL, op_echo, op_fail, op_slow } };

static const struct orlop_param mod_params[] = {
	{ "resync", ORLOP_PARAM_INT, 0, "30", "seconds" },
};

ORLOP_MODULE("counter", "controllers", "0.1", "reads=pods",
	     .init = mod_init, .start = mod_start, .stop = mod_stop, .fini = free, .ops = &mod_ops,
	     .params = mod_params, .n_params = 1);

/* ---- helpers ------------------------------------------------------------------------------------------ */

static void api_answered(void *arg, int32_t status, const struct orlop_msg *msg,
			 const struct orlop_error *err, uint32_t flags)
{
	int32_t *ret = arg;

	(void)err;
	(void)flags;
	*ret = status < 0 ? status : (int32_t)orlop_msg_u64(msg, ORLOP_API_T_CODE, 0);
}

static int32_t api(struct fakehost *fh, const char *verb, const char *name, const char *sub,
		   const char *body)
{
	const struct orlop_host *h = fakehost_host(fh);
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_REQUEST, .to = "api" };
	struct orlop_msgw w;
	int32_t code = 0;

	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, ORLOP_API_T_VERB, verb);
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "pods");
	orlop_msgw_str(&w, ORLOP_API_T_NAMESPACE, "default");
	orlop_msgw_str(&w, ORLOP_API_T_NAME, name);
	orlop_msgw_str(&w, ORLOP_API_T_SUBRESOURCE, sub);
	orlop_msgw_str(&w, ORLOP_API_T_BODY, body);
	send.msg = orlop_msgw_msg(&w);
	(void)h->request(h, &send, api_answered, &code, NULL);
	orlop_msgw_done(&w);
	(void)fakehost_run(fh);
	return code;
}

static void waited(void *arg, int32_t status)
{
	*(int32_t *)arg = status;
}

struct child {
	int32_t		code, sig;
	int		done;
};

static void child_exited(void *arg, int32_t code, int32_t sig)
{
	*(struct child *)arg = (struct child){ code, sig, 1 };
}

static int child_done(void *arg)
{
	return ((struct child *)arg)->done;
}

static int child_script(void *arg, const struct orlop_spawn *s, int32_t pid, int32_t *ret_code,
			int32_t *ret_sig)
{
	(void)ret_sig;
	*(int32_t *)arg = pid;
	if (strcmp(s->argv[0], "/missing") == 0)
		return -ENOENT;
	*ret_code = 3;
	return strcmp(s->argv[0], "/stays") == 0;
}

struct conn {
	const struct orlop_host *h;
	int		accepted, connected;
};

static void conn_accepted(void *arg, int32_t fd, const char *peer)
{
	(void)peer;
	((struct conn *)arg)->accepted = fd;
}

static void conn_connected(void *arg, int32_t fd)
{
	((struct conn *)arg)->connected = fd;
}

static int conn_both(void *arg)
{
	struct conn *c = arg;

	return c->accepted && c->connected;
}

static void thread_main(void *arg)
{
	const struct orlop_host *h = ((void **)arg)[0];

	(void)h->post(h, mod_work, ((void **)arg)[1]);
}

static int worked_3(void *arg)
{
	return ((struct mod *)arg)->worked >= 3;
}

static void test_cache(struct fakehost *fh, struct mod *m)
{
	int32_t status = 1;
	uint64_t rev;

	is_int(m->listed, 1, "the first note lists");
	is_int(m->on_n1, 1, "by the index of a field");
	fakehost_put(fh, "pods", "default", "b", "{\"spec\":{\"nodeName\":\"n1\"}}");
	fakehost_putf(fh, "pods", "default", "b", "{\"spec\":{\"nodeName\":\"%s\"}}", "n2");
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_run_until_idle(fh);
	ok(m->added == 1 && m->modified == 1 && m->deleted == 1, "the journal has all changes");
	fakehost_lose_notes(fh, 1);
	rev = fakehost_put(fh, "pods", "default", "c", NULL);
	(void)fakehost_run(fh);
	is_int(m->added, 1, "a note is lost");
	fakehost_advance(fh, 30 * FAKEHOST_MS);
	is_int(m->added, 2, "and repeated");
	(void)m->h->cache_wait(m->pods, rev, FAKEHOST_S, waited, &status);
	(void)fakehost_run(fh);
	is_int(status, 0, "cache_wait for what is there");
	status = 1;
	(void)m->h->cache_wait(m->pods, rev + 1, FAKEHOST_S, waited, &status);
	fakehost_put(fh, "nodes", "", "n1", NULL);
	(void)fakehost_run(fh);
	is_int(status, 0, "cache_wait for another resource's revision");
	status = 1;
	(void)m->h->cache_wait(m->pods, rev + 100, FAKEHOST_S, waited, &status);
	fakehost_advance(fh, 2 * FAKEHOST_S);
	is_int(status, -ETIMEDOUT, "cache_wait times out");
	fakehost_relist(fh);
	(void)fakehost_run(fh);
	is_int(m->stale, 2, "a list anew makes cursors stale");
	ok(strstr(fakehost_get(fh, "pods", "default", "b"), "\"nodeName\":\"n2\"") != NULL, "get");
	is_int(fakehost_count(fh, "pods"), 2, "count");
}

static void test_api(struct fakehost *fh)
{
	fakehost_api(fh);
	is_int(api(fh, "create", "", "", "{\"metadata\":{\"generateName\":\"w-\",\"namespace\":\"default\"}}"), 201,
	       "created by generateName");
	is_int(api(fh, "create", "b", "", "{}"), 409, "exists");
	is_int(api(fh, "get", "nobody", "", ""), 404, "is not there");
	is_int(api(fh, "patch", "b", "", "{\"metadata\":{\"labels\":{\"x\":\"1\"},\"finalizers\":[\"f\"]}}"), 200,
	       "patched");
	is_int(api(fh, "update", "b", "status", "{\"status\":{\"phase\":\"Running\"}}"), 200, "status");
	is_int(api(fh, "update", "b", "", "{\"metadata\":{\"resourceVersion\":\"1\"}}"), 409, "conflict");
	ok(strstr(fakehost_get(fh, "pods", "default", "b"), "\"x\":\"1\"") &&
	   strstr(fakehost_get(fh, "pods", "default", "b"), "Running"), "both are there");
	is_int(api(fh, "delete", "b", "", ""), 200, "deleted");
	ok(strstr(fakehost_get(fh, "pods", "default", "b"), "deletionTimestamp") != NULL, "but it has a finalizer");
	is_int(api(fh, "patch", "b", "", "{\"metadata\":{\"finalizers\":null}}"), 200, "no more");
	ok(fakehost_get(fh, "pods", "default", "b") == NULL, "gone");
	is_int(api(fh, "create", "c", "binding", "{\"target\":{\"name\":\"n7\"}}"), 201, "bound");
	ok(strstr(fakehost_get(fh, "pods", "default", "c"), "\"nodeName\":\"n7\"") != NULL, "to its node");
	is_int(fakehost_api_count(fh, "create pods"), 3, "the log has all requests");
}

static void test_bus(struct fakehost *fh, struct mod *m)
{
	struct fakehost_reply r;
	struct orlop_msgw w;
	struct orlop_msg msg;
	char *big = calloc(1, 20000);

	orlop_msgw_init(&w, fakehost_host(fh));
	orlop_msgw_u64(&w, 1, 42);
	orlop_msgw_bytes(&w, 2, big, 20000);
	msg = orlop_msgw_msg(&w);
	r = fakehost_call(fh, "controllers/counter", 1, &msg);
	is_int(r.status, 0, "echo");
	is_int(orlop_msg_u64(&r.msg, 1, 0), 42, "the field is back");
	is_int(orlop_msg_bytes(fakehost_host(fh), &r.msg, 2).len, 20000, "and the blob");
	fakehost_reply_done(&r);
	orlop_msgw_done(&w);
	free(big);
	r = fakehost_call(fh, "controllers", 2, NULL);
	ok(r.status == -EBUSY && r.err.http == 503, "an error arrives with its reason");
	fakehost_reply_done(&r);
	r = fakehost_call(fh, "controllers", 9, NULL);
	is_int(r.status, -ENOTSUP, "no such op");
	fakehost_reply_done(&r);
	r = fakehost_call(fh, "controllers", 3, NULL);
	is_int(r.status, -ETIMEDOUT, "no answer in time");
	fakehost_reply_done(&r);
	m->h->call_done(m->slow, 0, NULL, NULL);	/* too late: harmless */
	r = fakehost_call(fh, "nobody", 1, NULL);
	is_int(r.status, -EHOSTUNREACH, "nobody there");
	fakehost_reply_done(&r);
}

static void test_outside(struct fakehost *fh, struct mod *m)
{
	const struct orlop_host *h = fakehost_host(fh);
	const char *argv[] = { "/bin/sh", "-c", "exit 7", NULL };
	struct orlop_spawn s = { .size = sizeof(s), .argv = argv };
	struct orlop_listener *l;
	struct orlop_child *c = NULL;
	struct child ch = { 0, 0, 0 };
	struct conn conn = { h, 0, 0 };
	void *args[2] = { (void *)(uintptr_t)m->h, m };
	void *thread;
	char addr[64], buf[8] = "";
	int32_t pid = 0;

	is_int(h->spawn(h, &s, child_exited, &ch, &c, NULL), 0, "a real child");
	ok(fakehost_run_until(fh, child_done, &ch, FAKEHOST_S) && ch.code == 7, "ends with its code");
	h->child_free(c);
	argv[0] = "/nonexistent";
	is_int(h->spawn(h, &s, child_exited, &ch, &c, NULL), -ENOENT, "no such program");
	fakehost_spawn_hook(fh, child_script, &pid);
	ch.done = 0;
	is_int(h->spawn(h, &s, child_exited, &ch, &c, NULL), 0, "a scripted child");
	(void)fakehost_run(fh);
	ok(ch.done && ch.code == 3, "ends at once");
	h->child_free(c);
	argv[0] = "/stays";
	ch.done = 0;
	(void)h->spawn(h, &s, child_exited, &ch, &c, NULL);
	(void)h->child_kill(c, SIGTERM);
	(void)fakehost_run(fh);
	ok(!ch.done && fakehost_child_signal(fh, pid) == SIGTERM, "another ignores SIGTERM");
	fakehost_child_exit(fh, pid, 0, SIGKILL);
	(void)fakehost_run(fh);
	ok(ch.done && ch.sig == SIGKILL, "and ends when told");
	h->child_free(c);

	is_int(h->listen(h, "127.0.0.1:0", conn_accepted, &conn, &l, NULL), 0, "listen");
	h->listener_addr(l, addr, sizeof(addr));
	(void)h->connect(h, addr, FAKEHOST_S, conn_connected, &conn);
	ok(fakehost_run_until(fh, conn_both, &conn, FAKEHOST_S), "connected to %s", addr);
	ok(write(conn.connected, "hello", 5) == 5 && read(conn.accepted, buf, 5) == 5, "both ends");
	(void)close(conn.accepted);
	(void)close(conn.connected);
	h->listener_close(l);

	(void)m->h->thread_start(m->h, "t", thread_main, args, &thread);
	ok(fakehost_run_until(fh, worked_3, m, FAKEHOST_S), "a thread posts");
	m->h->thread_join(m->h, thread);
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct fakehost *fh = fakehost_new();
	struct fakehost_module *fm = NULL;
	struct mod *m;
	uint64_t a = 0, b = 0, t;

	fakehost_param(fh, "refuse", "true");
	ok(fakehost_load(fh, &orlop_module, &err) == -EINVAL && strstr(err.msg, "as it was told"),
	   "a module that refuses: %s", err.msg);
	fakehost_param(fh, "refuse", "false");
	fakehost_resource(fh, "pods", 1, "spec.nodeName", NULL);
	fakehost_put(fh, "pods", "default", "a", "{\"metadata\":{\"labels\":{\"app\":\"x\"}},\"spec\":{\"nodeName\":\"n1\"}}");
	is_int(fakehost_load_as(fh, &orlop_module, "c1", &fm, &err), 0, "loads");
	m = fakehost_ctx(fm);
	ok(fakehost_is_ready(fh, fm), "is ready");
	is_int(m->worked, 2, "work and done");
	is_int(fakehost_logged(fh, "INFO c1 started resync=30"), 1, "log and default parameter");
	t = fakehost_now(fh);
	fakehost_advance(fh, 10 * FAKEHOST_S);
	is_int(m->ticks, 10, "ten seconds, ten ticks");
	is_int(fakehost_now(fh) - t, 10 * FAKEHOST_S, "the clock stands where it should");
	test_cache(fh, m);
	test_api(fh);
	test_bus(fh, m);
	test_outside(fh, m);
	fakehost_seed(fh, 9);
	m->h->random(m->h, &a, sizeof(a));
	fakehost_seed(fh, 9);
	m->h->random(m->h, &b, sizeof(b));
	ok(a == b && a != 0, "chance repeats");
	is_int(fakehost_unload(fh, fm, &err), 0, "unloads");
	is_int(fakehost_held(fh), 0, "nothing is held");
	is_int(fakehost_load(fh, &orlop_module, &err), 0, "loads again");
	fakehost_put(fh, "pods", "default", "z", NULL);
	fakehost_free(fh);
	return done_testing();
}
