/*
 * Fuzz target of definitions and their objects: "DEFINITION \0 OBJECT". Whatever is defined, nothing leaves
 * its bounds, what was taken is taken as it is again, and an object is a valid change of itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "crd/ocrd.h"
#include "schema/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
	if (!x)
		abort();
}

static void finding(void *arg, const char *reason, const char *field, const char *message)
{
	must(reason[0] && field[0] && message[0]);
	(*(unsigned int *)arg)++;
}

static void warning(void *arg, const char *text)
{
	(void)arg;
	must(text[0]);
}

/* Columns are JSON paths: whatever they find is a cell. */
static void cells(const struct ocrd *o, const struct oschema_resource *res, struct ojson *obj)
{
	cleanup_ojson struct ojson *row = NULL;
	struct obuf b = OBUF_INIT;

	oschema_cells(&o->schema, res, obj, 0, &b);
	must(obuf_err(&b) == 0 && ojson_parse(b.data, b.len, &row, NULL) == 0);
	must(ojson_count(row) == res->n_columns);
	obuf_done(&b);
}

static void object(const struct ocrd *o, struct ojson *in)
{
	for (unsigned int i = 0; i < o->schema.n_resources; i++) {
		const struct ocrd_node *root = o->versions[i].root;
		cleanup_ojson struct ojson *a = NULL, *b = NULL;
		struct oschema_texts unknown = { 0 };
		unsigned int n = 0;

		must(ocrd_take(root, in, true, "", &unknown, &a) == 0);
		oschema_texts_done(&unknown);
		must(ocrd_take(root, a, true, "", NULL, &b) == 0);
		must(ojson_equal(a, b));
		(void)ocrd_check(root, a, NULL, finding, &n);
		n = 0;
		must(ocrd_check(root, a, a, finding, &n) == 0 && n == 0);
		cells(o, &o->schema.resources[i], a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *zero = memchr(p, '\0', size);
	size_t n = zero ? (size_t)(zero - p) : size;
	cleanup_ojson struct ojson *crd = NULL, *in = NULL;
	struct ocrd_doc doc = { .seen = OMAP_INIT }, doc2 = { .v2 = true, .seen = OMAP_INIT };
	struct obuf text = OBUF_INIT;
	struct ocrd *o = NULL;
	unsigned int found = 0;

	if (ojson_parse(p, n, &crd, NULL) || !ojson_is(crd, OJSON_OBJECT))
		return 0;
	(void)ocrd_validate(crd, NULL, finding, warning, &found);
	if (ocrd_new(&oschema_builtin, crd, false, &o))
		return 0;
	if (zero && ojson_parse(zero + 1, size - n - 1, &in, NULL) == 0 && ojson_is(in, OJSON_OBJECT))
		object(o, in);
	ocrd_free(o);
	(void)ocrd_doc_add(&doc, &oschema_builtin, crd, "v1", "v1.36.0");
	ocrd_doc_end(&doc, "v1.36.0", &text);
	(void)ocrd_doc_add(&doc2, &oschema_builtin, crd, "v1", "v1.36.0");
	ocrd_doc_end(&doc2, "v1.36.0", NULL);
	obuf_done(&text);
	return 0;
}
