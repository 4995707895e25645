/* Definitions: which findings stand beside others, in which order, and where they are said to be. */
#include "base/obuf.h"
#include "base/otap.h"
#include "crd/ocrd.h"
#include "json/ojson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finding(void *arg, const char *reason, const char *field, const char *message)
{
	obuf_printf(arg, "%s %s %s\n", reason + strlen("FieldValue"), field, message);
}

static struct ojson *parse(const char *text)
{
	struct ojson *j = NULL;

	if (ojson_parse(text, strlen(text), &j, NULL))
		abort();
	return j;
}

/* What is told of a schema; texts live until the next call. */
static const char *schema(struct obuf *b, const char *text, bool status)
{
	struct ojson *j = parse(text);

	obuf_reset(b);
	ocrd_structural(j, "S", status, finding, NULL, b);
	ojson_unref(j);
	return obuf_cstr(b) ? obuf_cstr(b) : "";
}

#define VERSION(name, rest) "{\"name\":\"" name "\",\"served\":true,\"storage\":true" rest "}"
#define CRD(group, versions, more) \
	"{\"metadata\":{\"name\":\"as." group "\"" more "},\"spec\":{\"group\":\"" group "\",\"scope\":\"Cluster\"," \
	"\"names\":{\"plural\":\"as\",\"singular\":\"a\",\"kind\":\"A\",\"listKind\":\"AList\"}," \
	"\"versions\":[" versions "]},\"status\":{\"storedVersions\":[\"v1\"]}}"
#define SCHEMA(text) ",\"schema\":{\"openAPIV3Schema\":" text "}"

static const char *definition(struct obuf *b, const char *text, const char *old)
{
	struct ojson *j = parse(text), *o = old ? parse(old) : NULL;

	obuf_reset(b);
	(void)ocrd_validate(j, o, finding, NULL, b);
	ojson_unref(j);
	ojson_unref(o);
	return obuf_cstr(b) ? obuf_cstr(b) : "";
}

static void schemas(struct obuf *b)
{
	is_str(schema(b, "{\"type\":\"object\"}", true), "", "a schema of nothing");
	is_str(schema(b, "{\"type\":\"other\"}", true),
	       "Invalid S.type Invalid value: \"other\": only \"object\" is allowed as the type at the root of the schema if the status "
	       "subresource is enabled\n"
	       "Invalid S.type Invalid value: \"other\": must be object at the root\n"
	       "NotSupported S.type Unsupported value: \"other\": supported values: \"array\", \"boolean\", \"integer\", \"number\", "
	       "\"object\", \"string\"\n", "a type that is none is told thrice");
	is_str(schema(b, "{\"type\":\"object\",\"nullable\":true}", false), "Forbidden S.nullable Forbidden: nullable cannot be true at the root\n",
	       "the root is there");
	is_str(schema(b, "{\"x-kubernetes-preserve-unknown-fields\":true}", false), "", "a root of anything needs no type");
	is_str(schema(b, "{\"type\":\"object\",\"$schema\":\"x\"}", false), "Invalid S Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported\n",
	       "a dialect is told alone");
	is_str(schema(b, "{\"type\":\"object\",\"$schema\":\"x\",\"uniqueItems\":true}", false),
	       "Forbidden S.uniqueItems Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic\n",
	       "and not beside others");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"z\":{},\"b\":{\"type\":\"array\"}}}", false),
	       "Required S.properties[b].items Required value: must be specified\n"
	       "Required S.properties[z].type Required value: must not be empty for specified object fields\n", "findings come sorted");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"i\":{\"x-kubernetes-int-or-string\":true,\"type\":\"integer\","
		      "\"anyOf\":[{\"type\":\"integer\",\"example\":1},{\"type\":\"string\"}]}}}", false), "", "int or string, with a type");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"i\":{\"type\":\"string\",\"anyOf\":[{\"type\":\"string\",\"default\":null}]}}}", false),
	       "Forbidden S.properties[i].anyOf[0].type Forbidden: must be empty to be structural\n", "a type in a junctor");
	is_str(schema(b, "{\"type\":\"object\",\"not\":{\"properties\":{\"a\":{\"items\":{\"minimum\":1}}}}}", false),
	       "Required S.properties[a] Required value: because it is defined in S.not.properties[a]\n", "what is checked must be said");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"metadata\":{\"type\":\"object\",\"description\":\"d\"},\"kind\":{\"type\":\"integer\"}}}", false),
	       "Invalid S.properties[kind].type Invalid value: \"integer\": must be string\n"
	       "Forbidden S.properties[metadata] Forbidden: must not specify anything other than name and generateName, but metadata is "
	       "implicitly specified\n", "metadata are known");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"e\":{\"x-kubernetes-embedded-resource\":true,\"type\":\"object\"}}}", false),
	       "Required S.properties[e].properties Required value: must not be empty if x-kubernetes-embedded-resource is true without "
	       "x-kubernetes-preserve-unknown-fields\n", "an embedded object of nothing");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"kind\":{\"type\":\"string\",\"default\":\"a\"}}}", false),
	       "Forbidden S.properties[kind].default Forbidden: must not be set in top-level kind\n", "no defaults of what is known");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"odd\",\"default\":1}}}", false),
	       "TypeInvalid S.properties[a].default Invalid value: \"integer\":  in body must be of type odd: \"integer\"\n"
	       "NotSupported S.properties[a].type Unsupported value: \"odd\": supported values: \"array\", \"boolean\", \"integer\", \"number\", "
	       "\"object\", \"string\"\n", "nothing is of a type that is none");
}

#define LIST(items, more) "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\"," more "\"items\":" items "}}}"

static void lists(struct obuf *b)
{
	is_str(schema(b, LIST("{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}}", "\"x-kubernetes-list-map-keys\":[\"k\"],"), false),
	       "Required S.properties[l].items.properties[k].default Required value: this property is in x-kubernetes-list-map-keys, so it must "
	       "have a default or be a required property\n", "a key must be there");
	is_str(schema(b, LIST("{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"type\":\"string\",\"nullable\":true}}}",
			      "\"x-kubernetes-list-map-keys\":[\"k\",\"k\",\"m\"],"), false),
	       "Invalid S.properties[l].x-kubernetes-list-map-keys Invalid value: [\"k\",\"k\",\"m\"]: must not contain duplicate entries\n"
	       "Invalid S.properties[l].x-kubernetes-list-map-keys Invalid value: [\"k\",\"k\",\"m\"]: entries must all be names of item properties\n"
	       "Forbidden S.properties[l].items.properties[k].nullable Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be "
	       "nullable\n"
	       "Forbidden S.properties[l].items.properties[k].nullable Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be "
	       "nullable\n", "keys are members, once, and values");
	is_str(schema(b, LIST("{\"type\":\"string\",\"nullable\":true}", ""), false),
	       "Required S.properties[l].x-kubernetes-list-map-keys Required value: must not be empty if x-kubernetes-list-type is map\n"
	       "Invalid S.properties[l].items.type Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map\n"
	       "Forbidden S.properties[l].items.nullable Forbidden: cannot be nullable when x-kubernetes-list-type is map\n", "elements are objects");
	is_str(schema(b, "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":\"object\"}}}}",
		      false),
	       "Invalid S.properties[l].items.x-kubernetes-map-type Invalid value: null: must be atomic as item of a list with "
	       "x-kubernetes-list-type=set\n", "a set's elements are compared as they are");
}

/* A finding for each of so many keys, each with all of them: what is said stays short. */
static void many(struct obuf *b)
{
	struct obuf text = OBUF_INIT;
	unsigned int n = 0;

	obuf_puts(&text, "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\"},"
		  "\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"k\"");
	for (unsigned int i = 0; i < 20000; i++)
		obuf_printf(&text, ",\"k%u\"", i);
	obuf_puts(&text, "]}}}");
	(void)schema(b, obuf_cstr(&text), false);
	for (const char *p = obuf_cstr(b); (p = strchr(p, '\n')); p++)
		n++;
	is_int(n, 200, "enough is told of twenty thousand keys");
	obuf_reset(&text);
	for (unsigned int i = 0; i < 110; i++)
		obuf_puts(&text, "{\"type\":\"array\",\"items\":");
	obuf_puts(&text, "{}");
	for (unsigned int i = 0; i < 110; i++)
		obuf_putc(&text, '}');
	ok(strstr(schema(b, obuf_cstr(&text), false), "the schema is nested too deeply") != NULL, "and of what is too deep");
	obuf_done(&text);
}

static void definitions(struct obuf *b)
{
	static const char odd[] = CRD("g.io", VERSION("v1", SCHEMA("{\"type\":\"array\"}") ",\"additionalPrinterColumns\":[{\"name\":\"n\",\"type\":\"string\","
						      "\"format\":\"odd\",\"jsonPath\":\"x\"}],\"deprecationWarning\":\"w\""), "");
	static const char good[] = CRD("g.io", VERSION("v1", SCHEMA("{\"type\":\"object\"}")), "");

	is_str(definition(b, good, NULL), "", "a definition");
	is_str(definition(b, odd, NULL),
	       "Invalid spec.versions[0].deprecationWarning Invalid value: \"w\": can only be set for deprecated versions\n"
	       "Required spec.validation.openAPIV3Schema.items Required value: must be specified\n"
	       "Invalid spec.validation.openAPIV3Schema.type Invalid value: \"array\": must be object at the root\n"
	       "Invalid spec.additionalPrinterColumns[0].format Invalid value: \"odd\": must be one of "
	       "byte,date,date-time,double,float,int32,int64,password\n"
	       "Invalid spec.additionalPrinterColumns[0].JSONPath Invalid value: \"x\": must be a simple json path starting with .\n",
	       "what all versions have alike is beside them");
	is_str(definition(b, CRD("g.io", VERSION("v1", SCHEMA("{\"type\":\"object\"}")) ",{\"name\":\"B\",\"schema\":{\"openAPIV3Schema\":{}}}", ""), NULL),
	       "Invalid spec.versions[1].name Invalid value: \"B\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
	       "with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
	       "'[a-z]([-a-z0-9]*[a-z0-9])?')\n"
	       "Required spec.versions[1].schema.openAPIV3Schema.type Required value: must not be empty at the root\n", "what is not, is there");
	is_str(definition(b, CRD("a.k8s.io", VERSION("v1", SCHEMA("{\"type\":\"object\"}")), ",\"annotations\":{\"api-approved.kubernetes.io\":\"yes\"}"), NULL),
	       "Invalid metadata.annotations[api-approved.kubernetes.io] Invalid value: \"yes\": protected groups must have approval annotation "
	       "\"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see "
	       "https://github.com/kubernetes/enhancements/pull/1111\n", "the project's groups need a word of it");
	is_str(definition(b, CRD("h.io", VERSION("v1", SCHEMA("{\"type\":\"object\"}")), ""), good),
	       "Invalid spec.group Invalid value: \"h.io\": field is immutable\n", "a group stays");
	is_str(definition(b, odd, odd), "", "what is as it was is not looked at again");
}

#define FIELDS(list) ",\"selectableFields\":[" list "]"
#define AT(path) "{\"jsonPath\":\"" path "\"}"
#define OF(schema, list) CRD("g.io", VERSION("v1", SCHEMA(schema) FIELDS(list)), "")
#define PLAIN "{\"type\":\"object\",\"properties\":{\"metadata\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}," \
	"\"spec\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\",\"enum\":[\"a\"]},\"b\":{\"type\":\"boolean\"}," \
	"\"i\":{\"type\":\"integer\",\"format\":\"int64\"},\"n\":{\"type\":\"number\"},\"x\":{\"x-kubernetes-int-or-string\":true}," \
	"\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"any\":{\"type\":\"object\",\"additionalProperties\":true}," \
	"\"m\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}}}}}"
#define PATH(i, path, why) "Invalid spec.selectableFields[" #i "].jsonPath Invalid value: \"" path "\": " why "\n"
#define NO_PATH(i, path, why) PATH(i, path, "is an invalid path: " why)
#define TYPE "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."

static void fields(struct obuf *b)
{
	static const char odd[] = OF(PLAIN, AT(".spec.none"));

	is_str(definition(b, OF(PLAIN, AT(".spec.s") "," AT(".spec.b") "," AT(".spec.i") "," AT(".spec.m.any")), NULL), "", "fields to select by");
	is_str(definition(b, OF(PLAIN, AT("") "," AT("spec.s") "," AT(".spec.l[0]") "," AT(".spec.") "," AT(".spec..s") "," AT(".spec.s]")), NULL),
	       "Required spec.selectableFields[0].jsonPath Required value\n" NO_PATH(1, "spec.s", "expected [ or . but got: spec")
	       NO_PATH(2, ".spec.l[0]", "array notation is not allowed") NO_PATH(3, ".spec.", "unexpected end of JSON path")
	       NO_PATH(4, ".spec..s", "does not refer to a valid field") NO_PATH(5, ".spec.s]", "expected [ or . but got: ]"), "their paths are simple");
	is_str(definition(b, OF(PLAIN, AT(".spec.none") "," AT(".spec.s.t") "," AT(".spec.any.a.b") "," AT(".kind")), NULL),
	       NO_PATH(0, ".spec.none", "does not refer to a valid field") NO_PATH(1, ".spec.s.t", "does not refer to a valid field")
	       NO_PATH(2, ".spec.any.a.b", "does not refer to a valid field") NO_PATH(3, ".kind", "does not refer to a valid field"),
	       "and lead to what the schema has");
	is_str(definition(b, OF(PLAIN, AT(".spec") "," AT(".spec.n") "," AT(".spec.x") "," AT(".spec.l") "," AT(".spec.any.a")), NULL),
	       PATH(0, ".spec", TYPE) PATH(1, ".spec.n", TYPE) PATH(2, ".spec.x", TYPE) PATH(3, ".spec.l", TYPE) PATH(4, ".spec.any.a", TYPE),
	       "of a type that is text");
	is_str(definition(b, OF(PLAIN, AT(".metadata") "," AT(".metadata.name")), NULL),
	       PATH(0, ".metadata", "must not point to fields in metadata") PATH(0, ".metadata", TYPE)
	       PATH(1, ".metadata.name", "must not point to fields in metadata"), "metadata has its own");
	is_str(definition(b, OF(PLAIN, AT(".spec.s") "," AT(".spec.s")), NULL),
	       "Duplicate spec.selectableFields[1].jsonPath Duplicate value: \".spec.s\"\n", "once");
#define M(k) AT(".spec.m." k)
	is_str(definition(b, OF(PLAIN, M("a") "," M("b") "," M("c") "," M("d") "," M("e") "," M("f") "," M("g") "," M("h") "," M("h")), NULL),
	       "Duplicate spec.selectableFields[8].jsonPath Duplicate value: \".spec.m.h\"\n", "eight of them");
	is_str(definition(b, OF(PLAIN, M("a") "," M("b") "," M("c") "," M("d") "," M("e") "," M("f") "," M("g") "," M("h") "," M("i")), NULL),
	       "TooMany spec.selectableFields Too many: 9: must have at most 8 items\n", "and no more");
	is_str(definition(b, CRD("g.io", VERSION("v1", SCHEMA(PLAIN) FIELDS(AT(".spec.s"))) ",{\"name\":\"v2\"" SCHEMA("{\"type\":\"object\"}")
				 FIELDS(AT(".spec.s")) "}", ""), NULL),
	       "Invalid spec.versions[1].selectableFields[0].jsonPath Invalid value: \".spec.s\": is an invalid path: does not refer to a valid field\n",
	       "each version's are looked for in its own schema");
	is_str(definition(b, CRD("g.io", VERSION("v1", FIELDS(AT(".spec.s"))), ""), NULL),
	       "Required spec.versions[0].schema.openAPIV3Schema Required value: schemas are required\n", "without a schema that is said");
	is_str(definition(b, odd, odd), "", "what is stored stays");
	ok(definition(b, odd, OF(PLAIN, AT(".spec.s")))[0], "but is not made");
}

int main(void)
{
	struct obuf b = OBUF_INIT;

	schemas(&b);
	lists(&b);
	many(&b);
	definitions(&b);
	fields(&b);
	obuf_done(&b);
	return done_testing();
}
