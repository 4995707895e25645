/* tree.h - how ojson is made of json-c; private to lib/json. */
#ifndef OLIB_JSON_TREE_H
#define OLIB_JSON_TREE_H

#include "json/ojson.h"

#include <json-c/json.h>

static inline struct json_object *ojson_raw(struct ojson *j)
{
	return (struct json_object *)j;
}

static inline const struct json_object *ojson_raw_const(const struct ojson *j)
{
	return (const struct json_object *)j;
}

static inline struct ojson *ojson_wrap(struct json_object *o)
{
	return (struct ojson *)o;
}

/* A double that is written as @text (copied; NULL: as Go would write @v). */
struct ojson *ojson_new_double_text(double v, const char *text);
const char *ojson_double_text(const struct ojson *j);

#endif
