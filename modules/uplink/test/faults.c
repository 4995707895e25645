/*
 * faults.c - the n-th allocation fails, for each n (every seventh, unless ORLOP_TEST_ALL is set), while the module connects, lists, watches, writes: in the
 * end all is there and nothing leaks (the sanitizer build looks). The small server allocates too and may fail.
 */
#define OTAP_FAULTS
#include "server.h"

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include <errno.h>

static struct fakehost *fh;
static struct srv *s;

static int have_all(void *arg)
{
	bool all;
	SRV_CALM;

	(void)arg;
	all = fakehost_get(fh, "pods", "default", "a") && fakehost_get(fh, "pods", "default", "b") && fakehost_get(fh, "pods", "default", "c");
	SRV_GO;
	return all;
}

static int32_t update(void)
{
	struct fakehost_reply r;
	struct orlop_msgw w;
	struct orlop_msg m;
	int32_t status;

	orlop_msgw_init(&w, fakehost_host(fh));
	orlop_msgw_str(&w, ORLOP_API_T_VERB, "update");
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "pods");
	orlop_msgw_str(&w, ORLOP_API_T_NAMESPACE, "default");
	orlop_msgw_str(&w, ORLOP_API_T_NAME, "a");
	orlop_msgw_str(&w, ORLOP_API_T_BODY, "{\"spec\":{}}");
	m = orlop_msgw_msg(&w);
	r = fakehost_call(fh, "uplink", ORLOP_API_REQUEST, &m);
	orlop_msgw_done(&w);
	status = r.status;
	fakehost_reply_done(&r);
	return status;
}

static void begin(void)
{
	fh = fakehost_new();
	s = srv_new(fh, NULL);
	fakehost_want(fh, "pods");
	fakehost_resource(fh, "pods", 1, NULL);
	srv_put(s, "pods", "default", "a", "{\"spec\":{\"nodeName\":\"n1\"}}");
}

static void finish(void)
{
	otap_fail_nth(0);
	srv_free(s);
	fakehost_free(fh);
}

/* The @n-th allocation of the start fails. False: there are not so many. */
static bool start(long n, unsigned int *bad)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	bool hit;
	int r;

	begin();
	otap_fail_nth(n);
	r = fakehost_load(fh, &orlop_module, &err);
	hit = otap_faulted();
	otap_fail_nth(0);
	if (r && (r != -ENOMEM || !err.msg[0])) {
		otap_diag("allocation %ld: %d %s", n, r, err.msg);
		++*bad;
	}
	if (r == 0 && !srv_watched(s, "pods")) {
		otap_diag("allocation %ld: it does not follow", n);
		++*bad;
	}
	orlop_error_done(&err);
	finish();
	return hit;
}

/* … or the @n-th of its life: an event, a write, a broken watch and a list anew. */
static bool life(long n, unsigned int *bad)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	bool hit;
	int r;

	begin();
	r = fakehost_load(fh, &orlop_module, &err);
	if (r || !srv_watched(s, "pods"))
		exit(1);
	otap_fail_nth(n);
	srv_put(s, "pods", "default", "b", "");
	r = update();
	if (r && r != -ENOMEM && r != -ECONNRESET && r != -ETIMEDOUT) {
		otap_diag("allocation %ld: the write says %d", n, r);
		++*bad;
	}
	(void)srv_end(s, "pods", true);
	s->compacted = s->rev;
	fakehost_advance(fh, 2 * FAKEHOST_S);
	srv_put(s, "pods", "default", "c", "");
	hit = otap_faulted();
	if (!fakehost_run_until(fh, have_all, NULL, 600 * FAKEHOST_S)) {
		otap_diag("allocation %ld: not all came", n);
		++*bad;
	}
	hit = otap_faulted();
	orlop_error_done(&err);
	finish();
	return hit;
}

int main(void)
{
	long step = getenv("ORLOP_TEST_ALL") ? 1 : 7, n;
	unsigned int bad = 0;

	for (n = 1; n < 3000 && start(n, &bad);)
		n += step;
	otap_diag("%ld allocations", n - 1);
	ok(bad == 0, "whichever allocation of the start fails, that is said, or it goes on");
	bad = 0;
	for (n = 1; n < 3000 && life(n, &bad);)
		n += step;
	otap_diag("%ld allocations", n - 1);
	ok(bad == 0, "whichever fails later, all comes in the end");
	return done_testing();
}
