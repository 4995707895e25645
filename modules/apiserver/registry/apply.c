/*
 * apply.c - server-side apply: from a configuration to the object that shall be (lib/patch merges).
 *
 * The order of complaints is that of upstream's handler and field managers: the body, its kind,
 * managedFields in it, its fields, conflicts, and then what every other write is checked for.
 */
#include "managed.h"
#include "write.h"

#include "json/ojson.h"
#include "patch/oapply.h"
#include "yaml/oyaml.h"

#include <errno.h>
#include <string.h>

/* YAML, most often JSON: that is tried first, being exact and faster. */
static int parse(struct reg_op *op, struct ojson **ret)
{
	struct orlop_bytes body = op->rq.body;
	struct oyaml_error e = { 0, "" }, twice = { 0, "" };
	size_t i = 0;
	int r;

	while (i < body.len && memchr(" \t\r\n", body.p[i], 4))
		i++;
	r = -EINVAL;
	/* of doubled members the reader of YAML has the words */
	if (i < body.len && body.p[i] == '{' && op->opt.strictness == REG_VALIDATE_IGNORE)
		r = ojson_parse(body.p, body.len, ret, NULL);
	if (r == -EINVAL)
		r = oyaml_parse_last(body.p, body.len, ret, &twice, &e);
	if (r == -ENOMEM)
		return reg_failed(op, r, NULL);
	if (r)
		return reg_bad_request(op, "error decoding YAML: error converting YAML to JSON: %s",
				       e.msg[0] ? e.msg : "yaml: document is too large");
	if (!ojson_is(*ret, OJSON_OBJECT) && *ret)
		return reg_bad_request(op, "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into Go value of type map[string]interface {}",
				       ojson_type_name(*ret));
	if (twice.msg[0] && op->opt.strictness != REG_VALIDATE_IGNORE) {
		const char *what = strchr(twice.msg + strlen("yaml: "), ':');

		if (op->opt.strictness == REG_VALIDATE_STRICT)
			return reg_bad_request(op, "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line %zu%s",
					       twice.line, what ? what : "");
		reg_warn(op, "line %zu%s", twice.line, what ? what : "");
	}
	if (!*ret)
		*ret = ojson_new_object();
	return *ret ? 0 : reg_failed(op, -ENOMEM, NULL);
}

/* schema.GroupVersionKind as Go prints it: "apps/v1, Kind=Deployment", "/v1, Kind=Pod" */
static const char *print_gvk(struct reg_op *op, const struct ojson *config)
{
	const char *version = ojson_get_cstr(config, "apiVersion", "");
	const char *s = oarena_printf(&op->arena, "%s%s, Kind=%s", strchr(version, '/') ? "" : "/", version,
				      ojson_get_cstr(config, "kind", ""));

	return s ? s : "";
}

static int check_head(struct reg_op *op, const struct ojson *config)
{
	const struct ojson *meta = ojson_get(config, "metadata");
	struct orlop_bytes kind = { op->k->kind, strlen(op->k->kind) };
	char version[128];

	snprintf(version, sizeof(version), "%s", op->k->api_version);
	if (op->sub && op->sub->kind) {
		const struct oschema *s = op->k->schema;
		const char *group = oschema_str(s, op->sub->group);

		kind = RB(oschema_str(s, op->sub->kind));
		if (op->sub->version)
			snprintf(version, sizeof(version), "%s%s%s", group, *group ? "/" : "",
				 oschema_str(s, op->sub->version));
	}
	if (!rb_eq(ojson_get_bytes(config, "kind"), kind) || !rb_is(ojson_get_bytes(config, "apiVersion"), version))
		return reg_bad_request(op, "invalid object type: %s", print_gvk(op, config));
	if (ojson_get(meta, "managedFields"))
		return reg_bad_request(op, "metadata.managedFields must be nil");
	return 0;
}

/* A Scale applied is its object applied, as far as its replicas go. */
static int from_scale(struct reg_op *op, struct ojson **config)
{
	struct ojson *n = NULL, *out = ojson_new_object(), *meta;
	const struct reg_kind *k = managed_kind(op);
	int r = out ? ojson_set_cstr(out, "apiVersion", k->api_version) : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(out, "kind", k->kind);
	meta = r == 0 ? ojson_get(*config, "metadata") : NULL;
	if (ojson_is(meta, OJSON_OBJECT))
		r = ojson_set(out, "metadata", ojson_ref(meta));
	if (r == 0 && ojson_lookup(ojson_get(scale_agreed(op->w) ? scale_agreed(op->w) : *config, "spec"), "replicas", &n))
		r = scale_put(out, oschema_str(op->k->schema, op->sub->replicas), ojson_ref(n));
	if (r) {
		ojson_unref(out);
		return reg_failed(op, r, NULL);
	}
	ojson_unref(*config);
	*config = out;
	return 0;
}

static int refused(struct reg_op *op, int r, const struct ojson *config, const struct oapply_result *res)
{
	const struct ojson *meta = ojson_get(config, "metadata");

	if (r == -EEXIST) {
		for (size_t i = 0; i < res->n_conflicts; i++)
			reg_cause(op, "FieldManagerConflict", res->conflicts[i].field, "%s",
				  res->conflicts[i].message);
		return reg_fail(op, EEXIST, 409, "Conflict", "%s", res->message);
	}
	if (r == -EINVAL && res->message)
		return reg_fail(op, EINVAL, 500, "", "failed to create typed patch object (%s/%s; %s): %s",
				ojson_get_cstr(meta, "namespace", ""), ojson_get_cstr(meta, "name", ""),
				print_gvk(op, config), res->message);
	return reg_failed(op, r, NULL);
}

/* @config merged into what is there; the entries are kept for the write. */
static int merge(struct reg_op *op, const struct ojson *config, struct ojson **ret)
{
	const struct oschema *s = op->k->schema;
	const struct reg_kind *k = managed_kind(op);
	struct oapply_result res;
	struct ojson *live = NULL;
	struct oapply_info info = {
		.schema = s,
		.type = oschema_type_at(s, k->res->type),
		.config = config,
		.manager = op->opt.manager.len ? op->opt.manager : op->rq.manager,
		.api_version = RB(k->api_version),
		.subresource = managed_subresource(op),
		.now_ns = (int64_t)op->sh->h->now_wall(op->sh->h),
		.force = op->opt.force,
		.reset = managed_reset(op),
		.convert = managed_convert,
		.convert_arg = op,
	};
	int r = op->w->old ? write_current(op, &live) : 0;

	if (r)
		return r;
	info.live = live;
	r = oapply(&op->arena, &info, &res);
	if (r == 0)
		r = managed_set(op, res.managed);
	else
		r = refused(op, r, config, &res);
	ojson_unref(res.managed);
	ojson_unref(live);
	if (r == 0) {
		*ret = res.object;
		return 0;
	}
	ojson_unref(res.object);
	return op->err.err ? r : reg_failed(op, r, NULL);
}

/* Members that are put into the top of a merged object must not be the client's or the stored one's. */
static int own_metadata(struct ojson *obj)
{
	struct ojson *meta = NULL;
	int r = ojson_copy(ojson_get(obj, "metadata"), &meta);

	return r || !meta ? r : ojson_set(obj, "metadata", meta);
}

static int check_new(struct reg_op *op, struct ojson *obj)
{
	struct ojson *meta = ojson_get(obj, "metadata");

	if (ojson_get_bytes(meta, "uid").len)
		return reg_conflict(op, op->rq.name, "uid mismatch: the provided object specified uid %s, and no existing object was found",
				    ojson_get_cstr(meta, "uid", ""));
	if (ojson_get_bytes(meta, "name").len == 0)
		return reg_bad_request(op, "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
				       OB(op->rq.name));
	return 0;
}

static int make(struct reg_op *op, struct ojson *config)
{
	bool scale = op->sub && rb_is(op->rq.sub, "scale");
	struct ojson *obj = NULL;
	int r = scale ? from_scale(op, &config) : 0;

	if (r == 0)
		r = merge(op, config, &obj);
	ojson_unref(config);
	if (r)
		return r;
	r = own_metadata(obj);
	if (r == 0 && op->w->old && scale) {
		r = write_decode(op, TAKE(obj));
		return r ? r : write_check(op);
	}
	op->w->code = op->w->old ? 200 : 201;
	if (r == 0 && op->w->old)
		return write_make_changed(op, obj, true);
	if (r == 0)
		r = check_new(op, obj);
	if (r == 0)
		r = write_may_create(op, obj);
	if (r == 0)
		return write_make_new(op, obj);
	ojson_unref(obj);
	return op->err.err ? r : reg_failed(op, r, NULL);
}

int write_make_apply(struct reg_op *op)
{
	struct ojson *config = NULL;
	int r = parse(op, &config);

	if (r == 0)
		r = check_head(op, config);
	if (r == 0)
		return make(op, config);
	ojson_unref(config);
	return r;
}
