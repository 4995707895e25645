/*
 * inline/log.h - OLOG(): one structured line. Compiled into the module: API, not ABI.
 *
 *   OLOG(h, WARN, "bind_conflict", "pod=%s/%s node=%s why=\"%s\"", ns, name, node, why);
 *
 * Lines are logfmt: what the format puts in quotes is one value, so quotes and backslashes in it are escaped; the
 * value of key=%s gets quotes if it would not be read back as one.
 */
#ifndef ORLOP_INLINE_LOG_H
#define ORLOP_INLINE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>

#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif

/* One conversion but %s: @spec with its argument. */
__attribute__((cold, unused))
static inline int orlop_log_number(char *buf, size_t size, const char *spec, char conv, int longs, va_list *ap)
{
	if (strchr("aAeEfFgG", conv))
		return snprintf(buf, size, spec, va_arg(*ap, double));
	if (conv == 'p')
		return snprintf(buf, size, spec, va_arg(*ap, void *));
	if (longs > 1)
		return snprintf(buf, size, spec, va_arg(*ap, long long));
	if (longs)
		return snprintf(buf, size, spec, va_arg(*ap, long));
	return snprintf(buf, size, spec, va_arg(*ap, int));
}

#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

struct orlop_log_text {
	char	*buf;
	size_t	size;
	size_t	at;
	bool	quoted;		/* a value that has begun in quotes */
	bool	full;
};

/* Room for two, and a quote at the end, is kept; what does not fit is cut. */
__attribute__((cold, unused))
static inline void orlop_log_put(struct orlop_log_text *t, const char *p, size_t n, bool value)
{
	for (size_t i = 0; i < n; i++) {
		t->full = t->full || t->at + 4 > t->size;
		if (t->full)
			return;
		if (value && t->quoted && (p[i] == '"' || p[i] == '\\'))
			t->buf[t->at++] = '\\';
		else if (!value && p[i] == '"')
			t->quoted = !t->quoted;
		t->buf[t->at++] = p[i];
	}
}

/* The text of a line. */
__attribute__((cold, unused))
static inline void orlop_log_format(char *buf, size_t size, const char *fmt, va_list *ap)
{
	struct orlop_log_text t = { buf, size, 0, false, false };

	for (const char *p = fmt; *p && !t.full; p += *p != '\0') {
		char spec[32];
		char num[400];
		size_t n = 0;
		int longs = 0;
		const char *before = p;

		if (*p != '%' || p[1] == '%') {
			orlop_log_put(&t, p, 1, false);
			p += *p == '%';
			continue;
		}
		spec[n++] = *p++;
		for (; *p && strchr("-+ #0123456789.*lhzjt", *p) && n < sizeof(spec) - 14; p++) {
			if (*p == '*')
				n += (size_t)snprintf(spec + n, 12, "%d", va_arg(*ap, int));
			else
				spec[n++] = *p;
			longs += *p == 'l' || *p == 'z' || *p == 't' ? 1 : *p == 'j' ? 2 : 0;
		}
		spec[n++] = *p;
		spec[n] = '\0';
		if (*p == 's') {
			const char *s = va_arg(*ap, const char *);
			const char *dot = strchr(spec, '.');
			const char *end;
			bool bare = !t.quoted && before > fmt && before[-1] == '=' && (p[1] == ' ' || !p[1]);

			s = s ? s : "(null)";
			n = dot && dot[1] != '-' ? strtoul(dot + 1, NULL, 10) : strlen(s);
			end = (const char *)memchr(s, 0, n);
			n = end ? (size_t)(end - s) : n;
			bare = bare && (memchr(s, ' ', n) || memchr(s, '"', n));
			if (bare)
				orlop_log_put(&t, "\"", 1, false);
			orlop_log_put(&t, s, n, true);
			if (bare)
				orlop_log_put(&t, "\"", 1, false);
		} else if (*p && *p != 'n') {
			orlop_log_number(num, sizeof(num), spec, *p, longs, ap);
			orlop_log_put(&t, num, strlen(num), false);
		}
	}
	if (t.quoted)
		buf[t.at++] = '"';
	buf[t.at] = '\0';
}

/* One log line with its text formatted; what does not fit is cut. */
__attribute__((format(printf, 4, 5), unused, cold))
static inline void orlop_logf(const struct orlop_host *h, int32_t level, const char *event,
			      const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	orlop_log_format(buf, sizeof(buf), fmt, &ap);
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
