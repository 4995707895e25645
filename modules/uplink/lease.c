/*
 * lease.c - the address "lead": names are competed for by Leases on the API server.
 *
 * One Lease a name, as upstream's leader election has it: held for 15 s, renewed every 5 s, given up by its
 * holder 10 s after the last renewal that worked. Others judge by their own clock since they saw it change.
 * Inside this process the first in line leads. The fencing token is the revision of the write that gained.
 */
#include "up.h"

#include <orlop/inline/msg.h>

#include "base/otime.h"
#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"
#include "base/ohash.h"
#include "json/ojson.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLD_S		15
#define HOLD_NS		(HOLD_S * UP_NS_PER_S)
#define RENEW_NS	(5 * UP_NS_PER_S)
#define GIVE_UP_NS	(10 * UP_NS_PER_S)
#define RETRY_NS	(2 * UP_NS_PER_S)
#define CALL_NS		(4 * UP_NS_PER_S)

struct up_leases {
	struct up	*u;
	struct olist	leases;
	char		identity[100];
	char		ns[64];
	char		prefix[64];
};

/* Somebody of this process who wants the name. */
struct claim {
	struct olist	node;
	struct lease	*l;
	struct orlop_call *call;
	bool		leads;
};

struct lease {
	struct up_leases *all;
	struct olist	node;
	char		*name;
	char		*object;	/* name of the Lease */
	struct olist	claims;		/* the first leads, if it is held */
	struct orlop_timer *timer;
	struct orlop_timer *deadline;
	struct up_call	*http;
	bool		held;
	bool		leaving;	/* the last claim has gone: give it back */
	bool		reread;		/* somebody else has written it */
	uint64_t	asked_at;	/* when the request under way was sent, mono */
	/* the object as last seen */
	char		rv[24];
	char		holder[128];
	char		acquired[OTIME_BUF];
	int64_t		transitions;
	uint64_t	hold_ns;
	uint64_t	seen_at;	/* when rv changed */
};

static void look(struct lease *l);

static uint64_t now_of(const struct lease *l)
{
	return l->all->u->h->now_mono(l->all->u->h);
}

static bool is_mine(const struct lease *l)
{
	return strcmp(l->holder, l->all->identity) == 0;
}

static void lease_free(struct lease *l)
{
	const struct orlop_host *h = l->all->u->h;

	up_remote_cancel(l->http);
	h->timer_free(l->timer);
	h->timer_free(l->deadline);
	olist_del(&l->node);
	omem_free(l->name);
	omem_free(l->object);
	omem_free(l);
}

/* ---- claims --------------------------------------------------------------------------------------------- */

static void claim_end(struct claim *c, int status)
{
	olist_del(&c->node);
	c->l->all->u->h->call_done(c->call, status, NULL, NULL);
	omem_free(c);
}

/* The first in line leads, with the revision of the write that made it so. */
static void lease_grant(struct lease *l)
{
	struct claim *c = OLIST_ENTRY(olist_first(&l->claims), struct claim, node);
	const struct orlop_host *h = l->all->u->h;
	uint64_t token = strtoull(l->rv, NULL, 10);
	struct orlop_msgw w;
	struct orlop_msg m;

	if (c->leads)
		return;
	c->leads = true;
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_API_T_TOKEN, token);
	m = orlop_msgw_msg(&w);
	(void)h->call_emit(c->call, &m);
	orlop_msgw_done(&w);
	OLOG(h, INFO, "lead_gained", "name=%s token=%llu", l->name, (unsigned long long)token);
}

static void lease_lost(struct lease *l, const char *why)
{
	struct claim *c;

	l->held = false;
	l->all->u->h->timer_clear(l->deadline);
	if (olist_empty(&l->claims))
		return;
	c = OLIST_ENTRY(olist_first(&l->claims), struct claim, node);
	if (!c->leads)
		return;
	OLOG(l->all->u->h, WARN, "lead_lost", "name=%s why=\"%s\"", l->name, why);
	claim_end(c, 0);	/* it asks again */
}

static void on_deadline(void *arg)
{
	lease_lost(arg, "the lease could not be renewed in time");
}

/* ---- the object ----------------------------------------------------------------------------------------- */

/* What the server says it is now. */
static int take_object(struct lease *l, struct orlop_bytes body)
{
	struct ojson *o = NULL;
	const struct ojson *spec, *meta;
	const char *rv;

	if (ojson_parse_bytes(body, &o, NULL) || !ojson_is(o, OJSON_OBJECT)) {
		ojson_unref(o);
		return -EPROTO;
	}
	meta = ojson_get(o, "metadata");
	spec = ojson_get(o, "spec");
	rv = ojson_get_cstr(meta, "resourceVersion", "");
	if (strcmp(rv, l->rv)) {
		snprintf(l->rv, sizeof(l->rv), "%s", rv);
		l->seen_at = now_of(l);
	}
	snprintf(l->holder, sizeof(l->holder), "%s", ojson_get_cstr(spec, "holderIdentity", ""));
	snprintf(l->acquired, sizeof(l->acquired), "%s", ojson_get_cstr(spec, "acquireTime", ""));
	l->transitions = ojson_get_i64(spec, "leaseTransitions", 0);
	l->hold_ns = (uint64_t)ojson_get_i64(spec, "leaseDurationSeconds", HOLD_S) * UP_NS_PER_S;
	if (l->hold_ns > 3600 * UP_NS_PER_S)
		l->hold_ns = 3600 * UP_NS_PER_S;
	ojson_unref(o);
	return 0;
}

static void put_object(struct lease *l, struct obuf *b)
{
	char now[OTIME_BUF];
	bool again = is_mine(l);

	otime_format_micro((int64_t)l->all->u->h->now_wall(l->all->u->h), now);
	obuf_printf(b, "{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"",
		    l->object, l->all->ns);
	if (l->rv[0])
		obuf_printf(b, ",\"resourceVersion\":\"%s\"", l->rv);
	obuf_puts(b, "},\"spec\":{\"holderIdentity\":");
	obuf_put_json_cstr(b, l->leaving ? "" : l->all->identity);
	obuf_printf(b, ",\"leaseDurationSeconds\":%d,\"acquireTime\":", l->leaving ? 1 : HOLD_S);
	obuf_put_json_cstr(b, again && l->acquired[0] ? l->acquired : now);
	obuf_printf(b, ",\"renewTime\":\"%s\",\"leaseTransitions\":%lld}}", now,
		    (long long)(l->transitions + (l->rv[0] && !again)));
}

static void lease_ask(struct lease *l, const char *method, up_answer_fn fn)
{
	struct up_request q = { .method = method, .timeout_ns = CALL_NS };
	struct obuf path = OBUF_INIT, body = OBUF_INIT;
	int r;

	obuf_printf(&path, "/apis/coordination.k8s.io/v1/namespaces/%s/leases", l->all->ns);
	if (strcmp(method, "POST"))
		obuf_printf(&path, "/%s", l->object);
	if (strcmp(method, "GET"))
		put_object(l, &body);
	q.target = obuf_cstr(&path);
	q.body = (struct orlop_bytes){ body.data, body.len };
	l->asked_at = now_of(l);
	r = obuf_err(&path) || obuf_err(&body) ? -ENOMEM : up_remote_send(l->all->u->remote, &q, fn, l, &l->http);
	obuf_done(&path);
	obuf_done(&body);
	if (r)
		l->all->u->h->timer_set(l->timer, RETRY_NS, 0);
}

static void again(struct lease *l, uint64_t ns)
{
	uint64_t by;

	l->all->u->h->random(l->all->u->h, &by, sizeof(by));
	l->all->u->h->timer_set(l->timer, ns + by % (ns / 4 + 1), 0);
}

/* Our write has been answered. */
static void on_written(void *arg, const struct up_answer *a)
{
	struct lease *l = arg;
	char text[300];

	l->http = NULL;
	if (l->leaving && (a->err == 0 || !olist_empty(&l->claims))) {
		l->leaving = false;
		l->held = false;
		l->rv[0] = '\0';
		if (olist_empty(&l->claims))
			lease_free(l);
		else
			look(l);
		return;
	}
	if (l->leaving) {
		lease_free(l);		/* it will run out */
		return;
	}
	if (!a->err && (a->status == 200 || a->status == 201) && take_object(l, a->body) == 0 && is_mine(l)) {
		if (!l->held)
			OLOG(l->all->u->h, DEBUG, "lease_held", "name=%s rv=%s", l->name, l->rv);
		l->held = true;
		l->all->u->h->timer_set(l->deadline, l->asked_at + GIVE_UP_NS > now_of(l) ?
					l->asked_at + GIVE_UP_NS - now_of(l) : 1, 0);
		if (!olist_empty(&l->claims))
			lease_grant(l);
		again(l, RENEW_NS);
		return;
	}
	if (!a->err && (a->status == 409 || a->status == 404)) {
		/* Somebody else was quicker, or it was deleted. */
		l->reread = true;
		again(l, UP_NS_PER_S / 4);
		return;
	}
	if (!a->err)
		OLOG(l->all->u->h, WARN, "lease_refused", "name=%s lease=%s/%s why=\"%s\": trying again", l->name, l->all->ns,
		     l->object, up_explain(l->all->u->remote, a, text, sizeof(text)));
	again(l, l->held ? UP_NS_PER_S : RETRY_NS);
}

static void on_read(void *arg, const struct up_answer *a)
{
	struct lease *l = arg;
	char text[300];

	l->http = NULL;
	if (olist_empty(&l->claims)) {
		lease_free(l);
		return;
	}
	if (!a->err && a->status == 404) {
		l->rv[0] = l->holder[0] = l->acquired[0] = '\0';
		l->transitions = 0;
		lease_ask(l, "POST", on_written);
		return;
	}
	if (a->err || a->status != 200 || take_object(l, a->body)) {
		if (!a->err)
			OLOG(l->all->u->h, WARN, "lease_refused", "name=%s lease=%s/%s why=\"%s\": trying again", l->name,
			     l->all->ns, l->object, up_explain(l->all->u->remote, a, text, sizeof(text)));
		again(l, RETRY_NS);
		return;
	}
	if (l->held && !is_mine(l))
		lease_lost(l, "another process has taken it");
	if (!l->holder[0] || is_mine(l) || now_of(l) >= l->seen_at + l->hold_ns)
		lease_ask(l, "PUT", on_written);
	else
		again(l, RETRY_NS);
}

/* Whatever is next. */
static void look(struct lease *l)
{
	if (l->http)
		return;
	if (l->leaving || (l->held && !l->reread)) {
		lease_ask(l, "PUT", on_written);
		return;
	}
	l->reread = false;
	lease_ask(l, "GET", on_read);
}

static void on_timer(void *arg)
{
	look(arg);
}

/* ---- outside -------------------------------------------------------------------------------------------- */

/*
 * A number for this process, the same for whoever replaces this module in it: the successor goes on with the
 * leases instead of waiting for them to run out. This boot, the pid and when it began tell processes apart.
 */
static uint64_t this_process(void)
{
	uint64_t hash = ohash_fnv1a64(OHASH_FNV64_INIT, &(pid_t){ getpid() }, sizeof(pid_t));
	cleanup_obuf struct obuf boot = OBUF_INIT, stat = OBUF_INIT;
	const char *p;

	(void)ofile_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 100, &boot);
	(void)ofile_read(AT_FDCWD, "/proc/self/stat", 4096, &stat);
	hash = ohash_fnv1a64(hash, obuf_cstr(&boot), boot.len);
	p = strrchr(obuf_cstr(&stat), ')');	/* then field 3; 22 is the start */
	for (int i = 3; p && i <= 22; i++)
		p = strchr(p + 1, ' ');
	return p ? ohash_fnv1a64(hash, p, strcspn(p + 1, " ") + 1) : hash;
}

static struct up_leases *leases_of(struct up *u)
{
	struct up_leases *all = u->leases;
	const struct orlop_host *h = u->h;
	char hex[17], host[65] = "";
	uint64_t self;

	if (all)
		return all;
	all = OMEM_NEW(struct up_leases);
	if (!all)
		return NULL;
	all->u = u;
	olist_init(&all->leases);
	self = this_process();
	ohex_encode(&self, 6, hex);
	if (h->param(h, "identity")[0])
		snprintf(host, sizeof(host), "%s", h->param(h, "identity"));
	else
		(void)gethostname(host, sizeof(host) - 1);
	snprintf(all->identity, sizeof(all->identity), "%s_%s", host, hex);
	snprintf(all->ns, sizeof(all->ns), "%s", h->param(h, "lease_namespace"));
	snprintf(all->prefix, sizeof(all->prefix), "%s", h->param(h, "lease_prefix"));
	u->leases = all;
	return all;
}

static struct lease *lease_get(struct up_leases *all, struct orlop_bytes name)
{
	const struct orlop_host *h = all->u->h;
	struct lease *l;

	OLIST_FOREACH(n, &all->leases) {
		l = OLIST_ENTRY(n, struct lease, node);
		if (ostr_is(name.p, name.len, l->name))
			return l;
	}
	l = OMEM_NEW(struct lease);
	if (!l)
		return NULL;
	l->all = all;
	olist_init(&l->claims);
	olist_append(&all->leases, &l->node);
	l->name = omem_strndup(name.p, name.len);
	l->object = omem_printf("%s%.*s", all->prefix, OB(name));
	for (char *p = l->object; p && *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '.' || *p == '-'))
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : '-';
	if (!l->name || !l->object || h->timer_new(h, on_timer, l, &l->timer) ||
	    h->timer_new(h, on_deadline, l, &l->deadline)) {
		lease_free(l);
		return NULL;
	}
	return l;
}

/* A claim is withdrawn: the next in line leads, or the lease is given back. */
static void on_cancel(void *arg)
{
	struct claim *c = arg;
	struct lease *l = c->l;
	bool led = c->leads;

	claim_end(c, -ECANCELED);
	if (olist_empty(&l->claims)) {
		l->leaving = l->held;
		l->all->u->h->timer_clear(l->deadline);
		if (l->http)
			return;		/* its answer goes on */
		if (l->held)
			look(l);
		else
			lease_free(l);
	} else if (led && l->held) {
		look(l);		/* a renewal now: its revision is the next one's token */
	}
}

int up_lease_call(struct up *u, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct orlop_bytes name = orlop_msg_bytes(u->h, &req->msg, ORLOP_API_T_NAME);
	struct up_leases *all = u->stopping ? NULL : leases_of(u);
	struct claim *c = all ? OMEM_NEW(struct claim) : NULL;
	struct lease *l;

	if (u->stopping)
		return orlop_fail(err, ECANCELED, 0, "", "stopping");
	if (name.len == 0 || name.len > 128 || memchr(name.p, 0, name.len)) {
		omem_free(c);
		return orlop_fail(err, EINVAL, 0, "", "lead: a name of 1 to 128 bytes is needed");
	}
	l = c ? lease_get(all, name) : NULL;
	if (!l) {
		omem_free(c);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	c->l = l;
	c->call = call;
	olist_append(&l->claims, &c->node);
	u->h->call_on_cancel(call, on_cancel, c);
	if (!l->http)
		look(l);
	return 0;
}

void up_leases_free(struct up *u)
{
	struct olist *n;

	if (!u->leases)
		return;
	while ((n = olist_first(&u->leases->leases)) != NULL) {
		struct lease *l = OLIST_ENTRY(n, struct lease, node);
		struct olist *m;

		while ((m = olist_first(&l->claims)) != NULL)
			claim_end(OLIST_ENTRY(m, struct claim, node), -ECANCELED);
		lease_free(l);
	}
	omem_free(u->leases);
	u->leases = NULL;
}

int up_leases_stats(const struct up *u, char *buf, size_t size)
{
	unsigned int held = 0, all = 0;

	if (u->leases)
		OLIST_FOREACH(n, &u->leases->leases) {
			held += OLIST_ENTRY(n, struct lease, node)->held;
			all++;
		}
	return snprintf(buf, size, "{\"held\":%u,\"wanted\":%u}", held, all);
}
