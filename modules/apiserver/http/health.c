/* /livez, /readyz, /healthz: one check per module, and what must have happened before anyone may come. */
#include "front.h"

#include <stdio.h>

struct checks {
	struct front	*f;
	struct obuf	out;
	struct orlop_bytes only;	/* single check: /readyz/NAME */
	bool		live;		/* a module that is not serving does not make us dead */
	bool		found;
	bool		failed;
};

static bool excluded(struct front *f, const char *name)
{
	struct orlop_bytes q = ohttp_query(f->req);
	size_t at = 0;

	while (at < q.len) {
		const char *amp = memchr(q.p + at, '&', q.len - at);
		size_t end = amp ? (size_t)(amp - q.p) : q.len;

		if (ostr_starts(q.p + at, end - at, "exclude=") &&
		    ostr_is(q.p + at + 8, end - at - 8, name))
			return true;
		at = end + 1;
	}
	return false;
}

static void check(struct checks *c, const char *name, bool good)
{
	if (c->only.len && !bytes_is(c->only, name))
		return;
	c->found = true;
	if (excluded(c->f, name)) {
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

bool health_serve(struct front *f)
{
	static const char *const words[] = { "livez", "readyz", "healthz" };
	const struct orlop_host *h = f->sh->h;
	struct orlop_bytes path = f->rt.path;
	struct checks c = { .f = f, .out = OBUF_INIT };
	const char *word = NULL;
	bool verbose;

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
	check(&c, "ping", true);
	if (!c.live) {
		check(&c, "poststarthook/bootstrap", __atomic_load_n(&f->sh->a->booted, __ATOMIC_ACQUIRE));
		check(&c, "shutdown", true);	/* who drains has a successor, or the process ends in a moment */
	}
	if (h->health_list)
		h->health_list(h, on_module, &c);
	if (c.only.len && !c.found) {
		obuf_done(&c.out);
		front_text(f, 404, "text/plain; charset=utf-8", "404 page not found\n", 19);
		return true;
	}
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
