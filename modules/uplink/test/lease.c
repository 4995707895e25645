/* lease.c - names by Leases: gained, renewed, lost, given back; others who hold them. */
#include "server.h"

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include <errno.h>

static struct fakehost *fh;
static struct srv *s;

struct claim {
	uint64_t	token;
	int		gained, ended;
	struct orlop_request *req;
};

static void told(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	struct claim *c = arg;

	(void)status;
	(void)err;
	if (flags & ORLOP_REPLY_MORE) {
		c->gained++;
		c->token = orlop_msg_u64(msg, ORLOP_API_T_TOKEN, 0);
	} else {
		c->ended++;
		c->req = NULL;
	}
}

static void claim(struct claim *c, const char *name)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_LEAD, .to = "uplink", .timeout_ns = UINT64_MAX };
	struct orlop_msgw w;

	memset(c, 0, sizeof(*c));
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_API_T_NAME, name);
	send.msg = orlop_msgw_msg(&w);
	(void)fakehost_host(fh)->request(fakehost_host(fh), &send, told, c, &c->req);
	orlop_msgw_done(&w);
}

static int gained(void *arg)
{
	return ((struct claim *)arg)->gained;
}

static int ended(void *arg)
{
	return ((struct claim *)arg)->ended;
}

static const char *holder(const char *name)
{
	struct srv_object *o = srv_find(s, "leases", "kube-system", name);

	return o ? ojson_get_cstr(ojson_get(o->o, "spec"), "holderIdentity", "") : "(none)";
}

static int given_back(void *arg)
{
	return holder(arg)[0] == '\0';
}

static void begin(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	s = srv_new(fh, NULL);
	fakehost_param(fh, "identity", "me");
	ok(fakehost_load(fh, &orlop_module, &err) == 0, "loads %s", err.msg);
	(void)srv_until(s, "/apis/odd", 1);
	orlop_error_done(&err);
}

static int away;

static int no_leases(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	(void)srv;
	(void)body;
	if (!away || !strstr(line, "/leases"))
		return 0;
	srv_status(r, 500, "InternalError", "etcd is away");
	return 1;
}

int main(void)
{
	struct claim a, b, c;

	begin();
	claim(&a, "controllers/deployment");
	ok(fakehost_run_until(fh, gained, &a, 10 * FAKEHOST_S), "gained");
	ok(a.token == s->rev, "the token is the write's revision");
	ok(strncmp(holder("orlop-controllers-deployment"), "me_", 3) == 0, "the Lease says who");
	claim(&b, "controllers/deployment");
	fakehost_run(fh);
	ok(!b.gained, "the second in line waits");
	fakehost_host(fh)->request_cancel(a.req);
	ok(fakehost_run_until(fh, gained, &b, 10 * FAKEHOST_S), "the first goes: the second leads");
	ok(b.token > a.token, "with a greater token");
	fakehost_host(fh)->request_cancel(b.req);
	ok(fakehost_run_until(fh, given_back, (void *)"orlop-controllers-deployment", 10 * FAKEHOST_S), "all go: it is given back");

	/* Somebody else holds it, for a second. */
	srv_put(s, "leases", "kube-system", "orlop-x", "{\"spec\":{\"holderIdentity\":\"other\",\"leaseDurationSeconds\":1,"
		"\"leaseTransitions\":4,\"renewTime\":\"2020-01-01T00:00:00.000000Z\"}}");
	claim(&c, "x");
	(void)srv_until(s, "leases/orlop-x", 1);
	fakehost_run(fh);
	ok(!c.gained, "held by another: not gained, whatever its clock says");
	ok(fakehost_run_until(fh, gained, &c, 20 * FAKEHOST_S), "not renewed for its duration: taken");
	ok(ojson_get_i64(ojson_get(srv_find(s, "leases", "kube-system", "orlop-x")->o, "spec"), "leaseTransitions", 0) == 5,
	   "the transition is counted");
	/* Taken away under our hands. */
	srv_put(s, "leases", "kube-system", "orlop-x", "{\"spec\":{\"holderIdentity\":\"other\",\"leaseDurationSeconds\":15}}");
	ok(fakehost_run_until(fh, ended, &c, 20 * FAKEHOST_S), "taken by another: lost");

	/* The server refuses to write. */
	claim(&a, "y");
	(void)fakehost_run_until(fh, gained, &a, 10 * FAKEHOST_S);
	s->hook = no_leases;
	away = 1;
	ok(fakehost_run_until(fh, ended, &a, 20 * FAKEHOST_S), "cannot be renewed: lost before it runs out");
	claim(&a, "y");
	away = 0;
	ok(fakehost_run_until(fh, gained, &a, 20 * FAKEHOST_S), "and gained again when it can");

	srv_free(s);
	fakehost_free(fh);
	return done_testing();
}
