/*
 * convert.c - conversion webhooks: ConversionReviews, and what of their answers is taken.
 *
 * Source: upstream's apiextensions-apiserver/pkg/apiserver/conversion, behaviour and words. Several objects go into one
 * review, as many as fit.
 */
#include "convert.h"
#include "render.h"
#include "../admission/hookpost.h"

#include "json/ojson.h"
#include "record/orecord.h"
#include "schema/validate.h"

#include <errno.h>
#include <string.h>

#define REVIEW_BYTES	(1u << 20)
#define REVIEW_ANSWER	(16u << 20)
#define SECONDS		30		/* upstream's, for one review */

struct item {
	struct ojson	*in;
	struct ojson	*out;		/* NULL: to be asked for */
};

struct reg_convert {
	const struct reg_kind *to;
	struct item	*v;
	size_t		n, cap;
	size_t		at;		/* first of the review under way */
	size_t		end;
	struct hook_post *post;
	convert_done_fn	done;
	void		*arg;
	const char	*api;		/* of ConversionReview */
	char		uid[OUUID_BUF];
	char		why[900];
};

/* ---- versions ----------------------------------------------------------------------------------------------------- */

struct orlop_bytes convert_version(const struct orlop_object *o)
{
	return o->n_index && o->index[o->n_index - 1].index == ORECORD_VERSION ? o->index[o->n_index - 1].value : RB0;
}

struct orlop_bytes convert_version_stored(const struct reg_stored *st)
{
	const char *p = st->index.p, *end = p + st->index.len;

	while (end - p >= 8) {
		uint16_t head[2];
		uint32_t len;

		memcpy(head, p, 4);
		memcpy(&len, p + 4, 4);
		p += 8;
		if ((size_t)(end - p) < (size_t)head[1] + len)
			break;
		if (head[0] == ORECORD_VERSION)
			return (struct orlop_bytes){ p + head[1], len };
		p += head[1] + len;
	}
	return RB0;
}

static bool is_of(const struct reg_kind *k, struct orlop_bytes version)
{
	return version.len ? rb_is(version, k->version) : k == k->set->storage;
}

bool convert_plain(const struct reg_kind *k, struct orlop_bytes version)
{
	return is_of(k, version) && !k->set->changed;
}

/* The tables of a version, if it is still served or stored. */
static const struct reg_kind *kind_of(const struct reg_kind *k, struct orlop_bytes version)
{
	for (uint16_t i = 0; i < k->schema->n_resources; i++)
		if (is_of(&k->kinds[i], version))
			return &k->kinds[i];
	return NULL;
}

/* ---- putting together --------------------------------------------------------------------------------------------- */

struct reg_convert *convert_new(const struct reg_kind *to)
{
	struct reg_convert *c = OMEM_NEW(struct reg_convert);

	if (!c)
		return NULL;
	c->to = to;
	reg_kind_hold(to);
	return c;
}

void convert_free(struct reg_convert *c)
{
	if (!c)
		return;
	hook_post_cancel(c->post);
	for (size_t i = 0; i < c->n; i++) {
		ojson_unref(c->v[i].in);
		ojson_unref(c->v[i].out);
	}
	omem_free(c->v);
	reg_kind_release(c->to);
	omem_free(c);
}

static int add(struct reg_convert *c, struct ojson *take_in, bool ready)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 4;
		struct item *v = omem_realloc_array(c->v, cap, sizeof(*v));

		if (!v) {
			ojson_unref(take_in);
			return -ENOMEM;
		}
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n++] = (struct item){ .in = take_in, .out = ready ? ojson_ref(take_in) : NULL };
	return 0;
}

int convert_add(struct reg_convert *c, struct orlop_bytes json, struct orlop_bytes version)
{
	const struct reg_kind *to = c->to, *of = kind_of(to, version);
	struct ojson *in = NULL, *fresh = NULL;
	char api[700];
	int r = render_parse(of ? of : to, json, &in);

	if (r == 0 && !of) {
		snprintf(api, sizeof(api), "%s/%.*s", to->group, OB(version));
		r = ojson_set_cstr(in, "apiVersion", api);
	}
	if (r == 0 && of && to->set->changed) {
		r = custom_decode(of, in, 0, NULL, &fresh, NULL);
		if (r == 0) {
			ojson_unref(in);
			in = TAKE(fresh);
		}
	}
	if (r) {
		ojson_unref(in);
		return r;
	}
	return add(c, in, of == to);
}

int convert_add_tree(struct reg_convert *c, const struct ojson *obj)
{
	struct ojson *in = NULL;
	int r = ojson_copy(obj, &in);

	return r ? r : add(c, in, ojson_string_is(ojson_get(in, "apiVersion"), c->to->api_version));
}

struct ojson *convert_get(struct reg_convert *c, size_t i)
{
	return c->v[i].out;
}

int convert_put(struct reg_convert *c, size_t i, struct obuf *b)
{
	cleanup_ojson struct ojson *obj = NULL;
	struct obuf text = OBUF_INIT;
	int r = ojson_copy(c->v[i].out, &obj);

	if (r == 0) {
		ojson_del(obj, "kind");
		ojson_del(obj, "apiVersion");
		r = ojson_write(obj, 0, &text);
	}
	if (r == 0)
		obuf_append(b, text.data + 1, text.len - 2);
	obuf_done(&text);
	return r ? r : obuf_err(b);
}

/* ---- the review --------------------------------------------------------------------------------------------------- */

static void step(struct reg_convert *c);

static void end(struct reg_convert *c, const char *why)
{
	convert_done_fn done = c->done;

	c->done = NULL;
	if (done)
		done(c->arg, why);
}

/* "conversion webhook for GROUP/VERSION, Kind=KIND …" */
__attribute__((format(printf, 2, 3)))
static void fail(struct reg_convert *c, const char *fmt, ...)
{
	const struct ojson *first = c->v[c->at].in;
	int n = snprintf(c->why, sizeof(c->why), "conversion webhook for %.250s, Kind=%.70s ", ojson_get_cstr(first, "apiVersion", ""),
			 c->to->kind);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->why + n, sizeof(c->why) - (size_t)n, fmt, ap);
	va_end(ap);
	end(c, c->why);
}

static const char *go_type(const struct ojson *v)
{
	return ojson_is(v, OJSON_ARRAY) ? "[]interface {}" : ojson_is(v, OJSON_STRING) ? "string" :
	       ojson_is(v, OJSON_BOOL) ? "bool" : ojson_is(v, OJSON_DOUBLE) ? "float64" : v ? "int64" : "<nil>";
}

/* Labels or annotations of the answer; NULL: they may be so. @buf holds the words. */
static const char *check_map(const char *name, const struct ojson *is, const struct ojson *was, char *buf, size_t size)
{
	bool labels = !strcmp(name, "labels"), same = ojson_equal(is, was);

	OJSON_FOREACH(it, is) {
		const char *bad = NULL;

		if (!ojson_is(it.value, OJSON_STRING)) {
			snprintf(buf, size, "metadata.%s[%.200s] must be a string, but is %s in converted object", name, it.key,
				 go_type(it.value));
			return buf;
		}
		if (same)
			continue;
		bad = oschema_format_check(OSCHEMA_FMT_QUALIFIED_NAME, it.key, it.key_len);
		if (bad) {
			snprintf(buf, size, "metadata.%s: Invalid value: \"%.200s\": %s", name, it.key, bad);
			return buf;
		}
		if (labels)
			bad = oschema_format_check(OSCHEMA_FMT_LABEL_VALUE, ojson_bytes(it.value).p, ojson_bytes(it.value).len);
		if (bad) {
			snprintf(buf, size, "metadata.labels: Invalid value: \"%.200s\": %s", ojson_cstr(it.value, ""), bad);
			return buf;
		}
	}
	return NULL;
}

/* The metadata is the original's but for labels and annotations. */
static const char *restore_meta(const struct ojson *in, struct ojson *out, char *buf, size_t size)
{
	static const char *const maps[] = { "labels", "annotations" };
	cleanup_ojson struct ojson *fresh = NULL;
	const struct ojson *meta = ojson_get(out, "metadata");

	if (!ojson_has(out, "metadata"))
		return "missing metadata in converted object";
	if (!ojson_is(meta, OJSON_OBJECT)) {
		snprintf(buf, size, "invalid metadata of type %s in converted object", go_type(meta));
		return buf;
	}
	if (ojson_copy(ojson_get(in, "metadata"), &fresh))
		return "out of memory";
	for (size_t i = 0; i < 2; i++) {
		struct ojson *is = ojson_get(meta, maps[i]);
		const char *wrong;

		if (!is) {
			ojson_del(fresh, maps[i]);
			continue;
		}
		if (!ojson_is(is, OJSON_OBJECT)) {
			snprintf(buf, size, "invalid metadata.%s of type %s in converted object", maps[i], go_type(is));
			return buf;
		}
		wrong = check_map(maps[i], is, ojson_get(fresh, maps[i]), buf, size);
		if (wrong)
			return wrong;
		if (ojson_set(fresh, maps[i], ojson_ref(is)))
			return "out of memory";
	}
	return ojson_set(out, "metadata", TAKE(fresh)) ? "out of memory" : NULL;
}

static const char *check_same(const struct ojson *in, const struct ojson *out, char *buf, size_t size)
{
	static const char *const keys[][2] = { { "name", "name" }, { "namespace", "namespace" }, { "uid", "UID" } };

	for (size_t i = 0; i < 3; i++) {
		const char *was = ojson_get_cstr(ojson_get(in, "metadata"), keys[i][0], "");
		const char *is = ojson_get_cstr(ojson_get(out, "metadata"), keys[i][0], "");

		if (!strcmp(was, is))
			continue;
		snprintf(buf, size, "must have the same %s: %.250s != %.250s", keys[i][1], was, is);
		return buf;
	}
	return NULL;
}

/* One object of the answer; false: it has failed. */
static bool take_object(struct reg_convert *c, struct item *it, struct ojson *obj, size_t index)
{
	const char *api = ojson_get_cstr(obj, "apiVersion", ""), *kind = ojson_get_cstr(obj, "kind", ""), *wrong;
	char buf[600];

	if (strcmp(api, c->to->api_version)) {
		fail(c, "returned invalid object at index %zu: invalid groupVersion (expected %s, received %.200s)", index,
		     c->to->api_version, api);
		return false;
	}
	if (strcmp(kind, c->to->kind)) {
		fail(c, "returned invalid object at index %zu: invalid kind (expected %s, received %.200s)", index, c->to->kind, kind);
		return false;
	}
	wrong = check_same(it->in, obj, buf, sizeof(buf));
	if (wrong) {
		fail(c, "returned invalid object at index %zu: %s", index, wrong);
		return false;
	}
	wrong = restore_meta(it->in, obj, buf, sizeof(buf));
	if (wrong) {
		fail(c, "returned invalid metadata at index %zu: %s", index, wrong);
		return false;
	}
	if (custom_prune(c->to, obj, &it->out)) {
		fail(c, "failed: out of memory");
		return false;
	}
	return true;
}

static size_t n_asked(const struct reg_convert *c)
{
	size_t n = 0;

	for (size_t i = c->at; i < c->end; i++)
		n += !c->v[i].out;
	return n;
}

/* The objects of the answer; NULL and fail() called if there are none. */
static struct ojson *converted(struct reg_convert *c, const struct ojson *review)
{
	const struct ojson *response = ojson_get(review, "response"), *result = ojson_get(response, "result");
	const char *said = ojson_get_cstr(result, "message", "");
	struct ojson *list = ojson_get(response, "convertedObjects");

	if (!ojson_string_is(ojson_get(review, "kind"), "ConversionReview") ||
	    !ojson_string_is(ojson_get(review, "apiVersion"), c->api))
		fail(c, "failed: expected webhook response of %s, Kind=ConversionReview, got %.200s, Kind=%.70s", c->api,
		     ojson_get_cstr(review, "apiVersion", ""), ojson_get_cstr(review, "kind", ""));
	else if (!ojson_is(response, OJSON_OBJECT))
		fail(c, "failed: no response provided");
	else if (!ojson_string_is(ojson_get(response, "uid"), c->uid))
		fail(c, "failed: expected response.uid=\"%s\", got \"%.200s\"", c->uid, ojson_get_cstr(response, "uid", ""));
	else if (!ojson_string_is(ojson_get(result, "status"), "Success") && said[0])
		fail(c, "failed: %s", said);
	else if (!ojson_string_is(ojson_get(result, "status"), "Success"))
		fail(c, "failed: response.result.status was '%.200s', not 'Success'", ojson_get_cstr(result, "status", ""));
	else if (ojson_count(list) != n_asked(c))
		fail(c, "returned %zu objects, expected %zu", ojson_count(list), n_asked(c));
	else
		return list;
	return NULL;
}

static void on_answer(void *arg, struct orlop_bytes body, const char *why)
{
	struct reg_convert *c = arg;
	cleanup_ojson struct ojson *review = NULL;
	struct ojson *list;
	size_t n = 0;

	c->post = NULL;
	if (why) {
		fail(c, "failed: %s", why);
		return;
	}
	if (ojson_parse(body.p, body.len, &review, NULL) || !ojson_is(review, OJSON_OBJECT)) {
		fail(c, "failed: the answer is no ConversionReview");
		return;
	}
	list = converted(c, review);
	if (!list)
		return;
	for (size_t i = c->at; i < c->end; i++) {
		if (c->v[i].out)
			continue;
		if (!take_object(c, &c->v[i], ojson_index(list, n), n))
			return;
		n++;
	}
	c->at = c->end;
	step(c);
}

/* The review of as many as fit from c->at on; c->end behind the last. */
static int question(struct reg_convert *c, struct obuf *b)
{
	unsigned int n = 0;

	obuf_printf(b, "{\"kind\":\"ConversionReview\",\"apiVersion\":\"%s\",\"request\":{\"uid\":\"%s\",\"desiredAPIVersion\":", c->api,
		    c->uid);
	obuf_put_json_cstr(b, c->to->api_version);
	obuf_puts(b, ",\"objects\":[");
	for (c->end = c->at; c->end < c->n && n < CONVERT_AT_ONCE && b->len < REVIEW_BYTES; c->end++) {
		if (c->v[c->end].out)
			continue;
		if (n++)
			obuf_putc(b, ',');
		if (ojson_write(c->v[c->end].in, 0, b))
			return -ENOMEM;
	}
	obuf_puts(b, "]}}");
	return obuf_err(b);
}

static bool next_review(struct reg_convert *c)
{
	while (c->at < c->n && c->v[c->at].out)
		c->at++;
	return c->at < c->n;
}

static void step(struct reg_convert *c)
{
	struct hook_question q = { .agent = "kube-apiserver", .seconds = SECONDS, .answer_max = REVIEW_ANSWER };
	const struct ojson *hook = ojson_get(c->to->set->webhook, "webhook");
	struct hook_post *post;
	struct obuf b = OBUF_INIT;

	if (!next_review(c)) {
		end(c, NULL);
		return;
	}
	c->api = NULL;
	OJSON_FOREACH_ELEM(i, v, ojson_get(hook, "conversionReviewVersions")) {
		if (!c->api && ojson_string_is(v, "v1"))
			c->api = "apiextensions.k8s.io/v1";
		else if (!c->api && ojson_string_is(v, "v1beta1"))
			c->api = "apiextensions.k8s.io/v1beta1";
	}
	if (!c->api) {
		snprintf(c->why, sizeof(c->why), "no recognized conversion review versions");
		end(c, c->why);
		return;
	}
	hook_uid(c->to->set->sh, c->uid);
	if (question(c, &b)) {
		obuf_done(&b);
		fail(c, "failed: out of memory");
		return;
	}
	q.body = (struct orlop_bytes){ b.data, b.len };
	post = hook_post(c->to->set->sh, ojson_get(hook, "clientConfig"), &q, on_answer, c);
	obuf_done(&b);
	if (post)	/* otherwise on_answer() was called, and c may be gone */
		c->post = post;
}

void convert_start(struct reg_convert *c, convert_done_fn done, void *arg)
{
	c->done = done;
	c->arg = arg;
	step(c);
}

/* ---- of a request ------------------------------------------------------------------------------------------------- */

struct one {
	struct reg_op	*op;
	void		(*then)(struct reg_op *op, struct ojson *obj);
	/* convert_answer() */
	const struct reg_kind *k;
	uint64_t	rev;
	uint32_t	code;
};

int convert_failed(struct reg_op *op, const char *why)
{
	return reg_fail(op, EIO, 500, "", "%s", why);
}

static void answer(struct one *one, struct reg_convert *c)
{
	struct reg_op *op = one->op;
	struct obuf b = OBUF_INIT;
	int r = convert_put(c, 0, &b);

	if (r == 0)
		r = render_one(op->sh, one->k, op->rq.form, op->opt.include, (struct orlop_bytes){ b.data, b.len }, one->rev, true,
			       &op->out);
	obuf_done(&b);
	if (r)
		reg_finish(op, reg_failed(op, r, NULL));
	else
		reg_finish_text(op, one->code);
}

static void on_one(void *arg, const char *why)
{
	struct one *one = arg;
	struct reg_op *op = one->op;
	struct reg_convert *c = op->convert;

	op->convert = NULL;
	if (why)
		reg_finish(op, convert_failed(op, why));
	else if (one->then)
		one->then(op, convert_get(c, 0));
	else
		answer(one, c);
	convert_free(c);
}

/* @obj or @json. */
static void run_one(struct one *one, const struct reg_kind *to, const struct ojson *obj, struct orlop_bytes json,
		    struct orlop_bytes version)
{
	struct reg_op *op = one->op;
	struct one *kept = oarena_dup(&op->arena, one, sizeof(*one));
	struct reg_convert *c = kept ? convert_new(to) : NULL;
	int r = c ? obj ? convert_add_tree(c, obj) : convert_add(c, json, version) : -ENOMEM;

	if (r) {
		convert_free(c);
		reg_finish(op, reg_failed(op, r, NULL));
		return;
	}
	op->convert = c;
	convert_start(c, on_one, kept);
}

void convert_one(struct reg_op *op, const struct reg_kind *to, struct orlop_bytes json, struct orlop_bytes version,
		 void (*then)(struct reg_op *op, struct ojson *obj))
{
	struct one one = { .op = op, .then = then };

	run_one(&one, to, NULL, json, version);
}

void convert_one_tree(struct reg_op *op, const struct reg_kind *to, const struct ojson *obj,
		      void (*then)(struct reg_op *op, struct ojson *obj))
{
	struct one one = { .op = op, .then = then };

	run_one(&one, to, obj, RB0, RB0);
}

void convert_answer(struct reg_op *op, uint32_t code, const struct reg_kind *k, struct orlop_bytes json,
		    struct orlop_bytes version, uint64_t rev)
{
	struct one one = { .op = op, .k = k, .rev = rev, .code = code };

	run_one(&one, k, NULL, json, version);
}
