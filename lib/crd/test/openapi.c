/* What of a schema is said in OpenAPI v2. */
#include "base/ocleanup.h"
#include "base/otap.h"
#include "crd/ocrd.h"

static const struct {
	const char *what, *in, *out;
} cases[] = {
	{ "what v2 can say stays",
	  "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3,\"pattern\":\"^x\"}}}",
	  "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3,\"pattern\":\"^x\"}}}" },
	{ "no alternatives",
	  "{\"type\":\"object\",\"allOf\":[{}],\"anyOf\":[{}],\"oneOf\":[{}],\"not\":{},\"properties\":{\"a\":{\"not\":{},\"type\":\"string\"}}}",
	  "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}" },
	{ "what may be null has no type, and need not be there",
	  "{\"type\":\"object\",\"required\":[\"a\",\"b\"],\"properties\":{\"a\":{\"type\":\"object\",\"nullable\":true,"
	  "\"properties\":{\"c\":{\"type\":\"string\"}}},\"b\":{\"type\":\"string\"}}}",
	  "{\"type\":\"object\",\"required\":[\"b\"],\"properties\":{\"a\":{},\"b\":{\"type\":\"string\"}}}" },
	{ "nor does an empty list of names stay",
	  "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"nullable\":true}}}",
	  "{\"type\":\"object\",\"properties\":{\"a\":{}}}" },
	{ "values that may be null",
	  "{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":{\"type\":\"string\",\"nullable\":true}}",
	  "{\"type\":\"object\",\"additionalProperties\":{}}" },
	{ "an object that may have more is anything",
	  "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true,"
	  "\"properties\":{\"b\":{\"type\":\"string\"}}}}}",
	  "{\"type\":\"object\",\"properties\":{\"a\":{\"x-kubernetes-preserve-unknown-fields\":true}}}" },
	{ "a list without elements has no type",
	  "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"x-kubernetes-preserve-unknown-fields\":true}",
	  "{\"x-kubernetes-preserve-unknown-fields\":true}" },
	{ "elements have their turn",
	  "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"nullable\":true}}}}",
	  "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{}}}}" },
	{ "additionalProperties may be a word", "{\"type\":\"object\",\"additionalProperties\":true}",
	  "{\"type\":\"object\",\"additionalProperties\":true}" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_ojson struct ojson *in = NULL;
		struct obuf out = OBUF_INIT;

		if (ojson_parse(cases[i].in, strlen(cases[i].in), &in, NULL))
			otap_bail_out("not JSON");
		ocrd_schema_v2(in);
		if (ojson_write(in, 0, &out))
			otap_bail_out("no memory");
		is_str(obuf_cstr(&out), cases[i].out, "%s", cases[i].what);
		obuf_done(&out);
	}
	return done_testing();
}
