/* psa.c - Pod Security Standards: levels, versions, and the words for what was found. */
#include "podsecurity.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

void psa_add(struct psa_names *s, const char *name)
{
	if (s->n < sizeof(s->v) / sizeof(s->v[0]))
		s->v[s->n++] = name;
}

void psa_add_once(struct psa_names *s, const char *name)
{
	unsigned int i = 0;

	while (i < s->n && strcmp(s->v[i], name) < 0)
		i++;
	if ((i < s->n && !strcmp(s->v[i], name)) || s->n == sizeof(s->v) / sizeof(s->v[0]))
		return;
	memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof(s->v[0]));
	s->v[i] = name;
	s->n++;
}

/* As Go's %q writes it. */
static void quote_one(struct obuf *b, const char *t)
{
	obuf_puts(b, "\"");
	for (; *t; t++) {
		if (*t == '"' || *t == '\\')
			obuf_printf(b, "\\%c", *t);
		else if (*t == '\n')
			obuf_puts(b, "\\n");
		else if (*t == '\t')
			obuf_puts(b, "\\t");
		else
			obuf_append(b, t, 1);
	}
	obuf_puts(b, "\"");
}

void psa_quote(struct obuf *b, const struct psa_names *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		obuf_puts(b, i ? ", " : "");
		quote_one(b, s->v[i]);
	}
}

void psa_join(struct obuf *b, const struct psa_names *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		obuf_printf(b, "%s%s", i ? ", " : "", s->v[i]);
}

void psa_containers(struct obuf *b, const struct psa_names *s)
{
	obuf_puts(b, s->n == 1 ? "container " : "containers ");
	psa_quote(b, s);
}

void psa_setters(struct obuf *b, bool pod, const struct psa_names *s)
{
	if (pod)
		obuf_puts(b, s->n ? "pod and " : "pod");
	if (s->n)
		psa_containers(b, s);
}

const struct ojson *psa_container(const struct ojson *spec, size_t i)
{
	static const char *const lists[] = { "initContainers", "containers", "ephemeralContainers" };

	for (size_t l = 0; l < 3; l++) {
		const struct ojson *list = ojson_get_array(spec, lists[l]);
		size_t n = ojson_count(list);

		if (i < n)
			return ojson_index(list, i);
		i -= n;
	}
	return NULL;
}

bool psa_own_users(const struct ojson *spec)
{
	return ojson_has(spec, "hostUsers") && !ojson_get_bool(spec, "hostUsers", true);
}

bool psa_is_windows(const struct ojson *spec)
{
	return ojson_string_is(OJSON_AT(spec, "os", "name"), "windows");
}

const char *psa_policy_text(const struct psa_policy *p, char buf[40])
{
	static const char *const levels[] = { "privileged", "baseline", "restricted" };

	if (p->minor < 0)
		(void)snprintf(buf, 40, "%s:latest", levels[p->level]);
	else
		(void)snprintf(buf, 40, "%s:v1.%d", levels[p->level], p->minor);
	return buf;
}

/* Rules of the restricted level that say all that this one says. */
static bool is_overridden(const char *id, int minor)
{
	static const struct {
		const char	*id;
		int		since;
	} over[] = { { "capabilities_baseline", 22 }, { "seccompProfile_baseline", 19 }, { "hostPathVolumes", 0 } };

	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		if (!strcmp(over[i].id, id) && minor >= over[i].since)
			return true;
	return false;
}

static bool run(const struct psa_rule *rules, int minor, bool restricted, const struct ojson *meta, const struct ojson *spec,
		struct obuf *details, struct obuf *reasons)
{
	bool allowed = true;

	for (; rules->id; rules++) {
		struct obuf reason = OBUF_INIT, detail = OBUF_INIT;

		if (minor < rules->since || (rules->until && minor >= rules->until) ||
		    (restricted && rules->level == PSA_BASELINE && is_overridden(rules->id, minor)))
			continue;
		if (rules->against(meta, spec, &reason, &detail)) {
			allowed = false;
			if (details)
				obuf_printf(details, "%s%s", details->len ? ", " : "", obuf_cstr(&reason));
			if (details && detail.len)
				obuf_printf(details, " (%s)", obuf_cstr(&detail));
			if (reasons)
				obuf_printf(reasons, "%s%s", reasons->len ? ", " : "", obuf_cstr(&reason));
		}
		obuf_done(&reason);
		obuf_done(&detail);
	}
	return allowed;
}

bool psa_evaluate(const struct psa_policy *p, const struct ojson *meta, const struct ojson *spec, struct obuf *details,
		  struct obuf *reasons)
{
	int minor = p->minor < 0 || p->minor > PSA_LATEST ? PSA_LATEST : p->minor;
	bool restricted = p->level == PSA_RESTRICTED, allowed;

	if (p->level == PSA_PRIVILEGED)
		return true;
	allowed = run(psa_baseline_rules, minor, restricted, meta, spec, details, reasons);
	if (restricted && !run(psa_restricted_rules, minor, true, meta, spec, details, reasons))
		allowed = false;
	return allowed;
}
