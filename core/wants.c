/*
 * wants.c - reads= taken apart, and lists of what several modules want; see wants.h.
 */
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"

#define WANT_MATCHES_MAX	16u
#define WANT_TEXT_MAX		1024u

/* The host name as kubelets say it. Empty: it has none. */
static void node_default(char buf[256])
{
	if (gethostname(buf, 255))
		buf[0] = '\0';
	buf[255] = '\0';
	for (char *p = buf; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
}

/* @value with a $name put in; "" if that is empty. @buf is for the host name. */
static const char *value_of(const char *value, core_want_param_fn param, void *arg, char buf[256])
{
	const char *p;

	if (value[0] != '$' || !param)
		return value;
	if (strcmp(value, "$node") != 0) {
		p = param(arg, value + 1);
		return p ? p : "";
	}
	p = param(arg, "node_name");
	if (p && *p)
		return p;
	node_default(buf);
	return buf;
}

static char *want_text(char **at, const char *cstr)
{
	size_t n = strlen(cstr) + 1;
	char *p = *at;

	memcpy(p, cstr, n);
	*at += n;
	return p;
}

/* One option; *@at: where texts go. */
static int option(struct core_want *w, struct orlop_feed_match *m, char *opt, char **at,
		  core_want_param_fn param, void *arg)
{
	char buf[256];
	const char *value;
	char *eq = strchr(opt, '=');
	char *eq2;

	if (strcmp(opt, "metadata") == 0) {
		w->pub.flags |= ORLOP_WANT_METADATA;
		return 0;
	}
	if (!eq)
		return -EINVAL;
	*eq++ = '\0';
	if (strcmp(opt, "namespace") == 0) {
		value = value_of(eq, param, arg, buf);
		if (!*eq || w->pub.ns)
			return -EINVAL;
		if (*value)
			w->pub.ns = want_text(at, value);
		return 0;
	}
	if (strcmp(opt, "field") != 0 && strcmp(opt, "label") != 0)
		return -EINVAL;
	eq2 = strchr(eq, '=');
	if (!eq2 || eq2 == eq || w->pub.n_matches == WANT_MATCHES_MAX)
		return -EINVAL;
	*eq2++ = '\0';
	value = value_of(eq2, param, arg, buf);
	if (eq2[0] == '$' && !*value)
		return 0;	/* the parameter is empty: no condition */
	m += w->pub.n_matches++;
	m->size = sizeof(*m);
	m->label = opt[0] == 'l';
	m->name = want_text(at, eq);
	m->value = want_text(at, value);
	return 0;
}

/* What texts may take: each as long as it stands there, or as long as what is put in. */
static size_t text_room(const char *text, core_want_param_fn param, void *arg)
{
	size_t n = strlen(text) + WANT_MATCHES_MAX + 8;
	char name[256], buf[256];

	for (const char *p = strchr(text, '$'); p; p = strchr(p + 1, '$')) {
		size_t len = strcspn(p, ";");

		if (len >= sizeof(name))
			continue;
		memcpy(name, p, len);
		name[len] = '\0';
		n += strlen(value_of(name, param, arg, buf)) + 1;
	}
	return n;
}

int core_want_parse(const char *text, core_want_param_fn param, void *arg, struct core_want **ret,
		    struct orlop_error *err)
{
	struct orlop_feed_match *m;
	char copy[WANT_TEXT_MAX];
	struct core_want *w;
	char *at, *opt, *next;
	int r = 0;

	if (strlen(text) >= sizeof(copy))
		return orlop_fail(err, EINVAL, 0, "", "reads=%.40s…: longer than %u bytes", text,
				  WANT_TEXT_MAX - 1);
	memcpy(copy, text, strlen(text) + 1);
	w = omem_zalloc(sizeof(*w) + WANT_MATCHES_MAX * sizeof(*m) + text_room(text, param, arg));
	if (!w)
		return orlop_fail(err, ENOMEM, 0, "", "reads=%s: out of memory", text);
	m = (struct orlop_feed_match *)(void *)(w + 1);
	at = (char *)(m + WANT_MATCHES_MAX);
	w->pub.size = sizeof(w->pub);
	w->pub.match_size = sizeof(*m);
	w->pub.matches = m;
	opt = strchr(copy, ';');
	if (opt)
		*opt++ = '\0';
	w->pub.resource = want_text(&at, copy);
	if (!copy[0] || strchr(copy, '=') || strchr(copy, '/'))
		r = orlop_fail(err, EINVAL, 0, "", "reads=%s: \"%s\" is not a resource's name", text, copy);
	for (; r == 0 && opt; opt = next) {
		char shown[128];

		next = strchr(opt, ';');
		if (next)
			*next++ = '\0';
		(void)snprintf(shown, sizeof(shown), "%s", opt);
		if (option(w, m, opt, &at, param, arg))
			r = orlop_fail(err, EINVAL, 0, "", "reads=%s: option \"%s\" is none of namespace=NS, "
				       "field=PATH=VALUE, label=NAME=VALUE, metadata", text, shown);
	}
	if (r)
		omem_free(w);
	else
		*ret = w;
	return r;
}

int core_want_copy(const struct orlop_feed_want *from, struct core_want **ret)
{
	size_t room = strlen(from->resource) + (from->ns ? strlen(from->ns) : 0) + 2;
	struct orlop_feed_match *m;
	struct core_want *w;
	char *at;

	for (uint32_t i = 0; i < from->n_matches; i++)
		room += strlen(from->matches[i].name) + strlen(from->matches[i].value) + 2;
	w = omem_zalloc(sizeof(*w) + from->n_matches * sizeof(*m) + room);
	if (!w)
		return -ENOMEM;
	m = (struct orlop_feed_match *)(void *)(w + 1);
	at = (char *)(m + from->n_matches);
	w->pub = *from;
	w->pub.matches = m;
	w->pub.resource = want_text(&at, from->resource);
	w->pub.ns = from->ns ? want_text(&at, from->ns) : NULL;
	for (uint32_t i = 0; i < from->n_matches; i++) {
		m[i] = from->matches[i];
		m[i].name = want_text(&at, from->matches[i].name);
		m[i].value = want_text(&at, from->matches[i].value);
	}
	*ret = w;
	return 0;
}

/* ---- sets ----------------------------------------------------------------------------------------- */

static bool match_in(const struct orlop_feed_match *m, const struct orlop_feed_want *w)
{
	for (uint32_t i = 0; i < w->n_matches; i++)
		if (w->matches[i].label == m->label && strcmp(w->matches[i].name, m->name) == 0 &&
		    strcmp(w->matches[i].value, m->value) == 0)
			return true;
	return false;
}

bool core_want_contains(const struct orlop_feed_want *a, const struct orlop_feed_want *b)
{
	if (strcmp(a->resource, "*") != 0 && strcmp(a->resource, b->resource) != 0)
		return false;
	if ((a->flags & ORLOP_WANT_METADATA) && !(b->flags & ORLOP_WANT_METADATA))
		return false;
	if (a->ns && (!b->ns || strcmp(a->ns, b->ns) != 0))
		return false;
	for (uint32_t i = 0; i < a->n_matches; i++)
		if (!match_in(&a->matches[i], b))
			return false;
	return true;
}

void core_wants_add(struct core_wants *l, struct core_want *take_w)
{
	struct core_want **at;

	for (at = &l->first; *at; at = &(*at)->next)
		if (core_want_contains(&(*at)->pub, &take_w->pub)) {
			omem_free(take_w);
			return;
		}
	for (at = &l->first; *at;) {
		struct core_want *w = *at;

		if (!core_want_contains(&take_w->pub, &w->pub)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		omem_free(w);
	}
	take_w->next = NULL;
	*at = take_w;
}

bool core_wants_equal(const struct core_wants *a, const struct core_wants *b)
{
	const struct core_want *x, *y;
	uint32_t n = 0;

	for (y = b->first; y; y = y->next)
		n++;
	for (x = a->first; x; x = x->next, n--) {
		for (y = b->first; y; y = y->next)
			if (core_want_contains(&x->pub, &y->pub) && core_want_contains(&y->pub, &x->pub))
				break;
		if (!y)
			return false;
	}
	return n == 0;
}

void core_wants_done(struct core_wants *l)
{
	while (l->first) {
		struct core_want *w = l->first;

		l->first = w->next;
		omem_free(w);
	}
}
