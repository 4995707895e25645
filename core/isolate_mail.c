/*
 * isolate_mail.c - requests and answers as packets: making and reading them.
 */
#include "isolate_mail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/oref.h"
#include "bus/bus.h"

#define BLOB_FILE	(UINT64_C(1) << 63)
#define BLOBS_INLINE	(32u << 10)	/* together */
#define BLOB_MAX	(UINT64_C(1) << 32)
#define BLOB_COPY	(16u << 10)	/* smaller files are copied: a process has 65530 mappings, all in all */
#define SEALS		(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- writing ------------------------------------------------------------------------------------------ */

static int blob_file(struct orlop_bytes b)
{
	int fd = memfd_create("orlop-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	while (fd >= 0 && at < b.len) {
		ssize_t n = write(fd, b.p + at, b.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)close(fd);
			return -ENOMEM;
		}
		at += (size_t)n;
	}
	if (fd < 0)
		return -errno;
	(void)fcntl(fd, F_ADD_SEALS, SEALS);
	return fd;
}

static void put_bytes(struct orlop_msgw *w, uint32_t tag, struct orlop_bytes b)
{
	if (b.p)
		orlop_msgw_bytes(w, tag, b.p, b.len);
}

static void put_who(struct orlop_msgw *w, const struct orlop_identity *who)
{
	if (!who)
		return;
	put_bytes(w, CORE_ISO_T_USER, who->user);
	put_bytes(w, CORE_ISO_T_UID, who->uid);
	for (uint32_t i = 0; i < who->n_groups; i++)
		put_bytes(w, CORE_ISO_T_GROUP, who->groups[i]);
}

static void put_cause(struct orlop_msgw *w, const struct orlop_cause *c)
{
	uint32_t at = orlop_msgw_begin(w, CORE_ISO_T_CAUSE);

	orlop_msgw_str(w, CORE_ISO_T_REASON, c->reason ? c->reason : "");
	orlop_msgw_str(w, CORE_ISO_T_TEXT, c->message ? c->message : "");
	orlop_msgw_str(w, CORE_ISO_T_NAME, c->field ? c->field : "");
	orlop_msgw_end(w, at);
}

static void put_head(struct orlop_msgw *w, const struct core_iso_mail *m)
{
	orlop_msgw_u64(w, CORE_ISO_T_OP, m->op);
	if (m->flags & ORLOP_REPLY_MORE)
		orlop_msgw_u64(w, CORE_ISO_T_MORE, 1);
	if (m->deadline_ns)
		orlop_msgw_u64(w, CORE_ISO_T_DEADLINE, m->deadline_ns);
	if (m->key)
		orlop_msgw_u64(w, CORE_ISO_T_KEY, m->key);
	if (m->trace)
		orlop_msgw_u64(w, CORE_ISO_T_TRACE, m->trace);
	if (m->to)
		orlop_msgw_str(w, CORE_ISO_T_TO, m->to);
	put_who(w, m->who);
	if (m->status > 0)
		orlop_msgw_u64(w, CORE_ISO_T_REV, (uint64_t)m->status);
	else
		core_iso_put_status(w, m->status, m->err);
	for (uint32_t i = 0; m->err && m->err->causes && i < m->err->causes->n; i++)
		put_cause(w, &m->err->causes->v[i]);
}

/* @n_files: descriptors at the head of @raw->fds that are ours. */
static int put_msg(struct orlop_msgw *w, const struct orlop_msg *msg, struct core_iso_raw *raw, uint32_t *n_files)
{
	uint64_t there = 0;
	size_t inlined = 0;

	if (!msg)
		return 0;
	if (msg->body.len > ORLOP_MSG_MAX || msg->n_blobs > ORLOP_MSG_MAX_BLOBS || msg->n_fds > ORLOP_MSG_MAX_FDS)
		return -E2BIG;
	orlop_msgw_u64(w, CORE_ISO_T_BODY, msg->body.len);
	raw->part[raw->n++] = msg->body;
	for (uint32_t i = 0; i < msg->n_blobs; i++) {
		struct orlop_bytes b = core_blob_bytes(msg->blobs[i]);
		int fd;

		if (inlined + b.len <= BLOBS_INLINE) {
			inlined += b.len;
			orlop_msgw_u64(w, CORE_ISO_T_BLOB, b.len);
			raw->part[raw->n++] = b;
			continue;
		}
		fd = blob_file(b);
		if (fd < 0)
			return fd;
		orlop_msgw_u64(w, CORE_ISO_T_BLOB, b.len | BLOB_FILE);
		raw->fds[raw->n_fds++] = fd;
		++*n_files;
	}
	for (uint32_t i = 0; i < msg->n_fds; i++)
		if (msg->fds[i] >= 0) {
			raw->fds[raw->n_fds++] = msg->fds[i];
			there |= UINT64_C(1) << i;
		}
	if (msg->n_fds)
		orlop_msgw_u64(w, CORE_ISO_T_FDS, (uint64_t)msg->n_fds << 16 | there);
	return 0;
}

int core_iso_mail_send(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct core_iso_mail *m)
{
	struct core_iso_raw raw = { .n = 0, .flags = m->hint ? CORE_ISO_DROP : 0 };
	struct orlop_msgw w;
	uint32_t n_files = 0;
	int r;

	orlop_msgw_init(&w, NULL);
	put_head(&w, m);
	r = put_msg(&w, m->msg, &raw, &n_files);
	if (r == 0)
		r = c ? core_iso_send_raw(c, type, id, &w, &raw) : -EPIPE;
	for (uint32_t i = 0; i < n_files; i++)
		(void)close(raw.fds[i]);
	for (uint32_t i = 0; m->msg && i < m->msg->n_fds; i++)
		if (m->msg->fds[i] >= 0)
			(void)close(m->msg->fds[i]);
	orlop_msgw_done(&w);
	return r;
}

void core_iso_consumed(struct core_iso_chan *c, uint64_t id, struct core_iso_credit *k,
		       const struct orlop_msg *part)
{
	struct orlop_msgw w;

	k->parts++;
	k->bytes += core_msg_part_bytes(part);
	if (k->parts < CORE_CREDIT_PARTS && k->bytes < CORE_CREDIT_BYTES)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, k->parts);
	orlop_msgw_u64(&w, CORE_ISO_T_REV, k->bytes);
	if (core_iso_send(c, CORE_ISO_CREDIT, id, &w, 0) == 0)
		memset(k, 0, sizeof(*k));	/* else with the next part */
	orlop_msgw_done(&w);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct core_iso_meter {
	struct oref	ref;
	_Atomic uint32_t n;
	_Atomic uint64_t bytes;
};

int core_iso_meter_new(struct core_iso_meter **ret)
{
	*ret = OMEM_NEW(struct core_iso_meter);
	if (!*ret)
		return -ENOMEM;
	oref_init(&(*ret)->ref);
	return 0;
}

void core_iso_meter_unref(struct core_iso_meter *m)
{
	if (m && oref_put(&m->ref))
		omem_free(m);
}

struct mapped {
	void		*p;
	size_t		len;
	struct core_iso_meter *meter;	/* or NULL */
};

static void unmap(void *arg)
{
	struct mapped *m = arg;

	(void)munmap(m->p, m->len);
	if (m->meter) {
		atomic_fetch_sub_explicit(&m->meter->n, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&m->meter->bytes, m->len, memory_order_relaxed);
		core_iso_meter_unref(m->meter);
	}
	omem_free(m);
}

/* Only one thread adds to a meter: its channel's. */
static bool meter_room(const struct core_iso_meter *m, uint64_t len)
{
	return !m || (atomic_load_explicit(&m->n, memory_order_relaxed) < CORE_ISO_MAPPED_MAX &&
		      atomic_load_explicit(&m->bytes, memory_order_relaxed) + len <= CORE_ISO_MAPPED_BYTES);
}

static int blob_copy(int fd, size_t len, struct orlop_blob **ret)
{
	char *p = omem_alloc(len);
	size_t at = 0;

	while (p && at < len) {
		ssize_t n = pread(fd, p + at, len - at, (off_t)at);

		if (n <= 0) {
			omem_free(p);
			return -EPROTO;
		}
		at += (size_t)n;
	}
	return p ? core_blob_take(p, len, ret) : -ENOMEM;
}

/*
 * Nobody can change it any more, and it is as long as it is said to be. What is no memory file has no
 * seals at all (-1): its owner could cut it, and whoever reads the mapping would die of it.
 */
static int blob_map(int fd, uint64_t len, struct core_iso_meter *meter, struct orlop_blob **ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct mapped *m;
	struct stat st;
	int r;

	if (len > BLOB_MAX || len == 0 || seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size != len)
		return -EPROTO;
	if (len <= BLOB_COPY)
		return blob_copy(fd, len, ret);
	if (!meter_room(meter, len))
		return -ENOBUFS;
	m = OMEM_NEW(struct mapped);
	if (!m)
		return -ENOMEM;
	m->len = len;
	m->p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m->p == MAP_FAILED) {
		omem_free(m);
		return -ENOMEM;
	}
	m->meter = meter;
	if (meter) {
		oref_get(&meter->ref);
		atomic_fetch_add_explicit(&meter->n, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&meter->bytes, len, memory_order_relaxed);
	}
	r = core_blob_adopt(m->p, len, unmap, m, ret);
	if (r)
		unmap(m);
	return r;
}

void core_iso_got_free(struct core_iso_got *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i < g->msg.n_blobs; i++)
		core_blob_unref(g->blobs[i]);
	for (uint32_t i = 0; i < g->msg.n_fds; i++)
		if (g->fds[i] >= 0)
			(void)close(g->fds[i]);
	orlop_error_done(&g->err);
	omem_free(g->groups);
	omem_free(g->to);
	omem_free(g->data);
	omem_free(g);
}

static void get_cause(struct core_iso_got *g, struct orlop_bytes body)
{
	struct orlop_msg m = { .size = sizeof(m), .body = body };
	char *reason = core_iso_str(&m, CORE_ISO_T_REASON);
	char *text = core_iso_str(&m, CORE_ISO_T_TEXT);
	char *field = core_iso_str(&m, CORE_ISO_T_NAME);

	if (reason && text && field)
		orlop_error_cause(&g->err, reason, text, field);
	omem_free(reason);
	omem_free(text);
	omem_free(field);
}

/* Fields: @fields is our copy, whose texts stay. */
static int get_fields(struct core_iso_got *g, const struct orlop_msg *fields, uint64_t *blobs, uint32_t *n_blobs,
		      bool *has_msg, uint64_t *body_len)
{
	uint32_t n_groups = 0;
	struct orlop_msgr r;

	orlop_msgr_init(&r, NULL, NULL, fields->body);
	while (orlop_msgr_next(&r))
		n_groups += r.tag == CORE_ISO_T_GROUP && r.type == ORLOP_T_BYTES;
	g->groups = omem_zalloc_array(n_groups ? n_groups : 1, sizeof(*g->groups));
	if (!g->groups)
		return -ENOMEM;
	g->who.size = sizeof(g->who);
	g->who.groups = g->groups;
	orlop_msgr_init(&r, NULL, NULL, fields->body);
	while (orlop_msgr_next(&r)) {
		if (r.tag == CORE_ISO_T_GROUP && r.type == ORLOP_T_BYTES) {
			g->groups[g->who.n_groups++] = r.bytes;
		} else if (r.tag == CORE_ISO_T_BLOB && r.type == ORLOP_T_U64) {
			if (*n_blobs == ORLOP_MSG_MAX_BLOBS)
				return -EPROTO;
			blobs[(*n_blobs)++] = r.u64;
		} else if (r.tag == CORE_ISO_T_BODY && r.type == ORLOP_T_U64) {
			*has_msg = true;
			*body_len = r.u64;
		}
	}
	g->who.user = orlop_msg_bytes(NULL, fields, CORE_ISO_T_USER);
	g->who.uid = orlop_msg_bytes(NULL, fields, CORE_ISO_T_UID);
	g->mail.who = g->who.user.p ? &g->who : NULL;
	g->mail.op = (uint32_t)orlop_msg_u64(fields, CORE_ISO_T_OP, 0);
	g->mail.flags = orlop_msg_u64(fields, CORE_ISO_T_MORE, 0) ? ORLOP_REPLY_MORE : 0;
	g->mail.deadline_ns = orlop_msg_u64(fields, CORE_ISO_T_DEADLINE, 0);
	g->mail.key = orlop_msg_u64(fields, CORE_ISO_T_KEY, 0);
	g->mail.trace = orlop_msg_u64(fields, CORE_ISO_T_TRACE, 0);
	g->mail.to = g->to = core_iso_str(fields, CORE_ISO_T_TO);
	g->mail.status = core_iso_status(fields, &g->err);
	orlop_msgr_init(&r, NULL, NULL, fields->body);
	while (g->mail.status && orlop_msgr_next(&r))
		if (r.tag == CORE_ISO_T_CAUSE && r.type == ORLOP_T_MSG)
			get_cause(g, r.bytes);
	if (g->mail.status)
		g->mail.err = &g->err;
	else
		g->mail.status = (int32_t)(orlop_msg_u64(fields, CORE_ISO_T_REV, 0) & INT32_MAX);
	return 0;
}

static int get_msg(struct core_iso_got *g, struct core_iso_in *in, struct core_iso_meter *meter,
		   struct orlop_bytes raw, const uint64_t *blobs, uint32_t n_blobs, uint64_t body_len)
{
	uint64_t fds = orlop_msg_u64(&in->msg, CORE_ISO_T_FDS, 0);
	uint32_t fd = 0;
	int r;

	if (body_len > raw.len || body_len > ORLOP_MSG_MAX)
		return -EPROTO;
	g->msg.size = sizeof(g->msg);
	g->msg.body.p = raw.p;
	g->msg.body.len = body_len;
	g->msg.blobs = g->blobs;
	g->msg.fds = g->fds;
	raw.p += body_len;
	raw.len -= body_len;
	for (uint32_t i = 0; i < n_blobs; i++) {
		uint64_t len = blobs[i] & ~BLOB_FILE;

		if (blobs[i] & BLOB_FILE) {
			r = fd < in->n_fds ? blob_map(in->fds[fd++], len, meter, &g->blobs[i]) : -EPROTO;
		} else if (len > raw.len) {
			r = -EPROTO;
		} else {
			r = core_blob_new(raw.p, len, &g->blobs[i]);
			raw.p += len;
			raw.len -= len;
		}
		if (r)
			return r;
		g->msg.n_blobs++;
	}
	if (fds >> 16 > ORLOP_MSG_MAX_FDS)
		return -EPROTO;
	for (uint32_t i = 0; i < fds >> 16; i++) {
		bool there = fds >> i & 1;

		if (there && fd == in->n_fds)
			return -EPROTO;
		g->fds[g->msg.n_fds++] = there ? in->fds[fd] : -1;
		if (there)
			in->fds[fd++] = -1;
	}
	g->mail.msg = &g->msg;
	return 0;
}

int core_iso_mail_get(struct core_iso_in *in, struct core_iso_meter *meter, struct core_iso_got **ret)
{
	struct core_iso_got *g = OMEM_NEW(struct core_iso_got);
	struct orlop_msg fields = in->msg;
	uint64_t blobs[ORLOP_MSG_MAX_BLOBS];
	uint64_t body_len = 0;
	uint32_t n_blobs = 0;
	bool has_msg = false;
	struct orlop_bytes raw;
	int r = -ENOMEM;

	if (!g)
		return -ENOMEM;
	g->id = in->id;
	g->err.size = sizeof(g->err);
	g->data = omem_alloc(in->msg.body.len + in->raw.len + 1);
	if (g->data) {
		if (in->msg.body.len)
			memcpy(g->data, in->msg.body.p, in->msg.body.len);
		if (in->raw.len)
			memcpy(g->data + in->msg.body.len, in->raw.p, in->raw.len);
		fields.body.p = g->data;
		raw.p = g->data + in->msg.body.len;
		raw.len = in->raw.len;
		r = get_fields(g, &fields, blobs, &n_blobs, &has_msg, &body_len);
	}
	if (r == 0 && has_msg)
		r = get_msg(g, in, meter, raw, blobs, n_blobs, body_len);
	if (r) {
		core_iso_got_free(g);
		return r;
	}
	*ret = g;
	return 0;
}
