/* diag.c - why no node will do, in upstream's words: FitError and what preemption answers to it. */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

#define MAX_REASONS (SD_N_PLUGINS + 4 + 64 + SD_N_HOWS + SD_TEXTS + 2)

static const char *const plugin_text[SD_N_PLUGINS] = {
	[SD_P_UNSCHEDULABLE] = "node(s) were unschedulable",
	[SD_P_NODE_NAME] = "node(s) didn't match the requested node name",
	[SD_P_TAINTS] = "node(s) had untolerated taint(s)",
	[SD_P_AFFINITY] = "node(s) didn't match Pod's node affinity/selector",
	[SD_P_RESTRICTIONS] = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
	[SD_P_LIMITS] = "node(s) exceed max volume count",
	[SD_P_PORTS] = "node(s) didn't have free ports for the requested pod ports",
};

static const char *const fit_text[4] = {
	"Too many pods",
	"Insufficient cpu",
	"Insufficient memory",
	"Insufficient ephemeral-storage",
};

static const char *const how_text[SD_N_HOWS] = {
	[SD_HOW_NEED] = "node(s) didn't match pod affinity rules",
	[SD_HOW_AVOID] = "node(s) didn't match pod anti-affinity rules",
	[SD_HOW_AVOIDED] = "node(s) didn't satisfy existing pods anti-affinity rules",
	[SD_HOW_SKEW] = "node(s) didn't match pod topology spread constraints",
	[SD_HOW_NO_LABEL] = "node(s) didn't match pod topology spread constraints (missing required label)",
};

static bool by_how(enum sd_plugin p)
{
	return p == SD_P_SPREAD || p == SD_P_POD_AFFINITY;
}

void sd_diag_text(struct sd_diag *d, const char *text, uint32_t n)
{
	for (uint32_t i = 0; i < d->n_texts; i++)
		if (strcmp(d->texts[i].text, text) == 0) {
			d->texts[i].n += n;
			return;
		}
	if (d->n_texts == SD_TEXTS)
		return;
	d->texts[d->n_texts].text = text;
	d->texts[d->n_texts++].n = n;
}

void sd_diag_add(struct sd_diag *d, const struct sd_why *why)
{
	d->plugins |= SD_BIT(why->plugin);
	if (why->unresolvable)
		d->unresolvable++;
	if (by_how(why->plugin)) {
		d->how[why->how]++;
		return;
	}
	if (why->plugin == SD_P_VOLUMES || why->plugin == SD_P_OTHER || (why->plugin == SD_P_RESTRICTIONS && why->text)) {
		sd_diag_text(d, why->text ? why->text : "", 1);
		return;
	}
	if (why->plugin != SD_P_FIT) {
		d->count[why->plugin]++;
		return;
	}
	for (uint32_t i = 0; i < 4; i++)
		d->fit[i] += why->fit >> i & 1;
	for (uint32_t i = 0; why->ext >> i; i++) {
		d->ext[i] += why->ext >> i & 1;
		if (i == 63)
			break;
	}
}

struct reasons {
	struct obuf text;
	size_t at[MAX_REASONS];
	uint32_t n;
};

static void reason_begin(struct reasons *r)
{
	r->at[r->n++] = r->text.len;
}

static void reason_add(struct reasons *r, uint32_t count, const char *why)
{
	if (!count || r->n == MAX_REASONS)
		return;
	reason_begin(r);
	obuf_printf(&r->text, "%u %s", count, why);
	obuf_append(&r->text, "", 1);
}

static void ext_name(const struct sd_pod *p, uint32_t i, struct obuf *b)
{
	obuf_puts(b, "Insufficient ");
	obuf_append(b, p->load->ext[i].name.p, p->load->ext[i].name.len);
}

static void reason_ext(struct reasons *r, const struct sd_pod *p, uint32_t i, uint32_t count)
{
	if (!count || r->n == MAX_REASONS)
		return;
	reason_begin(r);
	obuf_printf(&r->text, "%u ", count);
	ext_name(p, i, &r->text);
	obuf_append(&r->text, "", 1);
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted as text and joined, as upstream's histogram of reasons. */
static void reasons_write(struct reasons *r, struct obuf *b)
{
	const char *v[MAX_REASONS];

	if (obuf_err(&r->text)) {
		b->err = b->err ? b->err : obuf_err(&r->text);
		return;
	}
	for (uint32_t i = 0; i < r->n; i++)
		v[i] = r->text.data + r->at[i];
	qsort(v, r->n, sizeof(v[0]), text_cmp);
	for (uint32_t i = 0; i < r->n; i++)
		obuf_printf(b, "%s %s", i ? "," : "", v[i]);
	if (r->n)
		obuf_putc(b, '.');
	obuf_done(&r->text);
	r->n = 0;
}

/* Every reason that nodes were refused for. */
static void reasons_of(const struct sd_diag *d, const struct sd_pod *p, struct reasons *r)
{
	for (uint32_t i = 0; i < SD_N_PLUGINS; i++)
		if (plugin_text[i])
			reason_add(r, d->count[i], plugin_text[i]);
	for (uint32_t i = 0; i < SD_N_HOWS; i++)
		reason_add(r, d->how[i], how_text[i]);
	for (uint32_t i = 0; i < 4; i++)
		reason_add(r, d->fit[i], fit_text[i]);
	for (uint32_t i = 0; i < p->load->n_ext && i < 64; i++)
		reason_ext(r, p, i, d->ext[i]);
	for (uint32_t i = 0; i < d->n_texts; i++)
		reason_add(r, d->texts[i].n, d->texts[i].text);
}

static void preemption_write(const struct sd_diag *d, const struct sd_pod *p, struct reasons *r,
			     struct obuf *b)
{
	uint32_t gone = d->pre ? d->n_nodes : d->unresolvable + d->elsewhere;
	uint32_t tried = 0;

	if (d->preempted)
		return;
	obuf_puts(b, " preemption: ");
	if (p->spec->preempt_never || d->not_eligible) {
		obuf_puts(b, p->spec->preempt_never ? "not eligible due to preemptionPolicy=Never."
						    : d->not_eligible);
		return;
	}
	if (d->dry) {
		reasons_of(d->dry, p, r);
		tried = d->dry->n_nodes;
	}
	reason_add(r, gone, "Preemption is not helpful for scheduling");
	reason_add(r, d->n_nodes - gone - tried, "No preemption victims found for incoming pod");
	obuf_printf(b, "0/%u nodes are available:", d->n_nodes);
	reasons_write(r, b);
}

void sd_diag_write(const struct sd_diag *d, const struct sd_pod *p, struct obuf *b)
{
	struct reasons r = { .text = OBUF_INIT };

	if (!d->n_nodes) {
		obuf_puts(b, "no nodes available to schedule pods");
		return;
	}
	if (d->pre) {
		obuf_printf(b, "0/%u nodes are available: %s.", d->n_nodes, d->pre);
		if (!(p->profile && p->profile->no_preemption))
			preemption_write(d, p, &r, b);
		return;
	}
	reasons_of(d, p, &r);
	reason_add(&r, d->elsewhere, "node(s) didn't satisfy plugin(s) [NodeAffinity]");
	obuf_printf(b, "0/%u nodes are available:", d->n_nodes);
	reasons_write(&r, b);
	if (!(p->profile && p->profile->no_preemption))
		preemption_write(d, p, &r, b);
}

void sd_why_write(const struct sd_why *w, const struct sd_pod *p, struct obuf *b)
{
	const char *sep = "";

	if (by_how(w->plugin)) {
		obuf_puts(b, how_text[w->how]);
		return;
	}
	if (w->text && (w->plugin == SD_P_VOLUMES || w->plugin == SD_P_OTHER)) {
		obuf_puts(b, w->text);
		return;
	}
	if (w->plugin != SD_P_FIT) {
		obuf_puts(b, plugin_text[w->plugin] ? plugin_text[w->plugin] : "");
		return;
	}
	for (uint32_t i = 0; i < 4; i++) {
		if (!(w->fit >> i & 1))
			continue;
		obuf_printf(b, "%s%s", sep, fit_text[i]);
		sep = ", ";
	}
	for (uint32_t i = 0; i < p->load->n_ext && i < 64; i++) {
		if (!(w->ext >> i & 1))
			continue;
		obuf_puts(b, sep);
		ext_name(p, i, b);
		sep = ", ";
	}
}
