/*
 * metrics_cache.c - the cache in numbers, under the names that dashboards of API servers know: their watch cache is ours.
 * Told when somebody asks; nothing is counted for it elsewhere.
 */
#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "core.h"

enum { RECEIVED, CAPACITY, REVISION, N_FAMILIES };

static const struct {
	const char	*name;
	const char	*type;
	const char	*help;
} families[N_FAMILIES] = {
	[RECEIVED] = { "apiserver_watch_cache_events_received_total", "counter", "Changes that came out of the storage." },
	[CAPACITY] = { "apiserver_watch_cache_capacity", "gauge", "Changes that the journal has room for as it is now." },
	[REVISION] = { "apiserver_watch_cache_resource_version", "gauge", "What the cache has come to." },
};

static void put(struct obuf *b, int family, const char *name, uint64_t v)
{
	const char *dot = strchr(name, '.');

	obuf_printf(b, "%s{group=\"%s\",resource=\"%.*s\"} %llu\n", families[family].name, dot ? dot + 1 : "",
		    (int)(dot ? (size_t)(dot - name) : strlen(name)), name, (unsigned long long)v);
}

static void one(void *arg, const struct core_cache_stat *s)
{
	struct obuf *b = arg;

	/* "resources" is the list of the others. */
	if (!s->registered || strcmp(s->name, "resources") == 0)
		return;
	put(&b[RECEIVED], RECEIVED, s->name, s->journal_total);
	put(&b[CAPACITY], CAPACITY, s->name, s->journal_cap);
	put(&b[REVISION], REVISION, s->name, s->rev);
}

void core_metrics_all(struct core *c, struct obuf *out)
{
	struct obuf b[N_FAMILIES];

	core_metrics_text(c->metrics, out);
	for (int i = 0; i < N_FAMILIES; i++)
		obuf_init(&b[i]);
	core_cache_stats(c->cache, one, b);
	for (int i = 0; i < N_FAMILIES; i++) {
		if (b[i].len) {
			obuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[i].name, families[i].help, families[i].name,
				    families[i].type);
			obuf_append(out, b[i].data, b[i].len);
		}
		if (obuf_err(&b[i]))
			out->err = obuf_err(&b[i]);
		obuf_done(&b[i]);
	}
}
