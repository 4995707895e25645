/* Sets of field paths as text: FieldsV1, dotted paths, the paths that conflicts print. */
#include "patch/ofields.h"

#include "base/ocleanup.h"
#include "base/ostr.h"

#include <errno.h>
#include <string.h>

void ofields_write(const struct ofields *s, struct obuf *b)
{
	bool first = true;

	obuf_putc(b, '{');
	if (s != NULL && s->member && s->n > 0 && s->pe.len > 0) {
		obuf_puts(b, "\".\":{}");
		first = false;
	}
	for (uint32_t i = 0; s != NULL && i < s->n; i++) {
		if (!first)
			obuf_putc(b, ',');
		first = false;
		obuf_put_json_string(b, s->child[i]->pe.p, s->child[i]->pe.len);
		obuf_putc(b, ':');
		ofields_write(s->child[i], b);
	}
	obuf_putc(b, '}');
}

/* A path element as its sender wrote it, normalized: keys sorted, JSON compact. */
static int normalize(struct oarena *a, struct orlop_bytes text, struct orlop_bytes *ret)
{
	cleanup_ojson struct ojson *j = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int64_t index;
	int r;

	if (text.len < 2 || text.p[1] != ':')
		return -EINVAL;
	obuf_append(&b, text.p, 2);
	switch (text.p[0]) {
	case 'f':
		obuf_append(&b, text.p + 2, text.len - 2);
		break;
	case 'i':
		if (ostr_to_i64(text.p + 2, text.len - 2, &index) < 0)
			return -EINVAL;
		obuf_put_i64(&b, index);
		break;
	case 'k':
	case 'v':
		r = ojson_parse(text.p + 2, text.len - 2, &j, NULL);
		if (r < 0)
			return r == -ENOMEM ? r : -EINVAL;
		if (text.p[0] == 'k' && !ojson_is(j, OJSON_OBJECT))
			return -EINVAL;
		(void)ojson_write(j, OJSON_SORTED, &b);
		break;
	default:
		return -EINVAL;
	}
	ret->p = obuf_err(&b) == 0 ? oarena_strndup(a, b.data, b.len) : NULL;
	ret->len = b.len;
	return ret->p != NULL ? 0 : -ENOMEM;
}

static int parse(struct oarena *a, const struct ojson *j, struct ofields *node)
{
	if (!ojson_is(j, OJSON_OBJECT))
		return -EINVAL;
	OJSON_FOREACH(it, j) {
		struct orlop_bytes pe;
		struct ofields *child;
		int r;

		if (strcmp(it.key, ".") == 0) {
			node->member = true;
			continue;
		}
		r = normalize(a, (struct orlop_bytes){ it.key, it.key_len }, &pe);
		if (r < 0)
			return r;
		child = ofields_enter(a, node, pe);
		if (child == NULL)
			return -ENOMEM;
		if (!ojson_is(it.value, OJSON_OBJECT))
			return -EINVAL;
		child->member = ojson_count(it.value) == 0;
		r = parse(a, it.value, child);
		if (r < 0)
			return r;
	}
	return 0;
}

int ofields_parse(struct oarena *a, const struct ojson *fields_v1, const struct ofields **ret)
{
	struct ofields *root = ofields_new(a);
	int r;

	*ret = NULL;
	if (root == NULL)
		return -ENOMEM;
	if (fields_v1 == NULL)
		return 0;
	r = parse(a, fields_v1, root);
	if (r < 0)
		return r;
	root->member = false;
	*ret = ofields_finish(root);
	return 0;
}

int ofields_from_paths(struct oarena *a, const char *const *paths, const struct ofields **ret)
{
	struct ofields *root = ofields_new(a);

	*ret = NULL;
	if (root == NULL)
		return -ENOMEM;
	for (; paths != NULL && *paths != NULL; paths++) {
		const char *p = *paths;
		struct ofields *node = ofields_new(a);
		struct ofields *top = node;
		const struct ofields *both;

		if (node == NULL)
			return -ENOMEM;
		while (*p != '\0') {
			size_t n = strcspn(p, ".");
			char *pe = oarena_printf(a, "f:%.*s", (int)n, p);

			node = pe != NULL ? ofields_enter(a, node, (struct orlop_bytes){ pe, n + 2 }) : NULL;
			if (node == NULL)
				return -ENOMEM;
			p += n + (p[n] == '.');
		}
		node->member = true;
		if (ofields_union(a, *ret, ofields_finish(top), &both) < 0)
			return -ENOMEM;
		*ret = both;
	}
	return 0;
}

void ofields_print_pe(struct orlop_bytes pe, struct obuf *b)
{
	struct orlop_bytes v = { pe.p + 2, pe.len - 2 };
	struct oscan_iter it;
	bool first = true;

	switch (pe.p[0]) {
	case 'f':
		obuf_putc(b, '.');
		obuf_append(b, v.p, v.len);
		break;
	case 'k':
		obuf_putc(b, '[');
		for (oscan_begin(&it, v); oscan_next(&it) > 0; first = false) {
			if (!first)
				obuf_putc(b, ',');
			(void)oscan_unquote(it.key, b);
			obuf_putc(b, '=');
			obuf_append(b, it.value.p, it.value.len);
		}
		obuf_putc(b, ']');
		break;
	case 'v':
		obuf_puts(b, "[=");
		obuf_append(b, v.p, v.len);
		obuf_putc(b, ']');
		break;
	default:
		obuf_putc(b, '[');
		obuf_append(b, v.p, v.len);
		obuf_putc(b, ']');
		break;
	}
}

static int each(const struct ofields *s, struct obuf *path, ofields_each_fn fn, void *arg)
{
	size_t len = path->len;
	int r = 0;

	if (s->pe.len >= 2)
		ofields_print_pe(s->pe, path);
	if (s->member)
		r = obuf_err(path) < 0 ? obuf_err(path) : fn(arg, obuf_cstr(path), path->len);
	for (uint32_t i = 0; r == 0 && i < s->n; i++)
		r = each(s->child[i], path, fn, arg);
	obuf_truncate(path, len);
	return r;
}

int ofields_each(const struct ofields *s, ofields_each_fn fn, void *arg)
{
	cleanup_obuf struct obuf path = OBUF_INIT;

	return s != NULL ? each(s, &path, fn, arg) : 0;
}
