/*
 * isolate_ask.c - what the process of an isolated module tells its parent and asks it: log lines,
 * metrics, leadership, listening sockets, the health of others.
 */
#include "isolate_up.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "isolate.h"

#define ASK_MS		5000
#define METRICS_MAX	(64u << 20)

/* ---- talking ------------------------------------------------------------------------------------------ */

void core_up_no_memory(struct core_up *up)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;

	(void)orlop_fail(&err, ENOMEM, 0, "", "no memory to talk to the parent core");
	orlop_msgw_init(&w, NULL);
	core_iso_put_status(&w, -ENOMEM, &err);
	(void)core_iso_put(up->ctl, CORE_ISO_FAILED, 0, &w);
	_exit(1);
}

/* One message of what @w has. It may be lost only if the parent is, or if it is of those that nobody waits for. */
void core_up_say(struct core_up *up, uint32_t type, uint64_t id, struct orlop_msgw *w)
{
	int r = up->chan ? core_iso_send(up->chan, type, id, w, 0) : core_iso_put(up->ctl, type, id, w);

	if (w)
		orlop_msgw_done(w);
	if (r == -ENOMEM && type != CORE_ISO_METRIC && type != CORE_ISO_KEEP && type != CORE_ISO_UNLISTEN)
		core_up_no_memory(up);
}

void core_up_say_status(struct core_up *up, uint32_t type, uint64_t id, int status, const struct orlop_error *err)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	core_iso_put_status(&w, status, err);
	core_up_say(up, type, id, &w);
}

void core_up_last(struct core_up *up, uint64_t rev)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_REV, rev);
	core_up_say(up, CORE_ISO_LAST, 0, &w);
}

/* Straight to the socket, from any thread: a line may be the last before a crash. */
bool core_up_log(void *arg, const char *module, int32_t level, const char *event, const char *text)
{
	struct core_up *up = arg;
	struct pollfd p = { .fd = up->ctl, .events = POLLOUT };
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, (uint64_t)level);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, module);
	orlop_msgw_str(&w, CORE_ISO_T_EVENT, event);
	orlop_msgw_str(&w, CORE_ISO_T_TEXT, text);
	r = core_iso_put(up->ctl, CORE_ISO_LOG, 0, &w);
	if (r == -EAGAIN && poll(&p, 1, 100) == 1)
		r = core_iso_put(up->ctl, CORE_ISO_LOG, 0, &w);
	orlop_msgw_done(&w);
	return r == 0;
}

void core_up_metric(void *arg, uint32_t word, uint32_t type, const char *name, const char *labels,
			const char *help, const double *bounds, uint32_t n_bounds)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, type);
	orlop_msgw_u64(&w, CORE_ISO_T_SLOT, word);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, name);
	orlop_msgw_str(&w, CORE_ISO_T_LABELS, labels);
	orlop_msgw_str(&w, CORE_ISO_T_TEXT, help);
	for (uint32_t i = 0; i < n_bounds; i++) {
		uint64_t bits;

		memcpy(&bits, &bounds[i], sizeof(bits));
		orlop_msgw_u64(&w, CORE_ISO_T_BOUND, bits);
	}
	core_up_say(arg, CORE_ISO_METRIC, 0, &w);
}

void core_up_lead(struct core_up *up, uint64_t id, const char *name)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, id);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, name);
	core_up_say(up, CORE_ISO_LEAD, 0, &w);
}

void core_up_lead_drop(struct core_up *up, uint64_t id)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, id);
	core_up_say(up, CORE_ISO_LEAD_DROP, 0, &w);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

/* Asks, with at most one descriptor back (-1: none). */
int core_up_ask(struct core_up *up, uint32_t type, struct orlop_msgw *w, int *ret_fd, struct orlop_error *err)
{
	cleanup_free char *buf = omem_alloc(CORE_ISO_BUF);
	struct core_iso_in in = { .n_fds = 0 };
	int r;

	if (!buf)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	r = core_iso_ask(up->chan, type, w, ASK_MS, buf, CORE_ISO_BUF, &in);
	if (r)
		return orlop_fail(err, -r, 0, "", "the parent core does not answer: %s", strerrordesc_np(-r));
	r = core_iso_status(&in.msg, err);
	for (uint32_t i = r == 0 && in.n_fds && ret_fd ? 1 : 0; i < in.n_fds; i++)
		(void)close(in.fds[i]);
	if (r == 0 && ret_fd)
		*ret_fd = in.n_fds ? in.fds[0] : -1;
	return r;
}

int core_up_borrow(void *arg, const char *addr, int *ret_fd, struct orlop_error *err)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, addr);
	r = core_up_ask(arg, CORE_ISO_ASK_LISTEN, &w, ret_fd, err);
	orlop_msgw_done(&w);
	if (r == 0 && *ret_fd < 0)
		return orlop_fail(err, EPROTO, 0, "", "listen on %s: the parent core gave no socket", addr);
	return r;
}

void core_up_give_back(void *arg, const char *addr)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, addr);
	core_up_say(arg, CORE_ISO_UNLISTEN, 0, &w);
}

/* The whole of a memory file. */
static int read_file(int fd, struct obuf *out)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 0 || st.st_size > (off_t)METRICS_MAX)
		return -EPROTO;
	for (off_t at = 0; at < st.st_size;) {
		char *room = obuf_reserve(out, 65536);
		ssize_t n = room ? pread(fd, room, 65536, at) : -1;

		if (n < 0 && room && errno == EINTR)
			continue;
		if (n <= 0)
			return room ? -EPROTO : -ENOMEM;
		obuf_advance(out, (size_t)n);
		at += n;
	}
	return 0;
}

int core_up_metrics(struct core_up *up, struct obuf *out)
{
	cleanup_close int fd = -1;
	int r = core_up_ask(up, CORE_ISO_ASK_METRICS, NULL, &fd, NULL);

	return r ? r : read_file(fd, out);
}

void core_up_health(struct core_up *up, void (*fn)(void *arg, const char *instance,
		    const struct orlop_health *health), void *arg)
{
	cleanup_close int fd = -1;
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct core_iso_health h;

	if (core_up_ask(up, CORE_ISO_ASK_HEALTH, NULL, &fd, NULL) || read_file(fd, &b))
		return;
	for (size_t at = 0; at + sizeof(h) <= b.len; at += sizeof(h)) {
		struct orlop_health v = { .size = sizeof(v) };

		memcpy(&h, b.data + at, sizeof(h));
		h.name[sizeof(h.name) - 1] = '\0';
		h.text[sizeof(h.text) - 1] = '\0';
		v.ok = h.ok;
		(void)snprintf(v.text, sizeof(v.text), "%s", h.text);
		fn(arg, h.name, &v);
	}
}
