/*
 * crash-child.c - what the process of an isolated module wrote when it died, as a file beside our own reports.
 *
 * The child knows its registers, its stack and what it had mapped. The switch that its messages passed is in this
 * process, so that the last of them are added here.
 */
#include <fcntl.h>
#include <string.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "crash.h"

struct last {
	struct core	*c;
	struct obuf	*to;
};

static void message_put(void *arg, const char *link, const struct core_bus_head *h, const char *src,
			const char *dst)
{
	struct last *l = arg;

	obuf_printf(l->to, "bus %s %s src=%s dst=%s address=%s op=%u status=%d len=%u trace=%016llx at_ns=%llu\n", link,
		    core_bus_kind_name(h->kind), src[0] ? src : "-", dst[0] ? dst : "-", core_bus_name(l->c->bus, h->name),
		    h->op, h->status, h->len_bytes, (unsigned long long)h->trace, (unsigned long long)h->at_ns);
}

void core_crash_keep(struct core *c, const char *name, int pid, const char *text, size_t len)
{
	static const char frames[] = "\nframes\n";
	const char *dir = c->config->data_dir;
	const char *at = memmem(text, len, frames, sizeof(frames) - 1);
	size_t head = at ? (size_t)(at - text) + 1 : len;
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_free char *folder = dir ? omem_printf("%s/crash", dir) : NULL;
	cleanup_free char *path = dir ? omem_printf("%s/%llu-%d.new", folder ? folder : "",
						    (unsigned long long)(core_now_wall() / 1000000000), pid) : NULL;
	struct last l = { .c = c, .to = &b };

	if (!folder || !path)
		return;
	obuf_append(&b, text, head);
	core_bus_recent(c->bus, name, message_put, &l);
	obuf_append(&b, text + head, len - head);
	(void)ofile_mkdir_p(folder, 0700);
	if (obuf_err(&b) == 0 && ofile_write(AT_FDCWD, path, b.data, b.len, 0600) == 0)
		(void)core_crash_tell(c);
}
