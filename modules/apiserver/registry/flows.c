/*
 * flows.c - priority levels and flow schemas: those that every cluster has, and whether a schema's level is there.
 *
 * Shard 0 looks at all of them whenever one has changed, once a second at most. What is missing is made. The spec of what
 * is mandatory (exempt, catch-all) is put back; that of the others while their annotation says so, which it does from
 * their creation until somebody changes it. What has the annotation but is not (any more) in the text goes. Of the exempt
 * level the shares are anybody's to change. Several API servers on one storage write the same: who comes second finds it
 * done, or hears of a conflict, which is a change and looked at again.
 * Source: upstream's flowcontrol ensurer (which looks once a minute) and config consumer; test: tests/api/flow.py
 */
#include "boot-text.h"
#include "kinds.h"
#include "op.h"
#include "verbs.h"

#include "base/otime.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP		"flowcontrol.apiserver.k8s.io"
#define SCHEMAS		"flowschemas." GROUP
#define LEVELS		"prioritylevelconfigurations." GROUP
#define AUTOUPDATE	"apf.kubernetes.io/autoupdate-spec"
#define PRODUCER	"api-priority-and-fairness-config-producer-v1"
#define CONSUMER	"api-priority-and-fairness-config-consumer-v1"
#define SOON_NS		UINT64_C(1000000)
#define AGAIN_NS	UINT64_C(5000000)
#define APART_NS	UINT64_C(1000000000)	/* two that do not agree what is right do not keep each other busy */
#define BOOT_LOOKS	200u			/* nor does anybody's start wait for them for ever */

struct reg_flows {
	struct reg_shard *sh;
	struct orlop_resource *res[2];	/* levels, schemas */
	struct orlop_timer *timer;
	reg_boot_fn	done;		/* NULL: was called */
	void		*arg;
	uint64_t	looked;		/* when, monotonic */
	uint32_t	flying;		/* writes under way */
	uint32_t	looks;
	bool		looking;
	bool		armed;
	bool		wrote;		/* since the last look */
	bool		made;		/* the same, and not only what is said of them */
	bool		met;		/* somebody else who writes */
	bool		failed;
	char		what[300];
};

struct one {
	struct reg_flows *f;
	char		*body;
	char		name[160];
};

/* ---- the text ---- */

static void put_number(struct ojson *o, const char *key, struct orlop_bytes w)
{
	(void)ojson_set_i64(o, key, w.len ? strtol(w.p, NULL, 10) : 0);
}

static void level_spec(struct ojson *spec, struct orlop_bytes line)
{
	struct orlop_bytes kind = boot_word(&line);
	bool exempt = rb_is(kind, "exempt");
	struct ojson *part = ojson_ensure_object(spec, exempt ? "exempt" : "limited"), *response, *q;

	(void)ojson_set_cstr(spec, "type", exempt ? "Exempt" : "Limited");
	put_number(part, "nominalConcurrencyShares", boot_word(&line));
	put_number(part, "lendablePercent", boot_word(&line));
	if (exempt)
		return;
	response = ojson_ensure_object(part, "limitResponse");
	(void)ojson_set_cstr(response, "type", rb_is(kind, "queue") ? "Queue" : "Reject");
	if (!rb_is(kind, "queue"))
		return;
	q = ojson_ensure_object(response, "queuing");
	put_number(q, "queues", boot_word(&line));
	put_number(q, "handSize", boot_word(&line));
	put_number(q, "queueLengthLimit", boot_word(&line));
}

static struct ojson *subject_of(struct orlop_bytes w)
{
	const char *colon = memchr(w.p, ':', w.len), *slash;
	struct ojson *s = ojson_new_object(), *who;
	struct orlop_bytes name;

	if (!s || !colon)
		return s;
	name = (struct orlop_bytes){ colon + 1, w.len - (size_t)(colon + 1 - w.p) };
	(void)ojson_set_string(s, "kind", w.p, (size_t)(colon - w.p));
	who = ojson_ensure_object(s, w.p[0] == 'U' ? "user" : w.p[0] == 'G' ? "group" : "serviceAccount");
	slash = w.p[0] == 'S' ? memchr(name.p, '/', name.len) : NULL;
	if (slash) {
		(void)ojson_set_string(who, "namespace", name.p, (size_t)(slash - name.p));
		name.len -= (size_t)(slash + 1 - name.p);
		name.p = slash + 1;
	}
	(void)ojson_set_string(who, "name", name.p, name.len);
	return s;
}

static void schema_spec(struct ojson *spec, struct orlop_bytes line)
{
	struct ojson *rule = ojson_new_object(), *subjects = ojson_ensure_array(rule, "subjects");
	struct orlop_bytes level = boot_word(&line), method;

	(void)ojson_set_string(ojson_ensure_object(spec, "priorityLevelConfiguration"), "name", level.p, level.len);
	put_number(spec, "matchingPrecedence", boot_word(&line));
	method = boot_word(&line);
	if (!rb_is(method, "-"))
		(void)ojson_set_string(ojson_ensure_object(spec, "distinguisherMethod"), "type", method.p, method.len);
	for (struct orlop_bytes w = boot_word(&line); w.len; w = boot_word(&line))
		(void)ojson_append(subjects, subject_of(w));
	(void)ojson_append(ojson_ensure_array(spec, "rules"), rule);
}

static void add_rule(struct ojson *set, struct orlop_bytes line)
{
	struct orlop_bytes verbs = boot_word(&line), group = boot_word(&line);
	bool url = rb_is(group, "url");
	struct ojson *rule = ojson_new_object();

	boot_list(rule, "verbs", verbs);
	if (url) {
		boot_list(rule, "nonResourceURLs", boot_word(&line));
	} else {
		boot_list(rule, "apiGroups", group);
		boot_list(rule, "resources", boot_word(&line));
		boot_list(rule, "namespaces", boot_word(&line));
		if (boot_word(&line).len)
			(void)ojson_set_bool(rule, "clusterScope", true);
	}
	(void)ojson_append(ojson_ensure_array(set, url ? "nonResourceRules" : "resourceRules"), rule);
}

/* The next line that begins an object, and whether it is a level; its words but the first are left in @ret. */
static bool next_head(const char **at, struct orlop_bytes *ret, bool *ret_level)
{
	while (**at) {
		size_t n = strcspn(*at, "\n");
		struct orlop_bytes line = { *at, n };

		*at += n + ((*at)[n] == '\n');
		if (!n || line.p[0] == '\t')
			continue;
		*ret_level = rb_is(boot_word(&line), "level");
		*ret = line;
		return true;
	}
	return false;
}

/* The next object; NULL at the end. */
static struct ojson *next_object(const char **at, bool *ret_level)
{
	struct orlop_bytes line, name;
	struct ojson *obj, *meta, *spec;

	if (!next_head(at, &line, ret_level))
		return NULL;
	obj = ojson_new_object();
	meta = ojson_ensure_object(obj, "metadata");
	spec = ojson_ensure_object(obj, "spec");
	name = boot_word(&line);
	(void)ojson_set_string(meta, "name", name.p, name.len);
	(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"), AUTOUPDATE, "true");
	if (*ret_level) {
		level_spec(spec, line);
		return obj;
	}
	schema_spec(spec, line);
	while (**at == '\t') {
		size_t n = strcspn(*at, "\n");

		add_rule(ojson_index(ojson_get(spec, "rules"), 0), (struct orlop_bytes){ *at, n });
		*at += n + ((*at)[n] == '\n');
	}
	return obj;
}

static bool in_text(const struct reg_flows *f, bool level, struct orlop_bytes name)
{
	const char *at = f->sh->rg->cfg.flows;
	struct orlop_bytes line;
	bool is_level;

	while (next_head(&at, &line, &is_level))
		if (is_level == level && rb_eq(boot_word(&line), name))
			return true;
	return false;
}

static bool all_there(const struct reg_flows *f)
{
	const char *at = f->sh->rg->cfg.flows;
	struct orlop_bytes line;
	bool level;

	while (next_head(&at, &line, &level)) {
		struct orlop_object *o = reg_peek(f->sh, level ? LEVELS : SCHEMAS, RB0, boot_word(&line));

		if (!o)
			return false;
		f->sh->h->object_unref(o);
	}
	return true;
}

/* ---- writes ---- */

static void look(void *arg);

static void arm(struct reg_flows *f, uint64_t ns)
{
	if (!f->armed)
		f->sh->h->timer_set(f->timer, ns, 0);
	f->armed = true;
}

static void on_one(void *arg, struct reg_answer *a)
{
	struct one *one = arg;
	struct reg_flows *f = one->f;

	f->met |= a && a->code == 409;
	if (!a || (a->code >= 400 && a->code != 409 && a->code != 404)) {
		f->failed = true;
		snprintf(f->what, sizeof(f->what), "%s: %.*s", one->name, a && a->n_pieces ? (int)a->pieces[0].len : 0,
			 a && a->n_pieces ? a->pieces[0].p : "");
	}
	reg_answer_free(a);
	omem_free(one->body);
	omem_free(one);
	f->flying--;
	/* what was written is a change; but the start goes on at once, and what failed is tried again */
	if (f->flying == 0 && !f->looking && (f->done || f->failed))
		arm(f, f->done && !f->failed && !f->met ? 0 : f->done ? AGAIN_NS : APART_NS);
}

static void write_one(struct reg_flows *f, struct reg_req *rq, bool level, struct orlop_bytes name, char *take_body)
{
	struct one *one = OMEM_NEW(struct one);

	f->wrote = true;
	f->made |= !rq->sub.len;
	if (!one || (rq->verb != REG_DELETE && !take_body)) {
		f->failed = true;
		snprintf(f->what, sizeof(f->what), "out of memory");
		omem_free(one);
		omem_free(take_body);
		return;
	}
	one->f = f;
	one->body = take_body;
	snprintf(one->name, sizeof(one->name), "%s %.*s", level ? "PriorityLevelConfiguration" : "FlowSchema", OB(name));
	rq->res = reg_kind_named(f->sh->rg, level ? LEVELS : SCHEMAS)->res;
	rq->name = rq->verb == REG_CREATE ? RB0 : name;
	rq->body = take_body ? RB(take_body) : RB0;
	rq->judged = f->done != NULL;	/* webhooks cannot be asked before we serve */
	f->flying++;
	reg_internal_call(f->sh, rq, on_one, one);
}

/* ---- what every cluster has ---- */

/* As Go's strconv.ParseBool. False: it is none. */
static bool read_bool(struct orlop_bytes w, bool *ret)
{
	static const char *const words[] = { "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < 12; i++)
		if (rb_is(w, words[i])) {
			*ret = i < 6;
			return true;
		}
	return false;
}

static bool annotated(const struct ojson *meta, bool *ret)
{
	return read_bool(ojson_get_bytes(ojson_get(meta, "annotations"), AUTOUPDATE), ret);
}

static bool spec_is(struct ojson *spec, struct ojson *want)
{
	struct ojson *wanted = ojson_get(want, "exempt"), *exempt = ojson_get(spec, "exempt");

	if (!wanted)
		return ojson_equal(spec, want);
	return exempt && ojson_count(spec) == ojson_count(want) && ojson_equal(ojson_get(spec, "type"), ojson_get(want, "type"));
}

static void ensure(struct reg_flows *f, bool level, struct ojson *want)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(want, "metadata"), "name");
	struct reg_req rq = { .verb = REG_UPDATE, .manager = RB(PRODUCER) };
	struct orlop_object *o = reg_peek(f->sh, level ? LEVELS : SCHEMAS, RB0, name);
	cleanup_ojson struct ojson *was = NULL;
	struct ojson *meta;
	bool said, says = false, ours;

	if (!o) {
		rq.verb = REG_CREATE;
		write_one(f, &rq, level, name, ojson_text(want, 0, NULL));
		return;
	}
	(void)ojson_parse_members(o->json, &was, NULL);
	f->sh->h->object_unref(o);
	if (!was)
		return;
	meta = ojson_get(was, "metadata");
	said = annotated(meta, &says);
	/* where it says nothing, nobody has changed it as long as it is of the first generation */
	ours = rb_is(name, "exempt") || rb_is(name, "catch-all") || (said ? says : ojson_get_i64(meta, "generation", 0) == 1);
	if (said && says == ours && (!ours || spec_is(ojson_get(was, "spec"), ojson_get(want, "spec"))))
		return;
	(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"), AUTOUPDATE, ours ? "true" : "false");
	if (ours && !spec_is(ojson_get(was, "spec"), ojson_get(want, "spec")))
		(void)ojson_set(was, "spec", ojson_ref(ojson_get(want, "spec")));
	write_one(f, &rq, level, name, ojson_text(was, 0, NULL));
}

/* ---- what became of it ---- */

static char *condition(struct reg_flows *f, struct orlop_bytes name, struct ojson *obj)
{
	struct orlop_bytes level = ojson_get_bytes(OJSON_AT(obj, "spec", "priorityLevelConfiguration"), "name");
	struct orlop_object *o = reg_peek(f->sh, LEVELS, RB0, level);
	struct obuf b = OBUF_INIT, message = OBUF_INIT;
	char now[OTIME_BUF];
	bool right = false;

	f->sh->h->object_unref(o);
	obuf_puts(&message, "This FlowSchema references the PriorityLevelConfiguration object named ");
	obuf_put_quoted(&message, level.p ? level.p : "", level.len);
	obuf_puts(&message, o ? " and it exists" : " but there is no such object");
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(obj, "status", "conditions"))
		right |= ojson_string_is(ojson_get(c, "type"), "Dangling") && ojson_string_is(ojson_get(c, "status"), o ? "False" : "True") &&
			 ojson_string_is(ojson_get(c, "reason"), o ? "Found" : "NotFound") &&
			 ojson_string_is(ojson_get(c, "message"), obuf_cstr(&message));
	if (!right) {
		otime_format((int64_t)f->sh->h->now_wall(f->sh->h), now);
		obuf_printf(&b, "{\"apiVersion\":\"" GROUP "/v1\",\"kind\":\"FlowSchema\",\"metadata\":{\"name\":\"%.*s\"},\"status\":"
			    "{\"conditions\":[{\"type\":\"Dangling\",\"status\":\"%s\",\"lastTransitionTime\":\"%s\",\"reason\":\"%s\",\"message\":",
			    OB(name), o ? "False" : "True", now, o ? "Found" : "NotFound");
		obuf_put_json_string(&b, obuf_cstr(&message), message.len);
		obuf_puts(&b, "}]}}");
	}
	obuf_done(&message);
	return right ? NULL : obuf_steal(&b, NULL);
}

static void look_at(struct reg_flows *f, bool level, struct orlop_object *o)
{
	struct reg_req apply = { .verb = REG_PATCH, .patch = REG_PATCH_APPLY, .sub = RB("status"), .manager = RB(CONSUMER),
		.query = RB("fieldManager=" CONSUMER "&force=true") };
	struct reg_req end = { .verb = REG_DELETE };
	cleanup_ojson struct ojson *obj = NULL;
	bool ours = false;
	char *body;

	if (ojson_parse_members(o->json, &obj, NULL))
		return;
	if (annotated(ojson_get(obj, "metadata"), &ours) && ours && !in_text(f, level, o->name) &&
	    !ojson_has(ojson_get(obj, "metadata"), "deletionTimestamp")) {
		write_one(f, &end, level, o->name, NULL);
		return;
	}
	body = level ? NULL : condition(f, o->name, obj);
	if (body)
		write_one(f, &apply, false, o->name, body);
}

static void look_at_all(struct reg_flows *f, bool level)
{
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, f->sh->h, f->res[!level], NULL))
		return;
	while ((o = owalk_next(&w)) != NULL)
		look_at(f, level, o);
	owalk_close(&w);
}

/* ---- when ---- */

static void booted(struct reg_flows *f)
{
	reg_boot_fn done = f->done;

	f->done = NULL;
	done(f->arg, f->failed ? -EIO : 0, f->what);
}

static void look(void *arg)
{
	struct reg_flows *f = arg;
	const char *at = f->sh->rg->cfg.flows;
	struct ojson *want;
	bool level;

	f->armed = false;
	if (f->flying) {
		arm(f, APART_NS);
		return;
	}
	if (f->done && (f->failed || (f->wrote && !f->made && !f->met) || f->looks++ == BOOT_LOOKS)) {
		booted(f);
		return;
	}
	if (f->failed)
		OLOG(f->sh->h, WARN, "flow_objects", "reason=\"%s\" text=\"trying again\"", f->what);
	f->failed = f->wrote = f->made = f->met = false;
	f->looked = f->sh->h->now_mono(f->sh->h);
	f->looking = true;
	while ((want = next_object(&at, &level)) != NULL) {
		ensure(f, level, want);
		ojson_unref(want);
	}
	look_at_all(f, true);
	look_at_all(f, false);
	f->looking = false;
	if (f->done && !f->wrote)
		booted(f);
	else if (f->flying == 0 && f->wrote && (f->done || f->failed))
		arm(f, f->done ? AGAIN_NS : APART_NS);
}

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_flows *f = arg;
	uint64_t now = f->sh->h->now_mono(f->sh->h);

	(void)res;
	(void)rev;
	if (!f->done)
		arm(f, f->looked + APART_NS > now + SOON_NS ? f->looked + APART_NS - now : SOON_NS);
}

void reg_flows_start(struct reg_shard *sh, reg_boot_fn done, void *arg)
{
	struct reg_flows *f;

	if (!sh->rg->cfg.flows || !reg_kind_named(sh->rg, SCHEMAS)) {
		done(arg, 0, "");
		return;
	}
	f = OMEM_NEW(struct reg_flows);
	if (!f || sh->h->timer_new(sh->h, look, f, &f->timer)) {
		omem_free(f);
		done(arg, -ENOMEM, "out of memory");
		return;
	}
	f->sh = sh;
	sh->flows = f;
	for (int i = 0; i < 2; i++) {
		if (sh->h->resource_open(sh->h, i ? SCHEMAS : LEVELS, &f->res[i], NULL)) {
			done(arg, -ENOMEM, "out of memory");
			return;
		}
		sh->h->resource_watch(f->res[i], on_note, f);
	}
	arm(f, 0);
	if (all_there(f)) {	/* a start that does not make them is not held up by looking at them */
		done(arg, 0, "");
		return;
	}
	f->done = done;
	f->arg = arg;
}

void reg_flows_free(struct reg_flows *f)
{
	if (!f)
		return;
	f->sh->h->timer_free(f->timer);
	for (int i = 0; i < 2; i++)
		if (f->res[i])
			f->sh->h->resource_close(f->res[i]);
	omem_free(f);
}
