/*
 * parcel.c - making, sharing and ending of what frames refer to.
 */
#include "parcel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "bus.h"

void core_msg_close_fds(const struct orlop_msg *msg)
{
	for (uint32_t i = 0; msg && i < msg->n_fds; i++)
		if (msg->fds[i] >= 0)
			(void)close(msg->fds[i]);
}

/* The reply's error travels as a copy; its causes are made anew, because the sender frees its own. */
static struct orlop_error *error_dup(const struct orlop_error *err)
{
	struct orlop_error *e = omem_zalloc(sizeof(*e));

	if (!e)
		return NULL;
	memcpy(e, err, err->size && err->size < sizeof(*e) ? err->size : sizeof(*e));
	e->size = sizeof(*e);
	e->causes = NULL;
	e->reason[sizeof(e->reason) - 1] = '\0';
	e->msg[sizeof(e->msg) - 1] = '\0';
	for (uint32_t i = 0; err->causes && i < err->causes->n; i++)
		orlop_error_cause(e, err->causes->v[i].reason, err->causes->v[i].message,
				  err->causes->v[i].field);
	return e;
}

static size_t who_size(const struct orlop_identity *who)
{
	size_t n = who->user.len + who->uid.len;

	for (uint32_t i = 0; i < who->n_groups; i++)
		n += who->groups[i].len;
	return n;
}

static char *bytes_put(char *at, struct orlop_bytes *ret, struct orlop_bytes b)
{
	if (b.len > 0)
		memcpy(at, b.p, b.len);
	ret->p = at;
	ret->len = b.len;
	return at + b.len;
}

int core_parcel_new(const struct orlop_msg *msg, const struct orlop_identity *who,
		    const struct orlop_error *err, struct core_parcel **ret)
{
	uint32_t n_blobs = msg ? msg->n_blobs : 0;
	uint32_t n_fds = msg ? msg->n_fds : 0;
	size_t body_len = msg ? msg->body.len : 0;
	struct core_parcel *p;
	size_t size = sizeof(*p);
	char *at;

	*ret = NULL;
	if (body_len == 0 && n_blobs == 0 && n_fds == 0 && !who && !err)
		return 0;
	if (body_len > ORLOP_MSG_MAX || n_blobs > ORLOP_MSG_MAX_BLOBS || n_fds > ORLOP_MSG_MAX_FDS) {
		core_msg_close_fds(msg);
		return -E2BIG;
	}
	/* In the order of alignment: blobs, groups, the body (fields of 8 bytes), descriptors, text. */
	size += n_blobs * sizeof(*p->blobs) + ((body_len + 7) & ~(size_t)7) + n_fds * sizeof(*p->fds);
	if (who)
		size += who->n_groups * sizeof(*who->groups) + who_size(who);
	p = omem_alloc(size);
	if (!p) {
		core_msg_close_fds(msg);
		return -ENOMEM;
	}
	memset(p, 0, sizeof(*p));
	oref_init(&p->ref);
	if (err) {
		p->err = error_dup(err);
		if (!p->err) {
			core_msg_close_fds(msg);
			omem_free(p);
			return -ENOMEM;
		}
	}
	at = (char *)(p + 1);
	p->blobs = (struct orlop_blob **)(void *)at;
	p->n_blobs = n_blobs;
	for (uint32_t i = 0; i < n_blobs; i++)
		p->blobs[i] = core_blob_ref(msg->blobs[i]);
	at += n_blobs * sizeof(*p->blobs);
	if (who) {
		p->who.size = sizeof(p->who);
		p->who.n_groups = who->n_groups;
		p->who.groups = (struct orlop_bytes *)(void *)at;
		at += who->n_groups * sizeof(*who->groups);
	}
	p->body.p = at;
	p->body.len = body_len;
	if (body_len > 0)
		memcpy(at, msg->body.p, body_len);
	at += (body_len + 7) & ~(size_t)7;
	p->fds = (int32_t *)(void *)at;
	p->n_fds = n_fds;
	if (n_fds > 0)
		memcpy(p->fds, msg->fds, n_fds * sizeof(*p->fds));
	at += n_fds * sizeof(*p->fds);
	if (who) {
		at = bytes_put(at, &p->who.user, who->user);
		at = bytes_put(at, &p->who.uid, who->uid);
		for (uint32_t i = 0; i < who->n_groups; i++)
			at = bytes_put(at, (struct orlop_bytes *)(uintptr_t)&p->who.groups[i],
				       who->groups[i]);
	}
	*ret = p;
	return 0;
}

struct core_parcel *core_parcel_ref(struct core_parcel *p)
{
	if (p)
		oref_get(&p->ref);
	return p;
}

void core_parcel_close_fds(struct core_parcel *p)
{
	for (uint32_t i = 0; p && i < p->n_fds; i++) {
		if (p->fds[i] >= 0)
			(void)close(p->fds[i]);
		p->fds[i] = -1;
	}
}

void core_parcel_unref(struct core_parcel *p)
{
	int saved = errno;

	if (!p || !oref_put(&p->ref))
		return;
	core_parcel_close_fds(p);
	for (uint32_t i = 0; i < p->n_blobs; i++)
		core_blob_unref(p->blobs[i]);
	if (p->err) {
		orlop_error_done(p->err);
		omem_free(p->err);
	}
	omem_free(p);
	errno = saved;
}

struct orlop_msg core_parcel_msg(struct core_parcel *p)
{
	struct orlop_msg m;

	memset(&m, 0, sizeof(m));
	m.size = sizeof(m);
	if (!p) {
		m.body.p = "";
		return m;
	}
	m.body = p->body;
	m.n_blobs = p->n_blobs;
	m.blobs = p->blobs;
	m.n_fds = p->n_fds;
	m.fds = p->fds;
	return m;
}
