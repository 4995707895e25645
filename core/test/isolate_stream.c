/* test/isolate_stream.c - an answer in parts from another process: whoever emits waits for who reads. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

#include "isolate.h"
#include "isolate_proxy.h"
#include "kit.h"

static struct core *c;

struct reader {
	struct orlop_request *req;
	uint64_t	parts;
	uint64_t	wrong;
	int		done;
	int		status;
};

static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct reader *r = arg;
	uint64_t v = UINT64_MAX;

	(void)err;
	if (flags & ORLOP_REPLY_MORE) {
		if (msg->body.len == sizeof(v))
			memcpy(&v, msg->body.p, sizeof(v));
		r->wrong += v != r->parts;
		r->parts++;
		return;
	}
	r->done++;
	r->status = status;
}

static void ask(struct reader *r, uint64_t parts, uint64_t blob_bytes, bool relay)
{
	uint64_t v[2] = { parts, blob_bytes };
	struct orlop_send send = { .size = sizeof(send), .op = 1, .to = "test/streamer",
				   .msg = { .size = sizeof(send.msg), .body = { (const char *)v, sizeof(v) } } };

	memset(r, 0, sizeof(*r));
	if (core_link_request(c->self->shards[0].link, &send, replied, r, &r->req))
		otap_bail_out("no request");
	if (relay)
		core_request_relay(r->req);
}

static int call(uint32_t op)
{
	struct kit_reply r;

	return kit_ask(c, "test/streamer", op, NULL, &r);
}

/* Behind its answer everything that the child said before has been read. */
static void settle(void)
{
	(void)call(3);
}

static void test_slow(uint64_t parts, uint64_t blob_bytes, uint64_t window)
{
	struct reader r;

	ask(&r, parts, blob_bytes, true);
	ok(kit_until(c->main, r.parts == window), "a reader that waits gets %d parts", (int)window);
	settle();
	settle();
	is_int((long)r.parts, (long)window, "and no more");
	while (!r.done && kit_until(c->main, r.done || r.parts >= window)) {
		uint64_t had = r.parts;

		if (r.done)
			break;
		core_request_consumed(r.req, had, had * (blob_bytes + 8));
		if (!kit_until(c->main, r.done || r.parts > had))
			break;
	}
	ok(r.done == 1 && r.status == 0, "the rest when it reads: %d", r.status);
	is_int((long)r.parts, (long)parts, "all of them");
	is_int((long)r.wrong, 0, "in order");
}

static void counted(void *arg, const struct orlop_msg *msg)
{
	*(int *)arg += msg->body.len == 4;
}

/* Until so many hints were heard there. */
static int heard_there(int want)
{
	uint64_t end = core_now_mono() + KIT_WAIT_NS;
	int n;

	while ((n = call(3)) >= 0 && n < want && core_now_mono() < end)
		;
	return n;
}

/* Hints may be lost; with nothing else under way these are not. */
static void test_topics(void)
{
	struct orlop_msg m = { .size = sizeof(m), .body = { "news", 4 } };
	int here = 0;

	is_int(core_link_subscribe(c->self->shards[0].link, "streamer/news", counted, &here), 0, "a listener here");
	is_int(core_link_publish(c->self->shards[0].link, "streamer/news", &m), 0, "something is published here");
	is_int(heard_there(1), 1, "and heard there");
	ok(kit_until(c->main, here == 1), "as it is here");
	is_int(call(2), 0, "something is published there");
	ok(kit_until(c->main, here == 2), "and heard here");
	is_int(heard_there(2), 2, "and there, once");
}

int main(void)
{
	char dir[] = "/tmp/orlop-stream-XXXXXX";
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config_module cm = { .isolate = true };
	struct core_config *cfg = NULL;
	struct kit_load l;
	struct reader r;
	char exe[PATH_MAX];
	char path[512];
	int fds;

#ifdef __SANITIZE_THREAD__
	/* As in isolate.c. */
	return otap_skip_all("the thread sanitizer does not know of processes that share memory");
#endif
	kit_orlopd(exe);
	kit_settle();
	fds = kit_fds();
	if (!mkdtemp(dir) || core_config_new(&cfg))
		otap_bail_out("no directory");
	cfg->loops = 1;
	cfg->log_level = 0;
	cfg->start_timeout_ns = cfg->stop_timeout_ns = KIT_START_NS;
	cfg->data_dir = omem_strdup(dir);
	cfg->exe = omem_strdup(exe);
	if (core_new(cfg, &c, &err))
		otap_bail_out(err.msg);
	memset(&l, 0, sizeof(l));
	cm.module = omem_strdup(kit_module("streamer", path, sizeof(path)));
	is_int(core_loader_load(c, &cm, kit_loaded, &l, &err), 0, "a module in a process of its own %s", err.msg);
	core_config_module_done(&cm);
	ok(kit_until(c->main, l.done) && l.status == 0, "is ready %s", l.msg);
	ask(&r, 5000, 0, false);
	ok(kit_until(c->main, r.done) && r.status == 0, "a long answer ends");
	is_int((long)r.parts, 5000, "with all parts");
	is_int((long)r.wrong, 0, "in order");
	test_slow(1000, 0, 32);
	test_slow(40, (1 << 20) - 8, 4);
	test_topics();
	/* Its end in the middle of one. */
	ask(&r, 1000, 0, true);
	(void)kit_until(c->main, r.parts == 32);
	(void)kill(l.inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, r.done), "its end in the middle of an answer is told");
	is_int(r.status, -ECONNRESET, "as what it is");
	ok(kit_end(c), "the core ends");
	(void)ofile_remove_tree(AT_FDCWD, dir);
	is_int(kit_fds(), fds, "no descriptor is left");
	return done_testing();
}
