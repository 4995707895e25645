/* hooktree.c - objects as webhooks see and change them, whoever defines their kind: the schema, a definition, a subresource. */
#include "hook.h"

#include "../registry/custom.h"
#include "schema/decode.h"

int hook_convert(const struct reg_kind *from, const struct reg_kind *to, struct ojson *obj)
{
	/* versions of a custom kind differ in nothing but their name */
	return from == to || from->set ? 0 : oschema_convert(from->schema, from->res, to->res, obj);
}

int hook_decode(const struct hook_run *run, struct ojson *in, struct ojson **ret, struct orlop_error *err)
{
	const struct reg_kind *k = run->op->w->k;

	if (!run->body && k->set)
		return custom_decode(k, in, OSCHEMA_DECODE_DEFAULTS, NULL, ret, err);
	return oschema_decode(k->schema, run->body ? run->body->type : oschema_type_at(k->schema, k->res->type), in,
			      OSCHEMA_DECODE_DEFAULTS, NULL, ret, err);
}

bool hook_served(const struct reg_kind *k)
{
	return !k->set || custom_version(k)->served;
}

bool hook_convertible(const struct reg_kind *from, const struct reg_kind *to)
{
	return from == to || !from->set || !from->set->o->webhook;
}
