/*
 * ctrend.c - how a container ends: noticed, and what it says with its last breath.
 */
#include "ctr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ofile.h"
#include "base/otime.h"

#define MESSAGE_MAX	4096
#define FALLBACK_MAX	2048
#define FALLBACK_LINES	80

static void message_read(struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);
	char *path = ctr_term_path(c, c->attempt);
	struct obuf b;
	struct obuf tail = OBUF_INIT;
	int fd;

	obuf_init(&b);
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	omem_free(path);
	if (fd >= 0) {
		char *room = obuf_reserve(&b, MESSAGE_MAX);
		ssize_t n = room ? read(fd, room, MESSAGE_MAX) : 0;

		if (n > 0)
			obuf_advance(&b, (size_t)n);
		close(fd);
	}
	if (!b.len && c->exit_code && !strcmp(ojson_get_cstr(spec, "terminationMessagePolicy", ""), "FallbackToLogsOnError")) {
		path = ctr_log_path(c, c->attempt);
		fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
		omem_free(path);
		if (fd >= 0) {
			off_t size = lseek(fd, 0, SEEK_END);
			off_t from = size > 65536 ? size - 65536 : 0;
			char *room;
			ssize_t n;

			obuf_reset(&b);
			room = obuf_reserve(&b, (size_t)(size - from) + 1);
			n = room ? pread(fd, room, (size_t)(size - from), from) : 0;
			if (n > 0)
				logline_tail(room, (size_t)n, FALLBACK_LINES, FALLBACK_MAX, &tail);
			close(fd);
			obuf_reset(&b);
			obuf_append(&b, obuf_cstr(&tail), tail.len);
		}
	}
	obuf_done(&tail);
	text_set(&c->exit_message, b.len ? obuf_cstr(&b) : NULL);
	obuf_done(&b);
}

void ctr_apply_status(struct ctr *c, const struct ojson *st)
{
	const char *state = ojson_get_cstr(st, "state", "");
	int64_t started = ojson_get_i64(st, "startedAt", 0);

	if (started)
		c->started_ns = started;
	if (*ojson_get_cstr(st, "imageRef", ""))
		text_set(&c->image_ref, ojson_get_cstr(st, "imageRef", ""));
	ctr_user_take(c, st);
	if (!strcmp(state, "CONTAINER_RUNNING")) {
		c->state = C_RUNNING;
		return;
	}
	c->finished_ns = ojson_get_i64(st, "finishedAt", kubelet_now(c->pod->k));
	c->exit_code = (int32_t)ojson_get_i64(st, "exitCode", 0);
	text_set(&c->exit_reason, ojson_get_cstr(st, "reason", ""));
	if (!strcmp(state, "CONTAINER_CREATED")) {
		/* made, never started: an end that did not happen */
		c->exit_code = 128;
		text_set(&c->exit_reason, "StartError");
	}
	c->state = C_EXITED;
	c->ready = false;
	c->started = false;
	probes_stop(c);
	ctr_stop_forget(c);
	message_read(c);
}

static void checked(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	const struct ojson *st = ojson_get(res, "status");
	bool again = c->check_again;

	(void)msg;
	(void)why;
	c->checking = false;
	c->check_again = false;
	if (status >= 0 && c->id && !strcmp(ojson_get_cstr(st, "id", c->id), c->id)) {
		const char *state = ojson_get_cstr(st, "state", "");

		/* what was created may be about to start: only an end is news, or whether it began at all */
		ctr_start_seen(c, st);
		if (c->state != C_EXITED && !strcmp(state, "CONTAINER_EXITED")) {
			ctr_apply_status(c, st);
			OLOG(p->k->h, INFO, "container_ended", "pod=%s/%s container=%s exit=%d", p->ns, p->name, c->name,
			     c->exit_code);
			server_ctr_ended(p->k, c);
		}
	} else if (status == -ENOENT && c->state == C_RUNNING) {
		/* somebody removed it */
		c->state = C_EXITED;
		c->exit_code = 137;
		c->finished_ns = kubelet_now(p->k);
		c->ready = false;
		c->started = false;
		probes_stop(c);
		ctr_stop_forget(c);
		text_set(&c->exit_reason, "ContainerStatusUnknown");
		text_set(&c->exit_message, "The container could not be located when the pod was terminated");
		server_ctr_ended(p->k, c);
	} else if (status < 0 && status != -ENOENT && !p->k->stopping) {
		again = status != -ECANCELED;
	}
	/* stopped, told of it and asked: the end is the same */
	if (again && c->state != C_EXITED)
		ctr_check(c);
	pod_kick(p);
	pod_unref(p);
}

void ctr_check(struct ctr *c)
{
	if (c->checking) {
		c->check_again = true;
		return;
	}
	if (!c->id || c->pod->k->stopping)
		return;
	c->checking = true;
	pod_ref(c->pod);
	rt_call(c->pod->k, ORLOP_RUNTIME_CONTAINER_STATUS, 0, rt_id("containerId", c->id), 0, checked, c);
}
