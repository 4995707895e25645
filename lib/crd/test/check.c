/* Objects against schemas: what lists and patterns may cost, and that what is found is the same however long they are. */
#include "base/obuf.h"
#include "base/otap.h"
#include "crd/ocrd.h"
#include "json/ojson.h"

#include <stdlib.h>
#include <string.h>

struct found {
	unsigned int	n;
	char		first[400];
};

static void finding(void *arg, const char *reason, const char *field, const char *message)
{
	struct found *f = arg;

	if (f->n++ == 0)
		snprintf(f->first, sizeof(f->first), "%s %s %s", reason, field, message);
}

static struct ojson *parse(const char *text, size_t len)
{
	struct ojson *j = NULL;

	if (ojson_parse(text, len, &j, NULL))
		abort();
	return j;
}

static struct found check(const char *schema, const struct obuf *value, const struct obuf *old)
{
	struct ojson *s = parse(schema, strlen(schema)), *v = parse(value->data, value->len), *o = old ? parse(old->data, old->len) : NULL;
	const struct ocrd_node *n;
	struct oarena a;
	struct found f = { 0, "" };

	oarena_init(&a, 0);
	if (ocrd_compile(&a, s, &n))
		abort();
	(void)ocrd_check(n, v, o, finding, &f);
	oarena_done(&a);
	ojson_unref(s);
	ojson_unref(v);
	ojson_unref(o);
	return f;
}

/* {"l":[…]} of @n elements, each "fmt" with its number (modulo @mod). */
static void list(struct obuf *b, unsigned int n, unsigned int mod, const char *before, const char *after)
{
	obuf_reset(b);
	obuf_puts(b, "{\"l\":[");
	for (unsigned int i = 0; i < n; i++)
		obuf_printf(b, "%s%s%u%s", i ? "," : "", before, i % mod, after);
	obuf_puts(b, "]}");
}

#define SET "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":\"integer\"}}}}"
#define MAP "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"k\"]," \
	    "\"items\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"integer\"},\"v\":{\"type\":\"integer\",\"maximum\":4}}}}}}"
#define STRINGS(rule) "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"," rule "}}}}"

int main(void)
{
	struct obuf v = OBUF_INIT, old = OBUF_INIT;
	struct found f;

	/* with the square of its length these would take minutes */
	list(&v, 200000, 1000000, "", "");
	f = check(SET, &v, NULL);
	is_int(f.n, 0, "a long set without repeats");
	list(&v, 200000, 199999, "", "");
	f = check(SET, &v, NULL);
	is_int(f.n, 1, "and one with");
	is_str(f.first, "FieldValueDuplicate l[199999] Duplicate value: 0", "is told as ever");
	list(&v, 60000, 1000000, "{\"v\":9,\"k\":", "}");
	list(&old, 60000, 1000000, "{\"v\":9,\"k\":", "}");
	f = check(MAP, &v, &old);
	is_int(f.n, 0, "a long map as it was");
	obuf_truncate(&v, v.len - 2);
	obuf_puts(&v, ",{\"v\":9,\"k\":100000}]}");
	f = check(MAP, &v, &old);
	is_int(f.n, 1, "an element more is looked at");
	is_str(f.first, "FieldValueInvalid l[60000].v Invalid value: 9: l[60000].v in body should be less than or equal to 4",
	       "alone");

	/* what costs too much is refused, in words */
	list(&v, 60000, 1000000, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\"");
	f = check(STRINGS("\"pattern\":\"^(a?){900}[0-9]+$\""), &v, NULL);
	is_int(f.n, 1, "a pattern of many states and much text");
	is_str(f.first, "FieldValueInvalid <nil> Invalid value: \"object\": validating it against the schema takes too long", "says so");
	f = check(STRINGS("\"pattern\":\"^a+[0-9]+$\""), &v, NULL);
	is_int(f.n, 0, "a plain one does not");
	f = check(STRINGS("\"not\":{\"pattern\":\"^(a?){900}b$\"}"), &v, NULL);
	is_int(f.n, 1, "nor is it a way out to ask for the contrary");
	obuf_done(&v);
	obuf_done(&old);
	return done_testing();
}
