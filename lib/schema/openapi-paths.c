/*
 * openapi-paths.c - the operations of each resource, for OpenAPI v2 and v3.
 */
#include <stdio.h>

#include "schema/openapi-internal.h"

enum method { GET, PUT, POST, DELETE, PATCH };

static const char *const method_names[] = { "get", "put", "post", "delete", "patch" };

/* One operation. */
struct op {
	enum method	method;
	const char	*action;	/* x-kubernetes-action */
	const char	*verb;		/* first word of operationId */
	const struct oschema_resource *r;
	const struct oschema_sub *sub;	/* or NULL */
	uint16_t	body;		/* type of the request, 0 none */
	uint16_t	answer;		/* type of the answer, 0: text */
	bool		everywhere;	/* list over all namespaces */
};

/* Query parameters: name and type ('s' string, 'i' integer, 'b' boolean). */
struct param {
	char		type;
	const char	*name;
};

static const struct param write_params[] = {
	{ 's', "dryRun" }, { 's', "fieldManager" }, { 's', "fieldValidation" }, { 0, NULL }
};
static const struct param patch_params[] = {
	{ 's', "dryRun" }, { 's', "fieldManager" }, { 's', "fieldValidation" }, { 'b', "force" }, { 0, NULL }
};
static const struct param delete_params[] = {
	{ 's', "dryRun" }, { 'i', "gracePeriodSeconds" }, { 'b', "orphanDependents" },
	{ 's', "propagationPolicy" }, { 0, NULL }
};
static const struct param list_params[] = {
	{ 'b', "allowWatchBookmarks" }, { 's', "continue" }, { 's', "fieldSelector" }, { 's', "labelSelector" },
	{ 'i', "limit" }, { 's', "resourceVersion" }, { 's', "resourceVersionMatch" },
	{ 'b', "sendInitialEvents" }, { 'i', "timeoutSeconds" }, { 'b', "watch" }, { 0, NULL }
};
static const struct param no_params[] = { { 0, NULL } };

static const struct param *params_of(const struct op *o)
{
	if (strcmp(o->action, "connect") == 0)
		return no_params;
	switch (o->method) {
	case PATCH:
		return patch_params;
	case PUT:
	case POST:
		return write_params;
	case DELETE:
		return strcmp(o->action, "deletecollection") == 0 ? list_params : delete_params;
	default:
		return strcmp(o->action, "list") == 0 ? list_params : no_params;
	}
}

static void put_param(struct odoc *d, const char *name, const char *in, char type, bool required)
{
	const char *text = type == 'i' ? "integer" : type == 'b' ? "boolean" : "string";

	obuf_printf(d->out, "{\"name\":\"%s\",\"in\":\"%s\",%s", name, in, required ? "\"required\":true," : "");
	obuf_printf(d->out, d->v3 ? "\"schema\":{\"uniqueItems\":true,\"type\":\"%s\"}}" :
		    "\"uniqueItems\":true,\"type\":\"%s\"}", text);
}

static void put_types(struct odoc *d, const struct op *o)
{
	obuf_puts(d->out, o->method == PATCH ? "[\"application/json-patch+json\",\"application/merge-patch+json\","
		  "\"application/strategic-merge-patch+json\",\"application/apply-patch+yaml\"]" : "[\"*/*\"]");
}

static void put_parameters(struct odoc *d, const struct op *o)
{
	const struct param *p = params_of(o);
	bool body = !d->v3 && (o->body != 0 || o->method == PATCH), first = true;

	obuf_puts(d->out, "\"parameters\":[");
	if (body) {
		obuf_puts(d->out, "{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":");
		if (o->method == PATCH)
			obuf_puts(d->out, "{\"type\":\"object\"}");
		else
			odoc_ref(d, o->body);
		obuf_putc(d->out, '}');
		first = false;
	}
	for (; p->name != NULL; p++) {
		obuf_puts(d->out, first ? "" : ",");
		put_param(d, p->name, "query", p->type, false);
		first = false;
	}
	obuf_puts(d->out, "],");
}

/* v3: the body beside the parameters. */
static void put_request(struct odoc *d, const struct op *o)
{
	static const char *const types[] = { "application/json-patch+json", "application/merge-patch+json",
					     "application/strategic-merge-patch+json", "application/apply-patch+yaml" };

	if (!d->v3 || (o->body == 0 && o->method != PATCH))
		return;
	obuf_puts(d->out, "\"requestBody\":{\"content\":{");
	if (o->method == PATCH) {
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			obuf_printf(d->out, "%s\"%s\":{\"schema\":{\"type\":\"object\"}}", i > 0 ? "," : "", types[i]);
	} else {
		obuf_puts(d->out, "\"*/*\":{\"schema\":");
		odoc_ref(d, o->body);
		obuf_putc(d->out, '}');
	}
	obuf_puts(d->out, "},\"required\":true},");
}

static void put_answer(struct odoc *d, const struct op *o, const char *code, const char *text)
{
	obuf_printf(d->out, "\"%s\":{\"description\":\"%s\"", code, text);
	if (d->v3)
		obuf_printf(d->out, ",\"content\":{\"%s\":{\"schema\":", o->answer != 0 ? "application/json" : "*/*");
	else
		obuf_puts(d->out, ",\"schema\":");
	if (o->answer != 0)
		odoc_ref(d, o->answer);
	else
		obuf_puts(d->out, "{\"type\":\"string\"}");
	obuf_puts(d->out, d->v3 ? "}}}" : "}");
}

/* "listCoreV1NamespacedPod", "patchAppsV1NamespacedDeploymentScale" */
static void put_id(struct odoc *d, const struct op *o)
{
	const char *group = oschema_str(d->s, o->r->group), *version = oschema_str(d->s, o->r->version);
	size_t n = strcspn(group, ".");

	obuf_puts(d->out, o->verb);
	if (n == 0)
		obuf_puts(d->out, "Core");
	else
		obuf_printf(d->out, "%c%.*s", group[0] - 32, (int)n - 1, group + 1);
	obuf_printf(d->out, "V%s%s%s", version + 1,
		    (o->r->flags & OSCHEMA_S_NAMESPACED) != 0 && !o->everywhere ? "Namespaced" : "",
		    oschema_str(d->s, o->r->kind));
	if (o->sub != NULL) {
		const char *name = oschema_str(d->s, o->sub->name);

		obuf_printf(d->out, "%c%s", name[0] - 32, name + 1);
	}
	obuf_puts(d->out, o->everywhere ? "ForAllNamespaces" : "");
}

static void put_op(struct odoc *d, const struct op *o, bool *first)
{
	obuf_printf(d->out, "%s\"%s\":{", *first ? "" : ",", method_names[o->method]);
	*first = false;
	obuf_puts(d->out, "\"operationId\":\"");
	put_id(d, o);
	obuf_puts(d->out, "\",");
	if (!d->v3) {
		obuf_puts(d->out, "\"consumes\":");
		put_types(d, o);
		obuf_puts(d->out, o->answer != 0 ? ",\"produces\":[\"application/json\",\"application/yaml\"]," :
			  ",\"produces\":[\"*/*\"],");
	}
	put_parameters(d, o);
	put_request(d, o);
	obuf_puts(d->out, "\"responses\":{");
	put_answer(d, o, "200", "OK");
	if (o->method == POST || o->method == PUT || o->method == PATCH) {
		obuf_putc(d->out, ',');
		put_answer(d, o, "201", "Created");
	}
	obuf_printf(d->out, "},\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":", o->action);
	if (o->sub != NULL)
		odoc_gvk(d, oschema_str(d->s, o->sub->group), oschema_str(d->s, o->sub->version),
			 oschema_str(d->s, o->sub->kind));
	else
		odoc_gvk(d, oschema_str(d->s, o->r->group), oschema_str(d->s, o->r->version),
			 oschema_str(d->s, o->r->kind));
	obuf_putc(d->out, '}');
}

/* ---- paths ---- */

static void begin_path(struct odoc *d, const struct oschema_resource *r, bool everywhere, bool named,
		       const char *sub, bool *first_path)
{
	const char *group = oschema_str(d->s, r->group);
	bool ns = (r->flags & OSCHEMA_S_NAMESPACED) != 0 && !everywhere;

	obuf_printf(d->out, "%s\"/%s%s/%s/%s%s%s%s%s\":{", *first_path ? "" : ",", *group != '\0' ? "apis/" : "api", group,
		    oschema_str(d->s, r->version), ns ? "namespaces/{namespace}/" : "", oschema_str(d->s, r->plural),
		    named ? "/{name}" : "", sub != NULL ? "/" : "", sub != NULL ? sub : "");
	*first_path = false;
}

static void end_path(struct odoc *d, const struct oschema_resource *r, bool everywhere, bool named)
{
	bool ns = (r->flags & OSCHEMA_S_NAMESPACED) != 0 && !everywhere;

	if (named || ns) {
		obuf_puts(d->out, ",\"parameters\":[");
		if (named)
			put_param(d, "name", "path", 's', true);
		obuf_puts(d->out, named && ns ? "," : "");
		if (ns)
			put_param(d, "namespace", "path", 's', true);
		obuf_putc(d->out, ']');
	}
	obuf_putc(d->out, '}');
}

static void put_sub(struct odoc *d, const struct oschema_resource *r, const struct oschema_sub *sub, bool *first_path)
{
	bool first = true, connect = (sub->flags & OSCHEMA_SUB_CONNECT) != 0;
	struct op o = { .r = r, .sub = sub, .answer = connect ? 0 : sub->type };

	begin_path(d, r, false, true, oschema_str(d->s, sub->name), first_path);
	o.action = connect ? "connect" : "get";
	if ((sub->verbs & OSCHEMA_V_GET) != 0) {
		o.method = GET;
		o.verb = connect ? "connectGet" : "read";
		put_op(d, &o, &first);
	}
	o.body = connect ? 0 : sub->type;
	if ((sub->verbs & OSCHEMA_V_CREATE) != 0) {
		o.method = POST;
		o.action = connect ? "connect" : "post";
		o.verb = connect ? "connectPost" : "create";
		put_op(d, &o, &first);
	}
	if ((sub->verbs & OSCHEMA_V_UPDATE) != 0) {
		o.method = PUT;
		o.action = connect ? "connect" : "put";
		o.verb = connect ? "connectPut" : "replace";
		put_op(d, &o, &first);
	}
	if ((sub->verbs & OSCHEMA_V_PATCH) != 0) {
		o.method = PATCH;
		o.action = connect ? "connect" : "patch";
		o.verb = connect ? "connectPatch" : "patch";
		put_op(d, &o, &first);
	}
	end_path(d, r, false, true);
}

static void put_collection(struct odoc *d, const struct oschema_resource *r, bool everywhere, bool *first_path)
{
	bool first = true;
	struct op o = { .r = r, .everywhere = everywhere };

	begin_path(d, r, everywhere, false, NULL, first_path);
	if ((r->verbs & OSCHEMA_V_LIST) != 0) {
		o.method = GET;
		o.action = "list";
		o.verb = "list";
		o.answer = odoc_list_type(d, r);
		put_op(d, &o, &first);
	}
	if (!everywhere && (r->verbs & OSCHEMA_V_CREATE) != 0) {
		o.method = POST;
		o.action = "post";
		o.verb = "create";
		o.body = r->type;
		o.answer = r->type;
		put_op(d, &o, &first);
	}
	if (!everywhere && (r->verbs & OSCHEMA_V_DELETECOLLECTION) != 0) {
		o.method = DELETE;
		o.action = "deletecollection";
		o.verb = "deletecollection";
		o.body = odoc_type(d, "meta/v1.DeleteOptions");
		o.answer = odoc_type(d, "meta/v1.Status");
		put_op(d, &o, &first);
	}
	end_path(d, r, everywhere, false);
}

static void put_item(struct odoc *d, const struct oschema_resource *r, bool *first_path)
{
	bool first = true;
	struct op o = { .r = r, .method = GET, .action = "get", .verb = "read", .answer = r->type };

	begin_path(d, r, false, true, NULL, first_path);
	put_op(d, &o, &first);
	if ((r->verbs & OSCHEMA_V_UPDATE) != 0) {
		o = (struct op){ .r = r, .method = PUT, .action = "put", .verb = "replace", .body = r->type,
				 .answer = r->type };
		put_op(d, &o, &first);
	}
	if ((r->verbs & OSCHEMA_V_DELETE) != 0) {
		o = (struct op){ .r = r, .method = DELETE, .action = "delete", .verb = "delete",
				 .body = odoc_type(d, "meta/v1.DeleteOptions"), .answer = odoc_type(d, "meta/v1.Status") };
		put_op(d, &o, &first);
	}
	if ((r->verbs & OSCHEMA_V_PATCH) != 0) {
		o = (struct op){ .r = r, .method = PATCH, .action = "patch", .verb = "patch", .answer = r->type };
		put_op(d, &o, &first);
	}
	end_path(d, r, false, true);
}

void odoc_paths(struct odoc *d, const struct oschema_group *g)
{
	bool first = true;

	for (unsigned int i = 0; i < d->s->n_resources; i++) {
		const struct oschema_resource *r = &d->s->resources[i];

		if (g != NULL && !odoc_in_group(d, r, g))
			continue;
		put_collection(d, r, false, &first);
		if ((r->flags & OSCHEMA_S_NAMESPACED) != 0 && (r->verbs & OSCHEMA_V_LIST) != 0)
			put_collection(d, r, true, &first);
		if ((r->verbs & OSCHEMA_V_GET) != 0)
			put_item(d, r, &first);
		for (unsigned int k = 0; k < r->n_subs; k++)
			put_sub(d, r, &d->s->subs[r->subs + k], &first);
	}
}
