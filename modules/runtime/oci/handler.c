/*
 * handler.c - OCI runtimes by the name under which a RuntimeClass asks for them; the nameless one is everybody's.
 */
#include "oci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/omem.h"

bool program_find(const char *name, char *out, size_t size)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
					    "/sbin", "/bin" };
	size_t i;

	if (strchr(name, '/')) {
		snprintf(out, size, "%s", name);
		return !access(out, X_OK);
	}
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(out, size, "%s/%s", dirs[i], name);
		if (!access(out, X_OK))
			return true;
	}
	return false;
}

static int handler_add(struct oci *o, const char *name, size_t len, const char *path)
{
	struct handler *h = OMEM_NEW(struct handler);
	const char *base = strrchr(path, '/');

	if (!h)
		return -ENOMEM;
	h->name = omem_strndup(name, len);
	h->program = omem_strdup(path);
	h->is_crun = !strcmp(base ? base + 1 : path, "crun");
	olist_append(&o->handlers, &h->node);
	return h->name && h->program ? 0 : -ENOMEM;
}

/* crun where it is, runc else; or the one that was asked for. */
static int first_choose(struct oci *o, struct orlop_error *err)
{
	const char *want = o->h->param(o->h, "runtime");
	char path[4096];

	if (*want) {
		if (!program_find(want, path, sizeof(path)))
			return orlop_fail(err, ENOENT, 0, "", "runtime = \"%s\": no such program", want);
	} else if (!program_find("crun", path, sizeof(path)) && !program_find("runc", path, sizeof(path))) {
		return orlop_fail(err, ENOENT, 0, "", "neither crun nor runc is installed; install one");
	}
	if (handler_add(o, "", 0, path))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	o->handler = OLIST_ENTRY(olist_first(&o->handlers), struct handler, node);
	return 0;
}

int handlers_read(struct oci *o, struct orlop_error *err)
{
	const char *p = o->h->param(o->h, "handlers");
	int e = first_choose(o, err);

	while (!e && *p) {
		size_t n;
		const char *eq;
		cleanup_free char *program = NULL;
		char path[4096];

		p += strspn(p, ", ");
		n = strcspn(p, ", ");
		if (!n)
			break;
		eq = memchr(p, '=', n);
		if (!eq || eq == p || eq + 1 == p + n)
			return orlop_fail(err, EINVAL, 0, "", "handlers: \"%.*s\" is not NAME=PROGRAM", (int)n, p);
		program = omem_strndup(eq + 1, (size_t)(p + n - eq - 1));
		if (!program)
			return orlop_fail(err, ENOMEM, 0, "", "no memory");
		if (!program_find(program, path, sizeof(path)))
			return orlop_fail(err, ENOENT, 0, "", "handlers: \"%.*s\": no such program", (int)n, p);
		if (handler_add(o, p, (size_t)(eq - p), path))
			return orlop_fail(err, ENOMEM, 0, "", "no memory");
		p += n;
	}
	return e;
}

void handlers_done(struct oci *o)
{
	struct olist *at;

	while ((at = olist_shift(&o->handlers))) {
		struct handler *h = OLIST_ENTRY(at, struct handler, node);

		omem_free(h->name);
		omem_free(h->program);
		omem_free(h);
	}
	o->handler = NULL;
}

const struct handler *handler_find(const struct oci *o, const char *name)
{
	OLIST_FOREACH(at, &o->handlers) {
		const struct handler *h = OLIST_ENTRY(at, struct handler, node);

		if (!strcmp(h->name, name))
			return h;
	}
	return NULL;
}

const struct handler *handler_known(const struct oci *o, const char *name, const char *id)
{
	const struct handler *h = handler_find(o, name);

	if (!h)
		OLOG(o->h, WARN, "handler_gone", "id=%s handler=%s using=%s", id, name, o->handler->program);
	return h ? h : o->handler;
}

uint32_t handler_flags(const struct oci *o, const struct handler *h)
{
	return o->hybrid && h->is_crun ? PROC_HIDES : 0;
}

/* What RuntimeClass and user namespaces ask of a runtime's handlers. */
void handlers_tell(const struct oci *o, struct ojson *out)
{
	OLIST_FOREACH(at, &o->handlers) {
		const struct handler *rt = OLIST_ENTRY(at, struct handler, node);
		struct ojson *h = ojson_new_object();
		struct ojson *f = h ? ojson_ensure_object(h, "features") : NULL;

		if (!f) {
			ojson_unref(h);
			return;
		}
		(void)ojson_set_cstr(h, "name", rt->name);
		(void)ojson_set_bool(f, "recursiveReadOnlyMounts", true);
		(void)ojson_set_bool(f, "userNamespaces", true);
		(void)ojson_append(ojson_ensure_array(out, "runtimeHandlers"), h);
	}
}
