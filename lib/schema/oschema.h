/*
 * oschema.h - the tables that describe the API: types, their fields, resources; and look-ups.
 *
 * One struct oschema is one immutable set of tables. The built-in set (apischema/apischema.h, made by
 * tools/schemac from api/ *.schema) is constant data; CustomResourceDefinitions build the same
 * structs at run time. Nothing here is ever written after it was made, so a set may be shared
 * between threads and swapped as one pointer.
 *
 * Texts are offsets into one pool of NUL-terminated strings (offset 0 is ""), references are
 * indexes into the set's arrays: the built-in set needs nine relocations in all, and sits in
 * pages shared by every process.
 *
 * What the tables mean for decoding, defaults, validation, tables, discovery and OpenAPI is done
 * by decode.h, defaults.h, validate.h, rows.h, discovery.h, openapi.h in this folder.
 */
#ifndef OSCHEMA_H
#define OSCHEMA_H

#include <orlop/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Kinds of types. A type index below OSCHEMA_N_SCALARS is that scalar kind itself. */
enum oschema_kind {
	OSCHEMA_STRING,			/* JSON string */
	OSCHEMA_INT32,			/* JSON integer; no fraction, no quotes */
	OSCHEMA_INT64,
	OSCHEMA_BOOL,
	OSCHEMA_DOUBLE,
	OSCHEMA_BYTES,			/* base64 text, standard alphabet, padded */
	OSCHEMA_QUANTITY,		/* resource.Quantity: number or string in, canonical string out */
	OSCHEMA_INT_OR_STRING,
	OSCHEMA_TIME,			/* RFC 3339, whole seconds, UTC: "2026-01-02T03:04:05Z" */
	OSCHEMA_MICROTIME,		/* six decimals: "2026-01-02T03:04:05.000000Z" */
	OSCHEMA_DURATION,		/* Go duration text: "1h0m0s" */
	OSCHEMA_RAW,			/* an embedded object of any kind */
	OSCHEMA_FIELDS,			/* FieldsV1: any object */
	OSCHEMA_JSON,			/* any value */
	OSCHEMA_N_SCALARS,
	OSCHEMA_STRUCT = OSCHEMA_N_SCALARS,
	OSCHEMA_LIST,			/* of .elem */
	OSCHEMA_MAP,			/* string keys to .elem */
};

/* oschema_type.flags */
enum {
	OSCHEMA_T_OBJECT	= 1,	/* has apiVersion and kind (they are not among the fields) */
	OSCHEMA_T_LIST		= 2,	/* a list kind: metadata and items; with OBJECT */
	OSCHEMA_T_ATOMIC	= 4,	/* struct owned as a whole in managedFields */
	OSCHEMA_T_UNION		= 8,
	OSCHEMA_T_OPEN		= 16,	/* what is not declared is anything (custom objects) */
};

/*
 * One type. Struct types come with their fields in declaration order, embedded ("inline")
 * structs already spliced in; fields .. fields + n_fields index oschema.fields, and sorted is the
 * same range of oschema.by_name, which holds field indexes ordered by name (memcmp order).
 */
struct oschema_type {
	uint8_t		kind;		/* enum oschema_kind */
	uint8_t		flags;
	uint16_t	elem;		/* list and map: element type */
	uint32_t	name;		/* struct: "core/v1.PodSpec"; other: Go spelling, "[]v1.Container" */
	uint16_t	fields;
	uint16_t	n_fields;
	uint16_t	rules;		/* checks of the struct as a whole, after its fields' */
	uint8_t		n_rules;
	uint8_t		defaulter;	/* struct: enum oschema_defaulter (hooks.h) */
	uint32_t	doc;		/* one sentence, or 0 */
};

/* oschema_field.flags: how absence and emptiness are written, and what a client may do */
enum {
	OSCHEMA_F_PTR		= 1 << 0,	/* absent and zero differ */
	OSCHEMA_F_OMITEMPTY	= 1 << 1,	/* not written when empty (a struct without PTR still is) */
	OSCHEMA_F_OMITZERO	= 1 << 2,	/* struct or time without PTR: not written when zero */
	OSCHEMA_F_REQUIRED	= 1 << 3,	/* listed as required in OpenAPI */
	OSCHEMA_F_DEPRECATED	= 1 << 4,
	OSCHEMA_F_HAS_DEFAULT	= 1 << 5,	/* .def is JSON text */
	OSCHEMA_F_IMMUTABLE	= 1 << 6,	/* has a rule IMMUTABLE or SETONCE (for OpenAPI and explain) */
	OSCHEMA_F_CLOSED	= 1 << 7,	/* .enums are all values there are: checked, and in OpenAPI */
	OSCHEMA_F_NOTNULL	= 1 << 8,	/* list without OMITEMPTY: written as [] when empty, not as null */
};

/* oschema_field.patch: strategic merge directives */
enum {
	OSCHEMA_PATCH_MERGE	= 1,	/* list: merge by .patch_key; without key: set of scalars */
	OSCHEMA_PATCH_RETAINKEYS = 2,
	OSCHEMA_PATCH_REPLACE	= 4,
};

/* oschema_field.list: server-side apply list type. Anything unmarked is atomic. */
enum {
	OSCHEMA_LIST_ATOMIC,
	OSCHEMA_LIST_SET,
	OSCHEMA_LIST_MAP,		/* by .keys */
};

struct oschema_field {
	uint32_t	name;		/* JSON name */
	uint16_t	type;		/* index into types */
	uint16_t	flags;
	uint8_t		name_len;
	uint8_t		patch;
	uint8_t		list;
	uint8_t		map_atomic;	/* map field owned as a whole */
	uint8_t		struct_atomic;	/* struct field owned as a whole */
	uint8_t		pb;		/* protobuf number */
	uint8_t		pb_in;		/* number of the embedded message that carries it, 0: none; << 4: of the one inside that */
	uint8_t		n_keys;
	uint8_t		n_enums;
	uint8_t		n_rules;
	uint16_t	keys;		/* into strs: names of the map keys of a LIST_MAP */
	uint16_t	enums;		/* into strs: known values, in upstream's message order */
	uint16_t	rules;		/* into rules */
	uint32_t	patch_key;	/* pool: merge key, 0 none */
	uint32_t	def;		/* pool: default as JSON text */
	uint32_t	alias;		/* pool: Go's name of a named scalar, "v1.RestartPolicy", or 0 */
	uint32_t	doc;		/* pool: one sentence, or 0 */
	uint32_t	stored;		/* pool: name in the stored type of the same object, or 0 */
};

/* Validation rules; what each one says to the user is in validate.c. */
enum oschema_rule_op {
	OSCHEMA_R_REQUIRED = 1,		/* present and not empty; arg: detail text */
	OSCHEMA_R_RANGE,		/* lo … hi, inclusive */
	OSCHEMA_R_MIN,			/* >= lo */
	OSCHEMA_R_GREATER,		/* > lo */
	OSCHEMA_R_FORMAT,		/* lo: enum oschema_format */
	OSCHEMA_R_KEYFORMAT,		/* keys of a map: lo */
	OSCHEMA_R_MAXLEN,		/* bytes of a string */
	OSCHEMA_R_MAXITEMS,
	OSCHEMA_R_UNIQUE,		/* list: arg names the element's key, "" scalars */
	OSCHEMA_R_IMMUTABLE,		/* may not change on update: "field is immutable" */
	OSCHEMA_R_SETONCE,		/* may change only from empty */
	OSCHEMA_R_CHECK,		/* lo: enum oschema_check (hooks.h) */
};

struct oschema_rule {
	uint8_t		op;
	uint8_t		reserved0;
	uint16_t	reserved1;
	uint32_t	arg;		/* pool */
	int64_t		lo;
	int64_t		hi;
};

/* oschema_resource.verbs */
enum {
	OSCHEMA_V_CREATE	= 1,
	OSCHEMA_V_DELETE	= 2,
	OSCHEMA_V_DELETECOLLECTION = 4,
	OSCHEMA_V_GET		= 8,
	OSCHEMA_V_LIST		= 16,
	OSCHEMA_V_PATCH		= 32,
	OSCHEMA_V_UPDATE	= 64,
	OSCHEMA_V_WATCH		= 128,
};

/* oschema_resource.flags */
enum {
	OSCHEMA_S_NAMESPACED	= 1 << 0,
	OSCHEMA_S_PUT_CREATES	= 1 << 1,	/* PUT on a missing name creates */
	OSCHEMA_S_UNCONDITIONAL	= 1 << 2,	/* PUT without resourceVersion is allowed */
	OSCHEMA_S_GENERATION	= 1 << 3,	/* metadata.generation counts changes of spec */
	OSCHEMA_S_STATUS	= 1 << 4,	/* status is kept apart: main writes never change it */
	OSCHEMA_S_VIRTUAL	= 1 << 5,	/* answered, never stored (reviews, bindings) */
	OSCHEMA_S_ORPHAN	= 1 << 6,	/* default propagation is Orphan, not Background */
	OSCHEMA_S_NO_GC		= 1 << 7,	/* the garbage collector leaves it alone (events) */
	OSCHEMA_S_DELETED_BODY	= 1 << 8,	/* DELETE answers with the object, not a Status */
	OSCHEMA_S_GENERATION_META = 1 << 9,	/* annotations count for the generation as well (Deployment) */
	OSCHEMA_S_LAZY		= 1 << 10,	/* writes may be acknowledged before the sync (of leases: those of nodes) */
	OSCHEMA_S_VERSIONED	= 1 << 11,	/* records say in which version they are (custom resources) */
	OSCHEMA_S_STATUS_AT_BIRTH = 1 << 12,	/* with STATUS: a create may set it (nodes) */
};

/* A selectable field: name as the client writes it, path as it is found. */
struct oschema_select {
	uint32_t	name;		/* pool: "source" */
	uint32_t	path;		/* pool: "source.component" */
};

struct oschema_column {
	uint32_t	name;		/* "Cluster-IP" */
	uint32_t	expr;		/* JSON path, or empty */
	uint32_t	doc;
	uint16_t	hook;		/* enum oschema_cell (hooks.h); 0: the value at the path */
	uint8_t		type;		/* 0 string, 1 integer, 2 number, 3 boolean, 4 date */
	uint8_t		format;		/* 0 none, 1 "name" */
	uint8_t		priority;
	uint8_t		reserved0[3];
};

/* oschema_sub.flags */
enum {
	OSCHEMA_SUB_CONNECT	= 1,	/* upgraded stream or plain text (exec, attach, portforward, log, proxy) */
};

struct oschema_sub {
	uint32_t	name;		/* "status" */
	uint16_t	type;		/* body type: struct index; the resource's own when it is the same */
	uint8_t		verbs;
	uint8_t		flags;
	uint32_t	group;		/* of the body kind; discovery omits what equals the resource's */
	uint32_t	version;
	uint32_t	kind;
	uint32_t	replicas;	/* scale: paths "spec.replicas", "status.replicas", */
	uint32_t	current;
	uint32_t	selector;	/*	  "spec.selector" (LabelSelector or plain map) */
	uint32_t	doc;
};

/* One served resource of one group version. */
struct oschema_resource {
	uint32_t	group;		/* "" for core */
	uint32_t	version;
	uint32_t	kind;
	uint32_t	list_kind;	/* "" when it cannot be listed */
	uint32_t	plural;
	uint32_t	singular;
	uint16_t	type;		/* index of the struct type */
	uint16_t	stored;		/* index of the resource that stores the object; itself in general */
	uint32_t	flags;
	uint8_t		verbs;
	uint8_t		name_rule;	/* enum oschema_format of metadata.name */
	uint8_t		n_short;
	uint8_t		n_categories;
	uint16_t	shorts;		/* into strs */
	uint16_t	categories;	/* into strs */
	uint16_t	subs;
	uint16_t	selects;
	uint16_t	columns;
	uint8_t		n_subs;
	uint8_t		n_selects;
	uint8_t		n_columns;	/* 0: Name and Created At */
	uint8_t		reserved0;
	int32_t		grace_s;	/* default delete grace, -1: none (see spec for pods) */
	char		hash[16];	/* storageVersionHash, 12 characters */
};

#define OSCHEMA_SERVED_STALE 2

/* A version of a group. Versions of one group stand one after the other, the preferred first. */
struct oschema_group {
	uint32_t	name;		/* "" for core */
	uint32_t	version;
	uint32_t	package;	/* types' prefix, "core/v1" */
	uint32_t	openapi;	/* definition prefix, "io.k8s.api.core.v1" */
	uint16_t	priority;	/* groupPriorityMinimum: order in /apis */
	uint16_t	version_priority;	/* order in the group */
	uint8_t		served;		/* appears in discovery; else only types (meta). OSCHEMA_SERVED_STALE: as it was last known */
	uint8_t		reserved0[3];
};

/*
 * Formats of values (`format=NAME`, `keyformat=NAME`, `names NAME`), with their names in schema
 * files. format.c says what each demands and how a violation is worded.
 */
#define OSCHEMA_FORMATS(X) \
	X(DNS1123_LABEL, "dns1123-label") \
	X(DNS1123_SUBDOMAIN, "dns1123-subdomain") \
	X(DNS1035_LABEL, "dns1035-label") \
	X(QUALIFIED_NAME, "qualified-name")	/* a label's key */ \
	X(LABEL_VALUE, "label-value") \
	X(PORT_NAME, "port-name")		/* IANA service name, at most 15 */ \
	X(CONFIG_KEY, "config-key")		/* keys of ConfigMap and Secret */ \
	X(PATH_SEGMENT, "path-segment")	/* not ".", "..", no "/" or "%" */ \
	X(IP, "ip") \
	X(ENDPOINT_IP, "endpoint-ip")		/* not loopback, link-local, multicast, unspecified */ \
	X(CIDR, "cidr") \
	X(ENV_NAME, "env-name") \
	X(HEADER_NAME, "header-name") \
	X(SYSCTL, "sysctl") \
	X(MODE, "mode")			/* int32: file mode 0 … 0777 */ \
	X(PORT, "port")			/* int32: 1 … 65535 (0 is unset); intstr: or a port name */ \
	X(LOCAL_PATH, "local-path")		/* relative, no ".." element */ \
	X(NO_BACKSTEPS, "no-backsteps")	/* any path without ".." element */ \
	X(NONNEG_QUANTITY, "nonneg-quantity") \
	X(CSI_DRIVER, "csi-driver")

#define OSCHEMA_FMT_ENUM(id, name) OSCHEMA_FMT_##id,
enum oschema_format { OSCHEMA_FMT_NONE, OSCHEMA_FORMATS(OSCHEMA_FMT_ENUM) OSCHEMA_N_FORMATS };

/*
 * A set. Arrays have their counts beside them. resources is sorted by (group, version, plural)
 * and kinds lists resource indexes sorted by (group, version, kind); type_names lists the struct
 * types sorted by name; all in strcmp order.
 */
struct oschema {
	const char	*pool;
	const struct oschema_type *types;
	const struct oschema_field *fields;
	const uint16_t	*by_name;
	const uint16_t	*type_names;
	const struct oschema_rule *rules;
	const uint32_t	*strs;
	const struct oschema_resource *resources;
	const uint16_t	*kinds;
	const struct oschema_sub *subs;
	const struct oschema_select *selects;
	const struct oschema_column *columns;
	const struct oschema_group *groups;	/* in order of discovery: priority, then name */
	uint32_t	pool_len;
	uint16_t	n_types;
	uint16_t	n_fields;
	uint16_t	n_type_names;
	uint16_t	n_rules;
	uint16_t	n_resources;
	uint16_t	n_groups;
	uint32_t	generation;	/* schema generation: changes when the tables do */
};

/* ---- access; all inline or O(log n), none allocates ---- */

static inline const char *oschema_str(const struct oschema *s, uint32_t off)
{
	return s->pool + off;
}

static inline const struct oschema_type *oschema_type_at(const struct oschema *s, uint16_t i)
{
	return &s->types[i];
}

static inline const struct oschema_type *oschema_field_type(const struct oschema *s,
							    const struct oschema_field *f)
{
	return &s->types[f->type];
}

static inline const char *oschema_field_name(const struct oschema *s,
					     const struct oschema_field *f)
{
	return s->pool + f->name;
}

/* The @i-th of an array of pool offsets (keys, enums, shorts, categories). */
static inline const char *oschema_strs(const struct oschema *s, uint16_t first, unsigned int i)
{
	return s->pool + s->strs[first + i];
}

/*
 * oschema_field_find - the field of a struct type by its JSON name, case-sensitively
 *
 * Returns NULL if @t is no struct or has no such field. apiVersion and kind of object types are
 * not fields: test OSCHEMA_T_OBJECT. O(log n).
 */
const struct oschema_field *oschema_field_find(const struct oschema *s,
					       const struct oschema_type *t,
					       const char *name, size_t len);

/* A struct type by full name, "core/v1.PodSpec"; NULL if there is none. */
const struct oschema_type *oschema_type_find(const struct oschema *s, const char *name);

/*
 * oschema_resource_find - by group ("" core), version and plural; NULL if not served
 * oschema_kind_find     - by group, version and kind (the resource whose objects have that kind)
 */
const struct oschema_resource *oschema_resource_find(const struct oschema *s,
						     struct orlop_bytes group,
						     struct orlop_bytes version,
						     struct orlop_bytes plural);
const struct oschema_resource *oschema_kind_find(const struct oschema *s,
						 struct orlop_bytes group,
						 struct orlop_bytes version,
						 struct orlop_bytes kind);

/* Subresource of @r by name; NULL if it has none of that name. */
const struct oschema_sub *oschema_sub_find(const struct oschema *s,
					   const struct oschema_resource *r,
					   struct orlop_bytes name);

/* Path of a selectable field of @r by the name that clients use; NULL: not supported (400). */
const char *oschema_select_find(const struct oschema *s, const struct oschema_resource *r,
				struct orlop_bytes name);

/* The group by name, in its preferred version; NULL if unknown. And in one version. */
const struct oschema_group *oschema_group_find(const struct oschema *s, struct orlop_bytes name);
const struct oschema_group *oschema_group_version_find(const struct oschema *s, struct orlop_bytes name,
							struct orlop_bytes version);

/* Index of an element in its array: for tables that callers keep beside the set. */
static inline uint16_t oschema_resource_index(const struct oschema *s,
					      const struct oschema_resource *r)
{
	return (uint16_t)(r - s->resources);
}

static inline uint16_t oschema_type_index(const struct oschema *s, const struct oschema_type *t)
{
	return (uint16_t)(t - s->types);
}

/* "v1" or "apps/v1" of @r into @buf (NUL-terminated, cut at @n); returns buf. */
const char *oschema_api_version(const struct oschema *s, const struct oschema_resource *r,
				char *buf, size_t n);

/* Go's short spelling of a struct type: "v1.PodSpec" of "core/v1.PodSpec"; points into the pool. */
static inline const char *oschema_go_name(const struct oschema *s, const struct oschema_type *t)
{
	const char *n = s->pool + t->name;
	const char *slash = t->kind == OSCHEMA_STRUCT ? strchr(n, '/') : NULL;

	return slash != NULL ? slash + 1 : n;
}

#endif
