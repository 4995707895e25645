/* reply.c - CRI documents in and out of messages, ids, paths. */
#include "oci.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/oenc.h"
#include "base/omem.h"

int req_parse(struct oci *o, const struct orlop_req *req, struct ojson **ret, struct orlop_error *err)
{
	struct orlop_bytes b = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_REQUEST);

	if (!b.len) {
		*ret = ojson_new_object();
		return *ret ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	if (ojson_parse(b.p, b.len, ret, NULL) || !ojson_is(*ret, OJSON_OBJECT)) {
		return orlop_fail(err, EINVAL, 0, "", "runtime op %u: REQUEST is not a JSON object",
				  req->op);
	}
	return 0;
}

static bool same_text(const struct ojson *want, const struct ojson *is)
{
	const char *w = ojson_cstr(want, "");

	return !*w || strcmp(w, ojson_cstr(is, "")) == 0;
}

bool filter_takes(const struct ojson *req, const struct ojson *summary)
{
	const struct ojson *f = ojson_get(req, "filter");
	const struct ojson *labels = ojson_get(summary, "labels");

	if (!same_text(ojson_get(f, "id"), ojson_get(summary, "id")) ||
	    !same_text(ojson_get(f, "podSandboxId"), ojson_get(summary, "podSandboxId")) ||
	    !same_text(OJSON_AT(f, "state", "state"), ojson_get(summary, "state")))
		return false;
	OJSON_FOREACH(it, ojson_get(f, "labelSelector"))
		if (strcmp(ojson_cstr(it.value, ""), ojson_get_cstr(labels, it.key, "\n")) != 0)
			return false;
	return true;
}

void reply_json(struct oci *o, struct orlop_call *call, struct ojson *take_j, const char *netns)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	struct obuf text;

	obuf_init(&text);
	if (take_j)
		(void)ojson_write(take_j, 0, &text);
	else
		obuf_puts(&text, "{}");
	ojson_unref(take_j);
	orlop_msgw_init(&w, o->h);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_RESPONSE, text.data, text.len);
	if (netns)
		orlop_msgw_str(&w, ORLOP_RUNTIME_T_NETNS, netns);
	if (!w.err)
		w.err = obuf_err(&text);
	msg = orlop_msgw_msg(&w);
	(void)omap_del(&o->changing, &call, sizeof(call));
	o->h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
	obuf_done(&text);
}

int reply_list(struct oci *o, const struct orlop_req *req, struct orlop_call *call, struct omap *m, const char *key,
	       struct ojson *(*summary)(const void *at), struct orlop_error *err)
{
	cleanup_ojson struct ojson *r = NULL;
	struct ojson *out;
	struct ojson *items;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	out = ojson_new_object();
	items = out ? ojson_ensure_array(out, key) : NULL;
	if (!items) {
		ojson_unref(out);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	OMAP_FOREACH(m, at) {
		struct ojson *j = summary(at->value);

		if (j && filter_takes(r, j))
			(void)ojson_append(items, j);
		else
			ojson_unref(j);
	}
	reply_json(o, call, out, NULL);
	return 0;
}

void reply_error(struct oci *o, struct orlop_call *call, struct orlop_error *err)
{
	const char *word = err->err ? strerrordesc_np(err->err) : NULL;
	size_t len = strlen(err->msg);

	/* What the system said: "cannot make DIR" alone helps nobody. */
	if (word && !err->http && !err->reason[0] && err->err != EINVAL && err->err != EIO && err->err != EBADMSG &&
	    !strcasestr(err->msg, word) && len + 2 + strlen(word) < sizeof(err->msg))
		snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", word);
	(void)omap_del(&o->changing, &call, sizeof(call));
	o->h->call_done(call, err->err ? -err->err : -EIO, NULL, err);
	orlop_error_done(err);
}

/* By full id or unique prefix. */
static void *by_id(struct omap *m, const char *id)
{
	void *found = omap_get_cstr(m, id);
	size_t len = strlen(id);

	if (found || len < 8)
		return found;
	OMAP_FOREACH(m, e) {
		if (e->key_len > len && !memcmp(e->key, id, len)) {
			if (found)
				return NULL;
			found = e->value;
		}
	}
	return found;
}

struct sandbox *sandbox_get(struct oci *o, const struct ojson *req, struct orlop_error *err)
{
	const char *id = ojson_get_cstr(req, "podSandboxId", "");
	struct sandbox *s = by_id(&o->sandboxes, id);

	if (!s || s->busy) {
		orlop_fail(err, ENOENT, 404, "NotFound", "pod sandbox \"%s\" not found", id);
		return NULL;
	}
	return s;
}

struct container *container_get(struct oci *o, const struct ojson *req, struct orlop_error *err)
{
	const char *id = ojson_get_cstr(req, "containerId", "");
	struct container *c = by_id(&o->containers, id);

	if (!c) {
		orlop_fail(err, ENOENT, 404, "NotFound", "container \"%s\" not found", id);
		return NULL;
	}
	return c;
}

void id_new(struct oci *o, char out[OCI_ID_LEN + 1])
{
	unsigned char raw[OCI_ID_LEN / 2];

	o->h->random(o->h, raw, sizeof(raw));
	ohex_encode(raw, sizeof(raw), out);
	out[OCI_ID_LEN] = '\0';
}

char *path_of(struct oci *o, const char *fmt, ...)
{
	struct obuf b;
	va_list ap;

	obuf_init(&b);
	obuf_puts(&b, o->root);
	obuf_putc(&b, '/');
	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (obuf_err(&b)) {
		obuf_done(&b);
		return NULL;
	}
	return obuf_steal(&b, NULL);
}
