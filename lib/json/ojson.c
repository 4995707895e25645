/* The tree: life, look-ups, changes; see ojson.h. json-c's types end in this file and parse.c. */
#include "json/ojson.h"

#include "base/omem.h"
#include "base/ostr.h"
#include "json/tree.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define KEY_ON_STACK 192

struct ojson *ojson_ref(struct ojson *j)
{
	return ojson_wrap(json_object_get(ojson_raw(j)));
}

void ojson_unref(struct ojson *j)
{
	int saved = errno;

	if (j != NULL)
		(void)json_object_put(ojson_raw(j));
	errno = saved;
}

/* json-c allocates by itself: the test hook is asked here, so that tests can fail nodes as well. */
static bool fault(void)
{
	return omem_fault != NULL && omem_fault(64);
}

struct ojson *ojson_new_object(void)
{
	return fault() ? NULL : ojson_wrap(json_object_new_object());
}

struct ojson *ojson_new_array(void)
{
	return fault() ? NULL : ojson_wrap(json_object_new_array_ext(4));
}

struct ojson *ojson_new_bool(bool v)
{
	return fault() ? NULL : ojson_wrap(json_object_new_boolean(v));
}

struct ojson *ojson_new_i64(int64_t v)
{
	return fault() ? NULL : ojson_wrap(json_object_new_int64(v));
}

struct ojson *ojson_new_double(double v)
{
	return fault() || !isfinite(v) ? NULL : ojson_wrap(json_object_new_double(v));
}

struct ojson *ojson_new_string(const char *p, size_t len)
{
	if (len > INT32_MAX || fault())
		return NULL;
	return ojson_wrap(json_object_new_string_len(p != NULL ? p : "", (int)len));
}

struct ojson *ojson_new_cstr(const char *cstr)
{
	return ojson_new_string(cstr, strlen(cstr));
}

enum ojson_type ojson_type(const struct ojson *j)
{
	switch (json_object_get_type(ojson_raw_const(j))) {
	case json_type_boolean:
		return OJSON_BOOL;
	case json_type_int:
		return OJSON_INT;
	case json_type_double:
		return OJSON_DOUBLE;
	case json_type_string:
		return OJSON_STRING;
	case json_type_array:
		return OJSON_ARRAY;
	case json_type_object:
		return OJSON_OBJECT;
	case json_type_null:
	default:
		return OJSON_NULL;
	}
}

bool ojson_is(const struct ojson *j, enum ojson_type type)
{
	return ojson_type(j) == type;
}

const char *ojson_type_name(const struct ojson *j)
{
	static const char names[][8] = {
		"null", "bool", "number", "number", "string", "array", "object",
	};

	return names[ojson_type(j)];
}

bool ojson_bool(const struct ojson *j, bool def)
{
	return ojson_is(j, OJSON_BOOL) ? json_object_get_boolean(ojson_raw_const(j)) : def;
}

int64_t ojson_i64(const struct ojson *j, int64_t def)
{
	double d;

	if (ojson_is(j, OJSON_INT))
		return json_object_get_int64(ojson_raw_const(j));
	if (!ojson_is(j, OJSON_DOUBLE))
		return def;
	d = json_object_get_double(ojson_raw_const(j));
	if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || (double)(int64_t)d != d)
		return def;
	return (int64_t)d;
}

double ojson_double(const struct ojson *j, double def)
{
	enum ojson_type t = ojson_type(j);

	return t == OJSON_INT || t == OJSON_DOUBLE ? json_object_get_double(ojson_raw_const(j)) : def;
}

const char *ojson_string(const struct ojson *j, size_t *ret_len)
{
	struct json_object *raw = (struct json_object *)(uintptr_t)j;

	if (!ojson_is(j, OJSON_STRING))
		return NULL;
	if (ret_len != NULL)
		*ret_len = (size_t)json_object_get_string_len(raw);
	return json_object_get_string(raw);
}

const char *ojson_cstr(const struct ojson *j, const char *def)
{
	const char *s = ojson_string(j, NULL);

	return s != NULL ? s : def;
}

struct orlop_bytes ojson_bytes(const struct ojson *j)
{
	struct orlop_bytes b = { NULL, 0 };

	b.p = ojson_string(j, &b.len);
	return b;
}

bool ojson_string_is(const struct ojson *j, const char *cstr)
{
	size_t len;
	const char *s = ojson_string(j, &len);

	return s != NULL && ostr_is(s, len, cstr);
}

static struct json_object *as_object(const struct ojson *j)
{
	return ojson_is(j, OJSON_OBJECT) ? (struct json_object *)(uintptr_t)j : NULL;
}

static struct json_object *as_array(const struct ojson *j)
{
	return ojson_is(j, OJSON_ARRAY) ? (struct json_object *)(uintptr_t)j : NULL;
}

bool ojson_lookup(const struct ojson *obj, const char *key, struct ojson **ret)
{
	struct json_object *raw = as_object(obj);
	struct json_object *v;

	if (raw == NULL || !json_object_object_get_ex(raw, key, &v))
		return false;
	if (ret != NULL)
		*ret = ojson_wrap(v);
	return true;
}

/* A NUL-terminated copy of a key: on the stack when it fits. */
struct key_copy {
	char	small[KEY_ON_STACK];
	char	*cstr;
};

static int key_copy_init(struct key_copy *k, const char *key, size_t len)
{
	if (memchr(key, '\0', len) != NULL)
		return -EINVAL;
	if (len < sizeof(k->small)) {
		memcpy(k->small, key, len);
		k->small[len] = '\0';
		k->cstr = k->small;
		return 0;
	}
	k->cstr = omem_strndup(key, len);
	return k->cstr != NULL ? 0 : -ENOMEM;
}

static void key_copy_done(struct key_copy *k)
{
	if (k->cstr != k->small)
		omem_free(k->cstr);
}

bool ojson_lookup_n(const struct ojson *obj, const char *key, size_t len, struct ojson **ret)
{
	struct key_copy k;
	bool found;

	if (key_copy_init(&k, key, len) < 0)
		return false;
	found = ojson_lookup(obj, k.cstr, ret);
	key_copy_done(&k);
	return found;
}

struct ojson *ojson_get(const struct ojson *obj, const char *key)
{
	struct ojson *v = NULL;

	(void)ojson_lookup(obj, key, &v);
	return v;
}

struct ojson *ojson_get_n(const struct ojson *obj, const char *key, size_t len)
{
	struct ojson *v = NULL;

	(void)ojson_lookup_n(obj, key, len, &v);
	return v;
}

bool ojson_has(const struct ojson *obj, const char *key)
{
	return ojson_lookup(obj, key, NULL);
}

struct ojson *ojson_at(const struct ojson *obj, const char *const *path)
{
	struct ojson *v = (struct ojson *)(uintptr_t)obj;

	for (; *path != NULL && v != NULL; path++)
		v = ojson_get(v, *path);
	return v;
}

struct ojson *ojson_at_dotted(const struct ojson *j, const char *path)
{
	struct ojson *v = (struct ojson *)(uintptr_t)j;

	while (*path != '\0' && v != NULL) {
		size_t n = strcspn(path, ".");
		uint64_t i;

		if (!ojson_is(v, OJSON_ARRAY))
			v = ojson_get_n(v, path, n);
		else if (ostr_to_u64(path, n, &i) == 0 && i < ojson_count(v))
			v = ojson_index(v, (size_t)i);
		else
			v = NULL;
		path += n + (path[n] == '.');
	}
	return v;
}

const char *ojson_get_cstr(const struct ojson *obj, const char *key, const char *def)
{
	return ojson_cstr(ojson_get(obj, key), def);
}

struct orlop_bytes ojson_get_bytes(const struct ojson *obj, const char *key)
{
	return ojson_bytes(ojson_get(obj, key));
}

int64_t ojson_get_i64(const struct ojson *obj, const char *key, int64_t def)
{
	return ojson_i64(ojson_get(obj, key), def);
}

bool ojson_get_bool(const struct ojson *obj, const char *key, bool def)
{
	return ojson_bool(ojson_get(obj, key), def);
}

struct ojson *ojson_get_object(const struct ojson *obj, const char *key)
{
	struct ojson *v = ojson_get(obj, key);

	return ojson_is(v, OJSON_OBJECT) ? v : NULL;
}

struct ojson *ojson_get_array(const struct ojson *obj, const char *key)
{
	struct ojson *v = ojson_get(obj, key);

	return ojson_is(v, OJSON_ARRAY) ? v : NULL;
}

size_t ojson_count(const struct ojson *j)
{
	struct json_object *raw = as_array(j);

	if (raw != NULL)
		return json_object_array_length(raw);
	raw = as_object(j);
	return raw != NULL ? (size_t)json_object_object_length(raw) : 0;
}

struct ojson *ojson_index(const struct ojson *arr, size_t i)
{
	struct json_object *raw = as_array(arr);

	if (raw == NULL || i >= json_object_array_length(raw))
		return NULL;
	return ojson_wrap(json_object_array_get_idx(raw, i));
}

bool ojson_next(const struct ojson *obj, struct ojson_iter *it)
{
	struct json_object *raw = as_object(obj);
	struct lh_entry *e;

	if (raw == NULL)
		return false;
	e = it->started ? (struct lh_entry *)(uintptr_t)it->next : json_object_get_object(raw)->head;
	if (e == NULL)
		return false;
	it->started = true;
	it->key = lh_entry_k(e);
	it->key_len = strlen(it->key);
	it->value = lh_entry_v(e);
	it->next = e->next;
	return true;
}

int ojson_put(struct ojson *obj, const char *key, struct ojson *take_v)
{
	struct json_object *raw = as_object(obj);
	int r = raw == NULL ? -EINVAL : fault() ? -ENOMEM : 0;

	if (r == 0 && json_object_object_add(raw, key, ojson_raw(take_v)) < 0)
		r = -ENOMEM;
	if (r < 0)
		ojson_unref(take_v);
	return r;
}

int ojson_put_n(struct ojson *obj, const char *key, size_t len, struct ojson *take_v)
{
	struct key_copy k;
	int r = key_copy_init(&k, key, len);

	if (r < 0) {
		ojson_unref(take_v);
		return r;
	}
	r = ojson_put(obj, k.cstr, take_v);
	key_copy_done(&k);
	return r;
}

int ojson_set(struct ojson *obj, const char *key, struct ojson *take_v)
{
	return take_v != NULL ? ojson_put(obj, key, take_v) : -ENOMEM;
}

int ojson_set_n(struct ojson *obj, const char *key, size_t len, struct ojson *take_v)
{
	return take_v != NULL ? ojson_put_n(obj, key, len, take_v) : -ENOMEM;
}

int ojson_set_cstr(struct ojson *obj, const char *key, const char *cstr)
{
	return ojson_set(obj, key, ojson_new_cstr(cstr));
}

int ojson_set_string(struct ojson *obj, const char *key, const char *p, size_t len)
{
	return ojson_set(obj, key, ojson_new_string(p, len));
}

int ojson_set_i64(struct ojson *obj, const char *key, int64_t v)
{
	return ojson_set(obj, key, ojson_new_i64(v));
}

int ojson_set_bool(struct ojson *obj, const char *key, bool v)
{
	return ojson_set(obj, key, ojson_new_bool(v));
}

struct ojson *ojson_ensure_object(struct ojson *obj, const char *key)
{
	struct ojson *v = ojson_get_object(obj, key);

	if (v != NULL)
		return v;
	return ojson_set(obj, key, ojson_new_object()) == 0 ? ojson_get_object(obj, key) : NULL;
}

struct ojson *ojson_ensure_array(struct ojson *obj, const char *key)
{
	struct ojson *v = ojson_get_array(obj, key);

	if (v != NULL)
		return v;
	return ojson_set(obj, key, ojson_new_array()) == 0 ? ojson_get_array(obj, key) : NULL;
}

void ojson_del(struct ojson *obj, const char *key)
{
	struct json_object *raw = as_object(obj);

	if (raw != NULL)
		json_object_object_del(raw, key);
}

void ojson_del_n(struct ojson *obj, const char *key, size_t len)
{
	struct json_object *raw = as_object(obj);
	struct lh_entry *e;

	if (raw == NULL)
		return;
	if (len < KEY_ON_STACK) {
		char small[KEY_ON_STACK];

		memcpy(small, key, len);
		small[len] = '\0';
		if (strlen(small) == len)
			json_object_object_del(raw, small);
		return;
	}
	/* rare, and must not fail for want of memory: compare all */
	lh_foreach(json_object_get_object(raw), e) {
		if (ostr_is(key, len, lh_entry_k(e))) {
			json_object_object_del(raw, lh_entry_k(e));
			return;
		}
	}
}

struct ojson *ojson_take(struct ojson *obj, const char *key)
{
	struct ojson *v = ojson_ref(ojson_get(obj, key));

	ojson_del(obj, key);
	return v;
}

static int append(struct ojson *arr, struct ojson *take_v)
{
	struct json_object *raw = as_array(arr);
	int r = raw == NULL ? -EINVAL : fault() ? -ENOMEM : 0;

	if (r == 0 && json_object_array_add(raw, ojson_raw(take_v)) < 0)
		r = -ENOMEM;
	if (r < 0)
		ojson_unref(take_v);
	return r;
}

int ojson_append(struct ojson *arr, struct ojson *take_v)
{
	return take_v != NULL ? append(arr, take_v) : -ENOMEM;
}

int ojson_append_null(struct ojson *arr)
{
	return append(arr, NULL);
}

int ojson_append_cstr(struct ojson *arr, const char *cstr)
{
	return ojson_append(arr, ojson_new_cstr(cstr));
}

int ojson_insert(struct ojson *arr, size_t i, struct ojson *take_v)
{
	size_t n = ojson_count(arr);
	struct array_list *list;
	int r;

	if (i > n) {
		ojson_unref(take_v);
		return -ERANGE;
	}
	r = append(arr, take_v);
	if (r < 0)
		return r;
	/* json-c 0.16 cannot insert: rotate the new last element into its place */
	list = json_object_get_array(ojson_raw(arr));
	memmove(&list->array[i + 1], &list->array[i], (n - i) * sizeof(list->array[0]));
	list->array[i] = take_v;
	return 0;
}

int ojson_replace(struct ojson *arr, size_t i, struct ojson *take_v)
{
	struct json_object *raw = as_array(arr);

	if (raw == NULL || i >= json_object_array_length(raw)) {
		ojson_unref(take_v);
		return raw == NULL ? -EINVAL : -ERANGE;
	}
	/* below the length it neither grows nor fails */
	(void)json_object_array_put_idx(raw, i, ojson_raw(take_v));
	return 0;
}

int ojson_remove(struct ojson *arr, size_t i)
{
	struct json_object *raw = as_array(arr);

	if (raw == NULL)
		return -EINVAL;
	if (i >= json_object_array_length(raw))
		return -ERANGE;
	return json_object_array_del_idx(raw, i, 1) < 0 ? -ERANGE : 0;
}

struct ojson *ojson_new_double_text(double v, const char *text)
{
	if (text == NULL)
		return ojson_new_double(v);
	return fault() ? NULL : ojson_wrap(json_object_new_double_s(v, text));
}

const char *ojson_double_text(const struct ojson *j)
{
	/* json_object_new_double_s() keeps the text as user data; other doubles have none */
	return json_object_get_userdata((struct json_object *)(uintptr_t)j);
}
