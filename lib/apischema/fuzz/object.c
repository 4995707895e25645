/*
 * Fuzz target of decoding, defaults, validation and rows: whatever a client sends for any kind, nothing leaves
 * its bounds, what was decoded decodes to the same again, and an object is a valid change of itself as
 * far as it is valid at all.
 */
#include <errno.h>
#include <orlop/inline/error.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/rows.h"
#include "schema/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct oschema *const s = &oschema_builtin;

static void must(bool x)
{
	if (!x)
		abort();
}

static struct ojson *decode(const struct oschema_resource *r, struct ojson *in, struct oschema_texts *unknown)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ojson *out = NULL;
	int e = oschema_decode(s, oschema_type_at(s, r->type), in, OSCHEMA_DECODE_DEFAULTS, unknown, &out, &err);

	must((e == 0) == (out != NULL));
	must(e == 0 || err.msg[0] != '\0');
	return out;
}

/* What is written reads back as the same tree, and decoding it again changes nothing. */
static void check_again(const struct oschema_resource *r, struct ojson *obj)
{
	cleanup_free char *text = ojson_text(obj, 0, NULL);
	cleanup_ojson struct ojson *in = NULL;
	cleanup_ojson struct ojson *again = NULL;
	cleanup_free char *second = NULL;

	if (text == NULL)
		return;
	must(ojson_parse(text, strlen(text), &in, NULL) == 0);
	again = decode(r, in, NULL);
	must(again != NULL);
	second = ojson_text(again, 0, NULL);
	must(second != NULL && strcmp(text, second) == 0);
}

static void check_write(const struct oschema_resource *r, struct ojson *obj, struct ojson *old, const char *sub)
{
	struct oschema_write w = { .obj = obj, .old = old, .sub = { sub, strlen(sub) } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int e = oschema_validate(s, r, &w, &err);

	must(e == 0 || e == -EINVAL);
	must(e == 0 || (err.http == 422 && err.causes != NULL && err.causes->n > 0));
	orlop_error_done(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct oschema_resource *r;
	cleanup_ojson struct ojson *in = NULL;
	cleanup_ojson struct ojson *obj = NULL;
	cleanup_obuf struct obuf row = OBUF_INIT;
	struct oschema_texts unknown = { 0 };

	if (size < 1)
		return 0;
	r = &s->resources[data[0] % s->n_resources];
	if (ojson_parse((const char *)data + 1, size - 1, &in, NULL) != 0)
		return 0;
	obj = decode(r, in, &unknown);
	oschema_texts_done(&unknown);
	oschema_cells(s, r, in, 0, &row);
	if (obj == NULL)
		return 0;
	check_again(r, obj);
	check_write(r, obj, NULL, "");
	check_write(r, obj, obj, "");
	check_write(r, obj, obj, "status");
	must(!oschema_spec_changed(s, r, obj, obj));
	return 0;
}
