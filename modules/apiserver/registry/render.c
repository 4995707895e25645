/* render.c - objects in other forms than their stored bytes. */
#include "custom.h"
#include "render.h"

#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/rows.h"

#include <errno.h>
#include <string.h>

struct orlop_bytes render_metadata(struct orlop_bytes json)
{
	static const char key[] = "\"metadata\":";
	struct orlop_bytes out = { NULL, 0 };
	size_t end;

	if (!ostr_starts(json.p, json.len, key))
		return out;
	end = oscan_skip(json.p, json.len, sizeof(key) - 1);
	if (end == SIZE_MAX)
		return out;
	out.p = json.p + sizeof(key) - 1;
	out.len = end - (sizeof(key) - 1);
	return out;
}

int render_parse(const struct reg_kind *k, struct orlop_bytes json, struct ojson **ret)
{
	struct obuf b = OBUF_INIT;
	struct oscan_error e;
	int r;

	if (k)
		obuf_append(&b, k->prefix.p, k->prefix.len);
	else
		obuf_putc(&b, '{');
	obuf_append(&b, json.p, json.len);
	obuf_putc(&b, '}');
	r = obuf_err(&b);
	if (r == 0)
		r = ojson_parse(b.data, b.len, ret, &e);
	obuf_done(&b);
	return r;
}

int render_tree(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json, struct ojson **ret)
{
	cleanup_ojson struct ojson *obj = NULL;
	int r = render_parse(k, json, &obj);

	if (r == 0 && k->set)
		return custom_decode(k, obj, 0, NULL, ret, NULL);
	if (r == 0)
		r = oschema_convert(s, k->stored->res, k->res, obj);
	if (r == 0)
		r = oschema_decode(s, oschema_type_at(s, k->res->type), obj, 0, NULL, ret, NULL);
	return r;
}

int render_object(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json,
		  bool item, struct obuf *b)
{
	cleanup_ojson struct ojson *obj = NULL;
	int r;

	item = item && !k->set;		/* items of custom lists have kind and apiVersion */
	if (k->stored == k && !k->reread) {
		if (item)
			obuf_putc(b, '{');
		else
			obuf_append(b, k->prefix.p, k->prefix.len);
		obuf_append(b, json.p, json.len);
		obuf_putc(b, '}');
		return obuf_err(b);
	}
	r = render_tree(s, k, json, &obj);
	if (r)
		return r;
	if (item) {
		ojson_del(obj, "kind");
		ojson_del(obj, "apiVersion");
	}
	return ojson_write(obj, 0, b);
}

void render_partial(struct orlop_bytes json, struct obuf *b)
{
	struct orlop_bytes meta = render_metadata(json);

	obuf_puts(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
	obuf_append(b, meta.p, meta.len);
	obuf_putc(b, '}');
}

/* Whose columns: those of a custom resource are its version's own. */
static const struct oschema_resource *shown(const struct reg_kind *k)
{
	return k->set ? k->res : k->stored->res;
}

int render_row(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json,
	       enum reg_include include, int64_t now_ns, struct obuf *b)
{
	cleanup_ojson struct ojson *obj = NULL;
	const struct reg_kind *of = k->set ? k : k->stored;	/* each custom version has columns of its own */
	int r = k->set && !render_plain(k, REG_FORM_OBJECT) ? render_tree(s, k, json, &obj) : render_parse(of, json, &obj);
	size_t mark;

	if (r)
		return r;
	obuf_puts(b, "{\"cells\":");
	oschema_cells(s, shown(k), obj, now_ns, b);
	mark = b->len;
	obuf_puts(b, ",\"conditions\":");
	if (!oschema_row_conditions(s, shown(k), obj, b))
		obuf_truncate(b, mark);
	if (include == REG_INCLUDE_OBJECT) {
		obuf_puts(b, ",\"object\":");
		r = render_object(s, k, json, false, b);
	} else if (include == REG_INCLUDE_METADATA) {
		obuf_puts(b, ",\"object\":");
		render_partial(json, b);
	} else {
		obuf_puts(b, ",\"object\":null");
	}
	obuf_putc(b, '}');
	return r ? r : obuf_err(b);
}

void render_table_head(const struct oschema *s, const struct reg_kind *k, const char *list_meta,
		       bool columns, struct obuf *b)
{
	obuf_puts(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{");
	obuf_puts(b, list_meta);
	obuf_puts(b, "},\"columnDefinitions\":");
	if (columns)
		oschema_columns(s, shown(k), b);
	else
		obuf_puts(b, "[]");
	obuf_puts(b, ",\"rows\":[");
}

int render_one(struct reg_shard *sh, const struct reg_kind *k, enum reg_form form,
	       enum reg_include include, struct orlop_bytes json, uint64_t rev, bool columns,
	       struct obuf *b)
{
	const struct oschema *s = k->schema;
	char meta[64];
	int r;

	switch (form) {
	case REG_FORM_META:
		render_partial(json, b);
		return obuf_err(b);
	case REG_FORM_TABLE:
		snprintf(meta, sizeof(meta), "\"resourceVersion\":\"%llu\"", (unsigned long long)rev);
		render_table_head(s, k, meta, columns, b);
		r = render_row(s, k, json, include, (int64_t)sh->h->now_wall(sh->h), b);
		obuf_puts(b, "]}");
		return r ? r : obuf_err(b);
	default:
		return render_object(s, k, json, false, b);
	}
}
