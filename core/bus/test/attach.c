/*
 * attach.c - blobs and descriptors: whatever is lost, doubled, refused, cancelled or closed, no blob is
 * leaked or freed twice, and each descriptor ends with its receiver or closed, exactly once.
 */
#include "buskit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/otap.h"

static uint32_t fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;

	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static _Atomic int64_t blobs_alive;

static void blob_released(void *arg)
{
	free(arg);
	blobs_alive--;
}

static struct orlop_blob *blob_make(uint64_t value)
{
	struct orlop_blob *b;
	uint64_t *p = malloc(sizeof(*p));

	*p = value;
	kit_must(core_blob_adopt(p, sizeof(*p), blob_released, p, &b), "blob");
	blobs_alive++;
	return b;
}

struct peer {
	struct core_loop *loop;
	struct core_link *link;
	uint64_t	n;
	uint64_t	sent;
	uint64_t	answered;
	uint64_t	served;
	uint64_t	wrong;
	struct orlop_blob *kept;
	struct kit_event done;
};

/* op 1: takes one of two descriptors, keeps the blob, answers with a blob and a descriptor of its own. */
static int serve(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct peer *me = ctx;
	struct orlop_blob *b;
	struct orlop_msg m = kit_msg("x", 1);
	int32_t fd;
	uint64_t v;
	char c = 0;

	(void)err;
	me->served++;
	if (req->msg.n_blobs != 1 || req->msg.n_fds != 2) {
		me->wrong++;
		return -EBADMSG;
	}
	memcpy(&v, core_blob_bytes(req->msg.blobs[0]).p, sizeof(v));
	core_blob_unref(me->kept);
	me->kept = core_blob_ref(req->msg.blobs[0]);
	if (pread(req->msg.fds[0], &c, 1, 0) != 0)
		me->wrong++;
	(void)close(req->msg.fds[0]);
	req->msg.fds[0] = -1;
	if (v % 4 == 3)
		return -EIO;		/* and leaves the other descriptor */
	b = blob_make(v + 1);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m.blobs = &b;
	m.n_blobs = 1;
	m.fds = &fd;
	m.n_fds = 1;
	core_call_done(call, 0, &m, NULL);
	core_blob_unref(b);
	return 0;
}

static void fill(struct peer *me);

static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct peer *me = arg;

	(void)err;
	(void)flags;
	if (status == 0 && (msg->n_blobs != 1 || msg->n_fds != 1))
		me->wrong++;
	if (status == 0 && me->answered % 2) {
		if (close(msg->fds[0]))
			me->wrong++;
		msg->fds[0] = -1;
	}
	if (++me->answered < me->n)
		fill(me);
	kit_signal(&me->done);
}

static void fill(struct peer *me)
{
	while (me->sent < me->n && me->sent - me->answered < 100) {
		struct orlop_send s = kit_send("peer", 1, NULL, 0);
		struct orlop_blob *b = blob_make(me->sent);
		int32_t fds[2] = {
			open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_RDONLY | O_CLOEXEC),
		};
		struct orlop_request *r;

		s.msg.blobs = &b;
		s.msg.n_blobs = 1;
		s.msg.fds = fds;
		s.msg.n_fds = 2;
		kit_must(core_link_request(me->link, &s, replied, me, &r), "request");
		core_blob_unref(b);
		if (me->sent++ % 10 == 9)
			core_request_cancel(r);
	}
}

static void start(void *arg)
{
	fill(arg);
}

static const struct kit_ops serve_ops = { .size = sizeof(serve_ops), .op = { [1] = serve } };

static void test_storm(const struct core_bus_config *cfg, uint64_t n, bool close_early)
{
	uint32_t before = fds_open();
	struct peer a = { .n = n, .done = KIT_EVENT_INIT };
	struct peer b = { .n = 0, .done = KIT_EVENT_INIT };
	struct core_bus *bus;

	kit_must(core_bus_new(cfg, &bus), "bus");
	a.loop = kit_loop(1);
	b.loop = kit_loop(2);
	a.link = kit_link(bus, a.loop, "a", NULL, NULL);
	b.link = kit_link(bus, b.loop, "b", (const struct orlop_ops *)(const void *)&serve_ops, &b);
	kit_must(core_bus_address_set(bus, "peer", b.link), "address");
	kit_on(a.loop, start, &a);
	if (close_early) {
		kit_close(b.loop, b.link);	/* in the middle of it; the others wait for the address */
		kit_close(a.loop, a.link);
	} else {
		ok(kit_wait(&a.done, n), "%u %% loss: all answered", cfg->loss_percent);
		kit_close(a.loop, a.link);
		kit_close(b.loop, b.link);
	}
	core_loop_free(a.loop);
	core_loop_free(b.loop);
	core_bus_free(bus);
	core_blob_unref(b.kept);
	is_int(a.wrong + b.wrong, 0, "attachments as sent");
	is_int(blobs_alive, 0, "no blob is left%s", close_early ? ", closed early" : "");
	is_int(fds_open(), before, "no descriptor is left");
}

static void refuse(void *arg)
{
	struct peer *me = arg;
	char *big = calloc(1, ORLOP_MSG_MAX + 1);
	int32_t fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct orlop_send s = kit_send("peer", 1, big, ORLOP_MSG_MAX + 1);
	struct orlop_msg m = kit_msg("x", 1);

	s.msg.fds = &fd;
	s.msg.n_fds = 1;
	is_int(core_link_request(me->link, &s, replied, me, NULL), -E2BIG, "a body that is too long is refused");
	free(big);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m.fds = &fd;
	m.n_fds = 1;
	is_int(core_link_publish(me->link, "t", &m), -EINVAL, "a topic carries no descriptors");
	core_link_stop(me->link);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s = kit_send("peer", 1, NULL, 0);
	s.msg.fds = &fd;
	s.msg.n_fds = 1;
	is_int(core_link_request(me->link, &s, replied, me, NULL), -ECANCELED, "a stopped link sends nothing");
}

static void test_refused(void)
{
	uint32_t before = fds_open();
	struct peer a = { .done = KIT_EVENT_INIT };
	struct core_bus *bus;

	kit_must(core_bus_new(NULL, &bus), "bus");
	a.loop = kit_loop(1);
	a.link = kit_link(bus, a.loop, "a", NULL, NULL);
	kit_on(a.loop, refuse, &a);
	kit_close(a.loop, a.link);
	core_loop_free(a.loop);
	core_bus_free(bus);
	is_int(fds_open(), before, "descriptors of what was refused are closed");
}

int main(void)
{
	struct core_bus_config clean = { .seed = 1 };
	struct core_bus_config bad = { .loss_percent = 20, .dup_percent = 20, .reorder_percent = 20, .seed = 3 };
	struct orlop_blob *b;

	kit_must(core_blob_new("abc", 3, &b), "blob_new");
	is_mem(core_blob_bytes(core_blob_ref(b)).p, core_blob_bytes(b).len, "abc", 3, "a blob is what it was made of");
	core_blob_unref(b);
	core_blob_unref(b);
	core_blob_unref(NULL);
	core_loop_free(kit_loop(0));	/* what libuv opens once per process */
	test_storm(&clean, 5000, false);
	test_storm(&bad, 5000, false);
	for (int i = 0; i < 5; i++) {
		test_storm(&clean, 5000, true);
		test_storm(&bad, 5000, true);
	}
	test_refused();
	return done_testing();
}
