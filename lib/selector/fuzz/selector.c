/* Fuzz target of selectors: what was accepted is written and accepted again, with the same text. */
#include "base/ocleanup.h"
#include "selector/ofield.h"
#include "selector/oselector.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void labels(const char *p, size_t n)
{
	cleanup_oselector struct oselector *s = NULL;
	cleanup_oselector struct oselector *t = NULL;
	cleanup_obuf struct obuf a = OBUF_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (oselector_parse(p, n, &s, NULL) < 0)
		return;
	oselector_write(s, &a);
	/* a set of the empty value alone, "(,)", is written "()": upstream does that too */
	if (strstr(obuf_cstr(&a), "()") != NULL)
		return;
	if (oselector_parse(obuf_cstr(&a), a.len, &t, NULL) < 0)
		abort();
	oselector_write(t, &b);
	if (strcmp(obuf_cstr(&a), obuf_cstr(&b)) != 0)
		abort();
	(void)oselector_match_bytes(s, (struct orlop_bytes){ p, n });
}

static void fields(const char *p, size_t n)
{
	cleanup_ofield struct ofield_selector *s = NULL;
	cleanup_ofield struct ofield_selector *t = NULL;
	cleanup_obuf struct obuf a = OBUF_INIT;

	if (ofield_parse(p, n, &s, NULL) < 0)
		return;
	ofield_write(s, &a);
	if (ofield_parse(obuf_cstr(&a), a.len, &t, NULL) < 0 || t->n_terms != s->n_terms)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = size > 0 ? (const char *)data : "";
	cleanup_ojson struct ojson *j = NULL;
	cleanup_oselector struct oselector *s = NULL;

	labels(p, size);
	fields(p, size);
	if (ojson_parse(p, size, &j, NULL) == 0)
		(void)oselector_from_json(j, &s, NULL);
	return 0;
}
