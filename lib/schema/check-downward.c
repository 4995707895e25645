/*
 * check-downward.c - what of a pod its containers may see: fields and resources, as variables and as files.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/core/{validation,pods}.
 */
#include <stdio.h>
#include <string.h>

#include "quantity/oquantity.h"
#include "schema/check.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static bool is_one_of(struct orlop_bytes t, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (otext_is(t, list[i]))
			return true;
	return false;
}

/* FIELD['KEY'], as upstream splits it; false: it is no such thing. */
static bool split(struct orlop_bytes path, struct orlop_bytes *ret_field, struct orlop_bytes *ret_key)
{
	const char *open;

	if (!ostr_ends(path.p, path.len, "']"))
		return false;
	open = memmem(path.p, path.len - 2, "['", 2);
	if (open == NULL || open == path.p)
		return false;
	*ret_field = (struct orlop_bytes){ path.p, (size_t)(open - path.p) };
	*ret_key = (struct orlop_bytes){ open + 2, path.len - 2 - (size_t)(open + 2 - path.p) };
	return true;
}

/* Why the path is none of version @version; NULL: it is one. */
static const char *not_converted(struct orlop_bytes version, struct orlop_bytes path, char *why, size_t size)
{
	static const char *const known[] = {
		"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.host",
		"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.hostIP",
		"status.hostIPs", "status.phase", "status.podIP", "status.podIPs",
	};
	struct orlop_bytes field, key;

	if (!otext_is(version, "v1")) {
		(void)snprintf(why, size, "error converting fieldPath: unsupported pod version: %.*s", (int)version.len, version.p);
		return why;
	}
	if (split(path, &field, &key)) {
		if (otext_is(field, "metadata.annotations") || otext_is(field, "metadata.labels"))
			return NULL;
		(void)snprintf(why, size, "error converting fieldPath: field label does not support subscript: %.*s", (int)path.len,
			       path.p);
		return why;
	}
	if (is_one_of(path, known, COUNT(known)))
		return NULL;
	(void)snprintf(why, size, "error converting fieldPath: field label not supported: %.*s", (int)path.len, path.p);
	return why;
}

void ocheck_field_ref(struct ocheck *c, const struct opath *at, struct ojson *ref, bool file)
{
	static const char *const of_env[] = {
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
		"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	};
	static const char *const of_files[] = {
		"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
	};
	struct orlop_bytes path = oget_text(ref, "fieldPath"), field, key;
	struct opath p = opath_child(at, "fieldPath");
	char why[512], low[320];
	size_t n;

	if (path.len == 0)
		return;		/* said by the schema */
	if (not_converted(oget_text(ref, "apiVersion"), path, why, sizeof(why)) != NULL) {
		ocheck_invalid(c, &p, ojson_get(ref, "fieldPath"), why);
		return;
	}
	if (split(path, &field, &key)) {
		n = key.len < sizeof(low) ? key.len : sizeof(low);
		for (size_t i = 0; i < n; i++)
			low[i] = (char)(key.p[i] >= 'A' && key.p[i] <= 'Z' && otext_is(field, "metadata.annotations") ?
					key.p[i] + 32 : key.p[i]);
		ocheck_format_text(c, at, (struct orlop_bytes){ low, n }, OSCHEMA_FMT_QUALIFIED_NAME);
		return;
	}
	if (otext_is(path, "spec.host"))
		return;		/* once the name of the node's */
	if (file ? !is_one_of(path, of_files, COUNT(of_files)) : !is_one_of(path, of_env, COUNT(of_env)))
		ocheck_not_supported(c, &p, ojson_get(ref, "fieldPath"), file ? of_files : of_env,
				     file ? COUNT(of_files) : COUNT(of_env));
}

/* How a resource may be divided. */
static void check_divisor(struct ocheck *c, const struct opath *at, struct orlop_bytes resource, struct ojson *v)
{
	static const char *const sizes[] = { "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei" };
	struct orlop_bytes d = otext(v);
	bool huge = ostr_starts(resource.p, resource.len, "requests.hugepages-") ||
		    ostr_starts(resource.p, resource.len, "limits.hugepages-");
	const char *of = otext_is(resource, "limits.memory") || otext_is(resource, "requests.memory") ? "memory" :
			 otext_is(resource, "limits.ephemeral-storage") || otext_is(resource, "requests.ephemeral-storage") ?
			 "local ephemeral storage" : huge ? "hugepages" : NULL;
	struct oquantity q;
	char why[200];

	if (!ocheck_quantity(v, &q) || oquantity_sign(&q) == 0)
		return;
	if (otext_is(resource, "limits.cpu") || otext_is(resource, "requests.cpu")) {
		if (!otext_is(d, "1m") && !otext_is(d, "1"))
			ocheck_invalid_text(c, at, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
	} else if (of != NULL && !is_one_of(d, sizes, COUNT(sizes))) {
		(void)snprintf(why, sizeof(why), "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are "
			       "supported with the %s resource", of);
		ocheck_invalid_text(c, at, resource, why);
	}
}

void ocheck_resource_ref(struct ocheck *c, const struct opath *at, struct ojson *ref, bool file)
{
	static const char *const known[] = {
		"limits.cpu", "limits.ephemeral-storage", "limits.memory",
		"requests.cpu", "requests.ephemeral-storage", "requests.memory",
	};
	struct orlop_bytes res = oget_text(ref, "resource");
	struct opath p = opath_child(at, "resource"), dp = opath_child(at, "divisor");

	if (file && oget_empty(ref, "containerName"))
		ocheck_required_at(c, at, "containerName", "");
	else if (res.len == 0)
		ocheck_required(c, &p, "");
	else if (!is_one_of(res, known, COUNT(known)) && !ostr_starts(res.p, res.len, "limits.hugepages-") &&
		 !ostr_starts(res.p, res.len, "requests.hugepages-"))
		ocheck_not_supported(c, &p, ojson_get(ref, "resource"), known, COUNT(known));
	check_divisor(c, &dp, res, ojson_get(ref, "divisor"));
}

OCHECK(downward_file)
{
	struct ojson *field = ojson_get(v, "fieldRef"), *resource = ojson_get(v, "resourceFieldRef");
	struct opath fp = opath_child(at, "fieldRef"), rp = opath_child(at, "resourceFieldRef");

	(void)old;
	if (field != NULL)
		ocheck_field_ref(c, &fp, field, true);
	else if (resource != NULL)
		ocheck_resource_ref(c, &rp, resource, true);
	else
		ocheck_required(c, at, "one of fieldRef and resourceFieldRef is required");
	if (field != NULL && resource != NULL)
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "resource", 8 },
				    "fieldRef and resourceFieldRef can not be specified simultaneously");
}
