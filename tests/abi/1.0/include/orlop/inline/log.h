/*
 * inline/log.h - OLOG(): one structured line. Compiled into the module: API, not ABI.
 *
 *   OLOG(h, WARN, "bind_conflict", "pod=%s/%s node=%s", ns, name, node);
 */
#ifndef ORLOP_INLINE_LOG_H
#define ORLOP_INLINE_LOG_H

#include <stdarg.h>
#include <stdio.h>

#include <orlop/host.h>

/* One log line with its text formatted; what does not fit is cut. */
__attribute__((format(printf, 4, 5), unused))
static inline void orlop_logf(const struct orlop_host *h, int32_t level, const char *event,
			      const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	h->log(h, level, event, buf);
}

#define OLOG(h, level, event, ...)						\
	do {									\
		if ((h)->log_enabled((h), ORLOP_LOG_##level))			\
			orlop_logf((h), ORLOP_LOG_##level, (event), __VA_ARGS__);	\
	} while (0)

/* (length, pointer) of struct orlop_bytes for "%.*s". */
#define OB(b)	(int)(b).len, (b).p
#define OBYTES(s)	((struct orlop_bytes){ .p = (s), .len = sizeof(s) - 1 })

#endif
