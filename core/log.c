/*
 * log.c - writing lines, to the journal's socket or as logfmt to stderr; levels; counting repeats.
 *
 * A line that was written a moment ago is not written again: it is counted, and the count is written
 * when its window ends. Whether stderr is the journal is told by JOURNAL_STREAM, as systemd defines
 * it; then lines go to the journal's own socket with their fields (native protocol, no library).
 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/obuf.h"
#include "base/omap.h"
#include "base/omem.h"
#include "base/otime.h"
#include "loop.h"

#define RECENT		16u
#define WINDOW_NS	UINT64_C(5000000000)

/* A line that was written within the window. */
struct recent {
	uint64_t	hash;		/* 0: free */
	uint64_t	until_ns;
	uint32_t	repeats;
	int32_t		level;
	char		module[64];
	char		event[48];
};

struct core_log {
	pthread_mutex_t	lock;
	_Atomic int32_t	level;
	_Atomic uint32_t n_modules;	/* with a level of their own */
	struct omap	modules;	/* name → level */
	int		journal;	/* socket, -1: stderr */
	struct recent	recent[RECENT];
	bool		(*sink)(void *arg, const char *module, int32_t level, const char *event, const char *text);
	void		*sink_arg;
};

static const char *level_word(int32_t level)
{
	switch (level) {
	case ORLOP_LOG_ERR:
		return "error";
	case ORLOP_LOG_WARN:
		return "warn";
	case ORLOP_LOG_INFO:
		return "info";
	default:
		return "debug";
	}
}

int core_log_level_parse(const char *word, int32_t *ret)
{
	static const int32_t levels[] = { ORLOP_LOG_ERR, ORLOP_LOG_WARN, ORLOP_LOG_INFO, ORLOP_LOG_DEBUG };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(word, level_word(levels[i])) == 0) {
			*ret = levels[i];
			return 0;
		}
	return -EINVAL;
}

static int journal_open(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	unsigned long long dev;
	unsigned long long ino;
	struct stat st;
	int fd;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 || fstat(2, &st) < 0 ||
	    st.st_dev != dev || st.st_ino != ino)
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

int core_log_new(int32_t level, struct core_log **ret)
{
	struct core_log *l = OMEM_NEW(struct core_log);

	if (!l)
		return -ENOMEM;
	(void)pthread_mutex_init(&l->lock, NULL);
	atomic_init(&l->level, level);
	omap_init(&l->modules);
	l->journal = journal_open();
	*ret = l;
	return 0;
}

void core_log_free(struct core_log *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < RECENT; i++)
		l->recent[i].until_ns = 0;
	core_log_flush(l);
	if (l->journal >= 0)
		(void)close(l->journal);
	omap_done(&l->modules);
	pthread_mutex_destroy(&l->lock);
	omem_free(l);
}

void core_log_sink(struct core_log *l, bool (*fn)(void *arg, const char *module, int32_t level,
			const char *event, const char *text), void *arg)
{
	pthread_mutex_lock(&l->lock);
	l->sink = fn;
	l->sink_arg = arg;
	pthread_mutex_unlock(&l->lock);
}

void core_log_set_level(struct core_log *l, int32_t level)
{
	atomic_store(&l->level, level);
}

int core_log_set_module(struct core_log *l, const char *module, int32_t level)
{
	int r = 0;

	pthread_mutex_lock(&l->lock);
	if (level)
		r = omap_put_cstr(&l->modules, module, (void *)(uintptr_t)level);
	else
		(void)omap_del(&l->modules, module, strlen(module));
	atomic_store(&l->n_modules, omap_count(&l->modules));
	pthread_mutex_unlock(&l->lock);
	return r;
}

int32_t core_log_level(struct core_log *l, const char *module)
{
	int32_t limit = atomic_load_explicit(&l->level, memory_order_relaxed);

	if (atomic_load_explicit(&l->n_modules, memory_order_relaxed)) {
		void *own;

		pthread_mutex_lock(&l->lock);
		own = omap_get_cstr(&l->modules, module);
		pthread_mutex_unlock(&l->lock);
		if (own)
			limit = (int32_t)(uintptr_t)own;
	}
	return limit;
}

int core_log_enabled(struct core_log *l, const char *module, int32_t level)
{
	return level <= core_log_level(l, module);
}

/* Text for one line: control characters would begin a line of somebody else's making. */
static void put_clean(struct obuf *b, const char *p)
{
	for (; *p; p++) {
		if (*p == '\n')
			obuf_puts(b, "\\n");
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			obuf_printf(b, "\\x%02x", (unsigned char)*p);
		else
			obuf_putc(b, *p);
	}
}

/* One line out. Lock held: lines do not mix. */
static void line_write(struct core_log *l, const char *module, int32_t level, const char *event,
		       const char *text)
{
	struct obuf b = OBUF_INIT;
	char when[OTIME_BUF];
	const char *p;
	size_t n;

	if (l->sink && l->sink(l->sink_arg, module, level, event, text))
		return;
	if (l->journal >= 0) {
		obuf_printf(&b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=orlopd\nORLOP_MODULE=", level);
		put_clean(&b, module);
		obuf_puts(&b, "\nORLOP_EVENT=");
		put_clean(&b, event);
		obuf_puts(&b, "\nMESSAGE=");
	} else {
		(void)otime_format_micro((int64_t)core_now_wall(), when);
		obuf_printf(&b, "time=%s level=%s ", when, level_word(level));
	}
	obuf_puts(&b, "module=");
	put_clean(&b, module);
	obuf_puts(&b, " event=");
	put_clean(&b, event);
	if (text[0]) {
		obuf_putc(&b, ' ');
		put_clean(&b, text);
	}
	obuf_putc(&b, '\n');
	if (obuf_err(&b)) {
		obuf_done(&b);
		return;
	}
	/* A full journal or pipe loses the line rather than stop the daemon; an error has no other place to go. */
	if (l->journal >= 0) {
		(void)!send(l->journal, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	} else {
		for (p = b.data, n = b.len; n > 0;) {
			ssize_t w = write(2, p, n);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				break;
			p += w;
			n -= (size_t)w;
		}
	}
	obuf_done(&b);
}

static void recent_end(struct core_log *l, struct recent *r)
{
	char text[64];

	if (r->repeats) {
		(void)snprintf(text, sizeof(text), "repeated=%u", r->repeats);
		line_write(l, r->module, r->level, r->event, text);
	}
	r->hash = 0;
	r->repeats = 0;
}

static void recent_sweep(struct core_log *l, uint64_t now)
{
	for (uint32_t i = 0; i < RECENT; i++)
		if (l->recent[i].hash && l->recent[i].until_ns <= now)
			recent_end(l, &l->recent[i]);
}

static uint64_t line_hash(const char *module, int32_t level, const char *event, const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)level;
	const char *const parts[] = { module, event, text };

	for (int i = 0; i < 3; i++)
		for (const char *p = parts[i];; p++) {
			h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
			if (!*p)
				break;
		}
	return h ? h : 1;
}

void core_log_write(struct core_log *l, const char *module, int32_t level, const char *event,
		    const char *text)
{
	uint64_t now;
	uint64_t hash;
	struct recent *slot;

	if (!core_log_enabled(l, module, level))
		return;
	if (!text)
		text = "";
	now = core_now_mono();
	hash = line_hash(module, level, event, text);
	pthread_mutex_lock(&l->lock);
	recent_sweep(l, now);
	slot = &l->recent[0];
	for (uint32_t i = 0; i < RECENT; i++) {
		struct recent *r = &l->recent[i];

		if (r->hash == hash) {
			r->repeats++;
			pthread_mutex_unlock(&l->lock);
			return;
		}
		if (slot->hash && (!r->hash || r->until_ns < slot->until_ns))
			slot = r;
	}
	recent_end(l, slot);
	slot->hash = hash;
	slot->until_ns = now + WINDOW_NS;
	slot->level = level;
	(void)snprintf(slot->module, sizeof(slot->module), "%s", module);
	(void)snprintf(slot->event, sizeof(slot->event), "%s", event);
	line_write(l, module, level, event, text);
	pthread_mutex_unlock(&l->lock);
}

void core_logf(struct core_log *l, const char *module, int32_t level, const char *event,
	       const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	if (!core_log_enabled(l, module, level))
		return;
	va_start(ap, fmt);
	orlop_log_format(buf, sizeof(buf), fmt, &ap);
	va_end(ap);
	core_log_write(l, module, level, event, buf);
}

void core_log_text(struct core_log *l, const char *module, int32_t level, const char *event,
		   const char *sentence)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "text=");
	obuf_put_quoted(&b, sentence, strlen(sentence));
	core_log_write(l, module, level, event, obuf_cstr(&b));
	obuf_done(&b);
}

void core_log_flush(struct core_log *l)
{
	pthread_mutex_lock(&l->lock);
	recent_sweep(l, core_now_mono());
	pthread_mutex_unlock(&l->lock);
}

uint64_t core_log_flush_at(struct core_log *l)
{
	uint64_t at = 0;

	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < RECENT; i++)
		if (l->recent[i].repeats && (!at || l->recent[i].until_ns < at))
			at = l->recent[i].until_ns;
	pthread_mutex_unlock(&l->lock);
	return at;
}
