/*
 * snapshot.c - storage/memory as a file and back: what is kept is only what somebody saved.
 *
 * The file is made in memory at once, which is one revision by itself, and written by a worker.
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ofile.h"
#include "base/omem.h"
#include "store/osnap.h"

struct copy_job {
	struct memory	*m;
	struct orlop_call *call;
	struct osnap_writer w;
	uint64_t	rev;
	int		fd;
	int		e;
};

static void job_free(struct copy_job *j)
{
	osnap_writer_done(&j->w);
	if (j->fd >= 0)
		(void)close(j->fd);
	omem_free(j);
}

static void write_work(void *arg)
{
	struct copy_job *j = arg;
	struct stat st;

	j->e = ofile_write_all(j->fd, j->w.buf.data, j->w.buf.len);
	if (!j->e && !fstat(j->fd, &st) && S_ISREG(st.st_mode) && fsync(j->fd))
		j->e = -errno;
}

static void write_done(void *arg)
{
	struct copy_job *j = arg;
	const struct orlop_host *h = j->m->h;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, j->rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, j->w.bytes);
	msg = orlop_msgw_msg(&w);
	if (j->e)
		(void)orlop_fail(&err, -j->e, 0, "", "snapshot: %s", strerrordesc_np(-j->e));
	h->call_done(j->call, j->e, j->e ? NULL : &msg, j->e ? &err : NULL);
	orlop_msgw_done(&w);
	job_free(j);
}

int memory_snapshot(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct memory *m = ctx;
	struct copy_job *j;
	int e;

	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "snapshot needs a descriptor to write to");
	j = OMEM_NEW(struct copy_job);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	j->m = m;
	j->call = call;
	j->rev = m->rev;
	j->fd = fcntl(req->msg.fds[0], F_DUPFD_CLOEXEC, 3);
	e = j->fd < 0 ? -errno : 0;
	osnap_writer_init(&j->w, -1, m->rev, m->h->now_wall(m->h), "storage/memory 0.1");
	for (size_t i = 0; i < m->n_keys && !e; i++) {
		const struct version *v = memory_at(m->keys[i], m->rev);

		if (v)
			osnap_add(&j->w, v->rev, v->create_rev, (struct orlop_bytes){ m->keys[i]->text, m->keys[i]->len },
				  (struct orlop_bytes){ v->value, v->len });
	}
	if (!e)
		e = osnap_end(&j->w);
	if (!e)
		e = m->h->work(m->h, 1, write_work, write_done, j);
	if (e) {
		job_free(j);
		return orlop_fail(err, -e, 0, "", "snapshot could not start");
	}
	return 0;
}

/* One key more in @m, which nobody else sees yet; keys come in order. */
static int item_take(struct memory *m, const struct orlop_storage_item *item, struct orlop_bytes key,
		     struct orlop_bytes value)
{
	struct version *v = omem_alloc(sizeof(*v) + value.len);
	struct key *k = v ? memory_key_get(m, key) : NULL;

	if (!k) {
		omem_free(v);
		return -ENOMEM;
	}
	*v = (struct version){ .rev = item->mod_rev, .create_rev = item->create_rev, .key = k, .len = value.len };
	if (value.len)
		memcpy(v->value, value.p, value.len);
	k->newest = v;
	m->bytes += v->len;
	return 0;
}

int memory_restore(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct memory *m = ctx;
	struct memory fresh = { .h = m->h };
	uint64_t above = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	struct orlop_storage_item item;
	struct osnap_reader r;
	struct orlop_bytes value;
	struct orlop_bytes key;
	int e;

	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "restore needs a descriptor to read from");
	if (m->n_keys)
		return orlop_fail(err, ENOTEMPTY, 0, "", "storage/memory is not empty; restore into a new one");
	e = osnap_reader_init(&r, req->msg.fds[0], err);
	while (!e && (e = osnap_next(&r, &item, &key, &value, err)) > 0) {
		e = item_take(&fresh, &item, key, value);
		if (e)
			e = orlop_fail(err, -e, 0, "", "no memory for the snapshot");
	}
	above = above > m->rev ? above : m->rev;
	above = above > r.head.rev ? above : r.head.rev;
	osnap_reader_done(&r);
	if (e) {
		memory_keys_free(&fresh);
		return e;
	}
	memory_keys_free(m);
	m->keys = fresh.keys;
	m->n_keys = fresh.n_keys;
	m->cap_keys = fresh.cap_keys;
	m->bytes = fresh.bytes;
	m->n_log = 0;
	/* another history than before: no cursor into the old one may go on */
	m->rev = above + 1;
	m->oldest = m->rev;
	if (m->waiters)
		ostore_waiters_wake(m->waiters, UINT64_MAX);
	memory_numbers(m, call);
	return 0;
}
