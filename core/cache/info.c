/*
 * info.c - descriptions of resources, as modules register them: what is wrong with one, copies, and the record that "resources" has.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/record.h>

#include "base/obuf.h"
#include "base/omem.h"

#define FIELDS_MAX	(INDEX_MAX - ORLOP_INDEX_FIRST_FIELD)

void core_info_put(struct resource_info *info)
{
	if (info && oref_put(&info->ref))
		omem_free(info);
}

void core_infos_put(struct resource_info *info)
{
	while (info) {
		struct resource_info *next = info->next;

		core_info_put(info);
		info = next;
	}
}

int32_t core_info_index(const struct orlop_resource_info *info, const char *field)
{
	if (strcmp(field, "labels") == 0)
		return ORLOP_INDEX_LABELS;
	if (strcmp(field, "owner") == 0)
		return ORLOP_INDEX_OWNER;
	if (strcmp(field, "uid") == 0)
		return ORLOP_INDEX_UID;
	for (uint32_t i = 0; i < info->n_fields; i++)
		if (strcmp(field, info->fields[i]) == 0)
			return (int32_t)(ORLOP_INDEX_FIRST_FIELD + i);
	return -ENOENT;
}

int core_info_check(const struct orlop_resource_info *in, uint64_t *ret_kept,
		      struct orlop_error *err)
{
	*ret_kept = 0;
	if (in->size < sizeof(*in))
		return orlop_fail(err, EINVAL, 0, "", "resource description of %u bytes, need %zu",
				  in->size, sizeof(*in));
	if (!in->name || !*in->name || strchr(in->name, '/') || in->name[0] == '!')
		return orlop_fail(err, EINVAL, 0, "", "resource \"%s\": not a resource's name",
				  in->name ? in->name : "");
	if (strcmp(in->name, "resources") == 0)
		return orlop_fail(err, EINVAL, 0, "", "resource \"resources\" belongs to the core");
	if (in->n_fields > FIELDS_MAX)
		return orlop_fail(err, EINVAL, 0, "", "resource \"%s\": %u field indexes, at most %u",
				  in->name, in->n_fields, FIELDS_MAX);
	for (const char *const *f = in->indexed; f && *f; f++) {
		int32_t n = core_info_index(in, *f);

		if (n < 0)
			return orlop_fail(err, EINVAL, 0, "",
					  "resource \"%s\": indexed field \"%s\" is not one of its fields",
					  in->name, *f);
		*ret_kept |= UINT64_C(1) << n;
	}
	return 0;
}

static const char *text_put(char **at, const char *cstr)
{
	char *p = *at;
	size_t n;

	if (!cstr)
		cstr = "";
	n = strlen(cstr) + 1;
	memcpy(p, cstr, n);
	*at += n;
	return p;
}

static size_t text_size(const char *cstr)
{
	return cstr ? strlen(cstr) + 1 : 1;
}

struct resource_info *core_info_copy(const struct orlop_resource_info *in, uint64_t kept)
{
	size_t size = text_size(in->name) + text_size(in->group) + text_size(in->version) +
		      text_size(in->kind) + text_size(in->plural) + text_size(in->prefix);
	uint32_t n_indexed = 0;
	struct resource_info *info;
	const char **v;
	char *p;

	for (uint32_t i = 0; i < in->n_fields; i++)
		size += text_size(in->fields[i]);
	for (; in->indexed && in->indexed[n_indexed]; n_indexed++)
		size += text_size(in->indexed[n_indexed]);
	info = omem_zalloc(sizeof(*info) + (in->n_fields + n_indexed + 1) * sizeof(char *) + size);
	if (!info)
		return NULL;
	oref_init(&info->ref);
	info->kept = kept;
	info->pub = *in;
	info->pub.size = sizeof(info->pub);
	v = (const char **)(void *)(info + 1);
	p = (char *)(v + in->n_fields + n_indexed + 1);
	info->pub.name = text_put(&p, in->name);
	info->pub.group = text_put(&p, in->group);
	info->pub.version = text_put(&p, in->version);
	info->pub.kind = text_put(&p, in->kind);
	info->pub.plural = text_put(&p, in->plural);
	info->pub.prefix = text_put(&p, in->prefix);
	info->pub.fields = v;
	for (uint32_t i = 0; i < in->n_fields; i++)
		*v++ = text_put(&p, in->fields[i]);
	info->pub.indexed = v;
	for (uint32_t i = 0; i < n_indexed; i++)
		*v++ = text_put(&p, in->indexed[i]);
	return info;
}

static bool texts_same(const char *const *a, const char *const *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

bool core_info_same(const struct resource_info *a, const struct resource_info *b)
{
	const struct orlop_resource_info *x = &a->pub, *y = &b->pub;

	return a->kept == b->kept && x->namespaced == y->namespaced && x->schema_gen == y->schema_gen &&
	       x->journal_bytes == y->journal_bytes && x->journal_ns == y->journal_ns && x->n_fields == y->n_fields &&
	       strcmp(x->group, y->group) == 0 && strcmp(x->version, y->version) == 0 && strcmp(x->kind, y->kind) == 0 &&
	       strcmp(x->plural, y->plural) == 0 && strcmp(x->prefix, y->prefix) == 0 &&
	       texts_same(x->fields, y->fields, x->n_fields);
}

static void json_field(struct obuf *b, const char *name, const char *value)
{
	obuf_printf(b, ",\"%s\":", name);
	obuf_put_json_cstr(b, value);
}

void core_info_record(const struct orlop_resource_info *info, struct obuf *b)
{
	static const char head[] = "\"metadata\":{";
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC,
		.header_len = sizeof(rec),
		.format = 1,
		.rv_off = sizeof(head) - 1,
	};

	obuf_append(b, &rec, sizeof(rec));
	obuf_puts(b, head);
	obuf_puts(b, "\"name\":");
	obuf_put_json_cstr(b, info->name);
	obuf_putc(b, '}');
	json_field(b, "group", info->group);
	json_field(b, "version", info->version);
	json_field(b, "kind", info->kind);
	json_field(b, "plural", info->plural);
	obuf_printf(b, ",\"namespaced\":%s,\"schemaGeneration\":%u,\"fields\":[",
		    info->namespaced ? "true" : "false", info->schema_gen);
	for (uint32_t i = 0; i < info->n_fields; i++) {
		obuf_puts(b, i ? "," : "");
		obuf_put_json_cstr(b, info->fields[i]);
	}
	obuf_puts(b, "],\"indexed\":[");
	for (uint32_t i = 0; info->indexed[i]; i++) {
		obuf_puts(b, i ? "," : "");
		obuf_put_json_cstr(b, info->indexed[i]);
	}
	obuf_putc(b, ']');
	if (obuf_err(b))
		return;
	rec.json_len = (uint32_t)(b->len - sizeof(rec));
	memcpy(b->data, &rec, sizeof(rec));
}
