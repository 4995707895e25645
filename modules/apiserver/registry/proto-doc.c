/*
 * proto-doc.c - whole documents in protobuf: which type a kind has, the envelope, the events of a watch. Pure.
 */
#include "proto.h"
#include "proto-wire.h"

#include "base/ostr.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdio.h>

void reg_proto_bytes(struct obuf *out, unsigned int num, const char *p, size_t len)
{
	char *at;

	put_tag(out, num, 2);
	put_varint(out, len);
	at = room(out, len);
	if (!at)
		return;
	if (len)
		memcpy(at, p, len);
	at[len] = '\0';
	out->len += len;
}

void reg_proto_varint(struct obuf *out, unsigned int num, uint64_t v)
{
	put_tag(out, num, 0);
	put_varint(out, v);
}

const struct oschema_type *reg_proto_type(const struct oschema *s, struct orlop_bytes api_version,
					  struct orlop_bytes kind)
{
	const char *slash = api_version.len ? memchr(api_version.p, '/', api_version.len) : NULL;
	struct orlop_bytes group = { api_version.p, slash ? (size_t)(slash - api_version.p) : 0 };
	struct orlop_bytes version = { slash ? slash + 1 : api_version.p,
		slash ? api_version.len - group.len - 1 : api_version.len };
	const struct oschema_group *g = oschema_group_version_find(s, group, version);
	const struct oschema_type *t = NULL;
	char name[300];

	if (g && kind.len < 200) {
		snprintf(name, sizeof(name), "%s.%.*s", oschema_str(s, g->package), (int)kind.len, kind.p);
		t = oschema_type_find(s, name);
	}
	if (!t && kind.len < 200 && (!group.len || ostr_is(group.p, group.len, "meta.k8s.io"))) {
		snprintf(name, sizeof(name), "meta/v1.%.*s", (int)kind.len, kind.p);
		t = oschema_type_find(s, name);
	}
	return t && t->flags & OSCHEMA_T_OBJECT ? t : NULL;
}

static void put_head(struct orlop_bytes api_version, struct orlop_bytes kind, size_t raw_len, struct obuf *out)
{
	size_t at;

	obuf_append(out, "k8s", 4);
	at = begin(out, 1);
	reg_proto_bytes(out, 1, api_version.p, api_version.len);
	reg_proto_bytes(out, 2, kind.p, kind.len);
	end(out, at);
	put_tag(out, 2, 2);
	put_varint(out, raw_len);
}

void reg_proto_head(const char *api_version, const char *kind, size_t raw_len, struct obuf *out)
{
	put_head((struct orlop_bytes){ api_version, strlen(api_version) },
		 (struct orlop_bytes){ kind, strlen(kind) }, raw_len, out);
}

int reg_proto_document(const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	struct obuf raw = OBUF_INIT;
	const struct oschema_type *t;
	struct orlop_bytes v, kind, api_version;
	int r;

	if (!oscan_get(json, "kind", &v) || !oscan_plain(v, &kind))
		return -EINVAL;
	/* Discovery's documents of the core group have no version. */
	if (!oscan_get(json, "apiVersion", &v) || !oscan_plain(v, &api_version))
		api_version = (struct orlop_bytes){ "v1", 2 };
	t = reg_proto_type(s, api_version, kind);
	if (!t)
		return -ENOENT;
	r = reg_proto_message(s, t, json, &raw);
	if (r == 0) {
		put_head(api_version, kind, raw.len, out);
		obuf_append(out, raw.len ? raw.data : "", raw.len);
		obuf_append(out, REG_PROTO_TAIL, REG_PROTO_TAIL_LEN);
		r = obuf_err(out);
	}
	obuf_done(&raw);
	return r;
}

int reg_proto_event(const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	struct orlop_bytes type, obj, v;
	size_t from = out->len, at, raw;
	uint32_t len;
	int r;

	if (!oscan_get(json, "type", &v) || !oscan_plain(v, &type) || !oscan_get(json, "object", &obj))
		return -EINVAL;
	obuf_append(out, "\0\0\0\0", 4);
	reg_proto_bytes(out, 1, type.p, type.len);
	at = begin(out, 2);
	raw = begin(out, 1);
	r = reg_proto_document(s, obj, out);
	end(out, raw);
	end(out, at);
	if (r < 0 || obuf_err(out))
		return r < 0 ? r : obuf_err(out);
	len = (uint32_t)(out->len - from - 4);
	for (unsigned int i = 0; i < 4; i++)
		out->data[from + i] = (char)(len >> (24 - 8 * i));
	return 0;
}
