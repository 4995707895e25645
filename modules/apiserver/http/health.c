/*
 * /livez, /readyz, /healthz: one check per module, and what must have happened before anyone may come. Where upstream has
 * a check of the same meaning it has upstream's name.
 */
#include "front.h"

#include <stdio.h>

#define EXCLUDES	32u

struct checks {
	struct front	*f;
	struct obuf	out;
	struct orlop_bytes only;	/* single check: /readyz/NAME */
	struct orlop_bytes excludes[EXCLUDES];
	uint32_t	n_excludes;
	uint32_t	matched;	/* bit by exclude */
	bool		live;		/* a module that is not serving does not make us dead */
	bool		storage;	/* of the storage, if there is one here */
	bool		found;
	bool		failed;
};

static void read_excludes(struct checks *c)
{
	struct orlop_bytes q = ohttp_query(c->f->req);
	size_t at = 0;

	while (at < q.len && c->n_excludes < EXCLUDES) {
		const char *amp = memchr(q.p + at, '&', q.len - at);
		size_t end = amp ? (size_t)(amp - q.p) : q.len;
		struct orlop_bytes one = { q.p + at, end - at };

		/* one at a time, so that the first of the name is this one */
		if (ostr_starts(one.p, one.len, "exclude=")) {
			one = query_get(&c->f->arena, one, "exclude");
			if (one.p)
				c->excludes[c->n_excludes++] = one;
		}
		at = end + 1;
	}
}

static bool excluded(struct checks *c, const char *name)
{
	bool r = false;

	for (uint32_t i = 0; i < c->n_excludes; i++)
		if (bytes_is(c->excludes[i], name)) {
			c->matched |= 1u << i;
			r = true;
		}
	return r;
}

static void check(struct checks *c, const char *name, bool good)
{
	if (c->only.len && !bytes_is(c->only, name))
		return;
	c->found = true;
	if (excluded(c, name)) {
		obuf_printf(&c->out, "[+]%s excluded: ok\n", name);
		return;
	}
	if (good)
		obuf_printf(&c->out, "[+]%s ok\n", name);
	else
		obuf_printf(&c->out, "[-]%s failed: reason withheld\n", name);
	c->failed |= !good;
}

static void on_module(void *arg, const char *instance, const struct orlop_health *health)
{
	struct checks *c = arg;

	check(c, instance, health->ok || c->live);
}

static void on_storage(void *arg, const char *instance, const struct orlop_health *health)
{
	struct checks *c = arg;

	if (strncmp(instance, "storage", 7) == 0)
		c->storage = health->ok;
}

static void warn_of_unknown(struct checks *c)
{
	bool any = false;

	for (uint32_t i = 0; i < c->n_excludes; i++) {
		if (c->matched & 1u << i)
			continue;
		obuf_puts(&c->out, any ? "," : "warn: some health checks cannot be excluded: no matches for ");
		obuf_put_quoted(&c->out, c->excludes[i].p, c->excludes[i].len);
		any = true;
	}
	if (any)
		obuf_putc(&c->out, '\n');
}

bool health_serve(struct front *f)
{
	static const char *const words[] = { "livez", "readyz", "healthz" };
	const struct orlop_host *h = f->sh->h;
	struct orlop_bytes path = f->rt.path;
	struct checks c = { .f = f, .out = OBUF_INIT, .storage = true };
	const char *word = NULL;
	bool verbose, booted, ends;

	for (size_t i = 0; i < 3 && !word; i++) {
		size_t n = strlen(words[i]) + 1;

		if (path.len >= n && path.p[0] == '/' && memcmp(path.p + 1, words[i], n - 1) == 0 &&
		    (path.len == n || path.p[n] == '/')) {
			word = words[i];
			if (path.len > n + 1)
				c.only = (struct orlop_bytes){ path.p + n + 1, path.len - n - 1 };
		}
	}
	if (!word)
		return false;
	c.live = strcmp(word, "livez") == 0;
	verbose = query_get(&f->arena, ohttp_query(f->req), "verbose").p != NULL;
	read_excludes(&c);
	if (h->health_list)
		h->health_list(h, on_storage, &c);
	booted = c.live || __atomic_load_n(&f->sh->a->booted, __ATOMIC_ACQUIRE);
	check(&c, "ping", true);
	check(&c, "log", true);
	check(&c, "etcd", c.storage);
	if (!c.live) {
		check(&c, "etcd-readiness", c.storage);
		check(&c, "informer-sync", booted);	/* bootstrap begins when the caches have all there is */
	}
	check(&c, "poststarthook/bootstrap-controller", booted);
	check(&c, "poststarthook/rbac/bootstrap-roles", booted);
	check(&c, "poststarthook/priority-and-fairness-config-producer", booted);
	check(&c, "poststarthook/scheduling/bootstrap-system-priority-classes", booted);
	/* Who drains for a successor leaves no gap: it serves already. */
	ends = f->sh->finishing || (ORLOP_HOST_HAS(h, ending) && h->ending(h));
	if (!c.live)
		check(&c, "shutdown", !ends);
	if (h->health_list)
		h->health_list(h, on_module, &c);
	if (c.only.len && !c.found) {
		obuf_done(&c.out);
		front_text(f, 404, "text/plain; charset=utf-8", "404 page not found\n", 19);
		return true;
	}
	if (c.failed || (verbose && !c.only.len))
		warn_of_unknown(&c);
	if (c.failed) {
		obuf_printf(&c.out, "%s check failed\n", word);
	} else if (verbose && !c.only.len) {
		obuf_printf(&c.out, "%s check passed\n", word);
	} else {
		obuf_reset(&c.out);
		obuf_puts(&c.out, "ok");
	}
	front_text(f, c.failed ? 500 : 200, "text/plain; charset=utf-8", obuf_cstr(&c.out), c.out.len);
	obuf_done(&c.out);
	return true;
}
