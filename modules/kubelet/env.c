/*
 * env.c - the environment of a container: services, references, $(VAR). Pure.
 *
 * Source: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars,
 * third_party/forked/golang/expansion.
 */
#include "kubelet.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/oenc.h"
#include "base/ostr.h"

static struct ojson *env_find(const struct ojson *env, const char *key, size_t len)
{
	OJSON_FOREACH_ELEM(i, e, env) {
		struct orlop_bytes k = ojson_get_bytes(e, "key");

		if (ostr_eq(k.p, k.len, key, len))
			return e;
	}
	return NULL;
}

/* Set it, in its old place if it is there. */
static int env_set(struct ojson *env, const char *key, size_t key_len, const char *v, size_t len)
{
	struct ojson *e = env_find(env, key, key_len);

	if (e)
		return ojson_set_string(e, "value", v, len);
	e = ojson_new_object();
	if (!e || ojson_set_string(e, "key", key, key_len) || ojson_set_string(e, "value", v, len)) {
		ojson_unref(e);
		return -ENOMEM;
	}
	return ojson_append(env, e);
}

void env_expand(const char *in, size_t len, const struct ojson *env, struct obuf *out)
{
	size_t i = 0;

	while (i < len) {
		const char *end;

		if (in[i] != '$' || i + 1 >= len) {
			obuf_putc(out, in[i++]);
			continue;
		}
		if (in[i + 1] == '$') {
			obuf_putc(out, '$');
			i += 2;
			continue;
		}
		end = in[i + 1] == '(' ? memchr(in + i + 2, ')', len - i - 2) : NULL;
		if (end) {
			const char *name = in + i + 2;
			size_t n = (size_t)(end - name);
			const struct ojson *e = env_find(env, name, n);

			if (e) {
				struct orlop_bytes v = ojson_get_bytes(e, "value");

				obuf_append(out, v.p ? v.p : "", v.len);
			} else {
				obuf_append(out, in + i, n + 3);
			}
			i += n + 3;
			continue;
		}
		/* "$(" without end, or "$x": as it stands */
		obuf_putc(out, '$');
		i++;
		if (in[i] != '(') {
			obuf_putc(out, in[i]);
			i++;
		}
	}
}

/* ---- services ------------------------------------------------------------------------------------ */

static void upper(struct obuf *out, const char *s)
{
	for (; *s; s++)
		obuf_putc(out, *s == '-' ? '_' : (char)toupper((unsigned char)*s));
}

static void put(struct ojson *env, struct obuf *key, const char *value)
{
	if (!obuf_err(key))
		(void)env_set(env, key->data, key->len, value, strlen(value));
	obuf_reset(key);
}

static void service_vars(struct ojson *env, const char *name, const char *ip, const struct ojson *ports)
{
	struct obuf prefix = OBUF_INIT;
	struct obuf key = OBUF_INIT;
	char text[96];

	upper(&prefix, name);
	obuf_printf(&key, "%s_SERVICE_HOST", obuf_cstr(&prefix));
	put(env, &key, ip);
	OJSON_FOREACH_ELEM(i, p, ports) {
		const char *pname = ojson_get_cstr(p, "name", "");

		snprintf(text, sizeof(text), "%lld", (long long)ojson_get_i64(p, "port", 0));
		if (!i) {
			obuf_printf(&key, "%s_SERVICE_PORT", obuf_cstr(&prefix));
			put(env, &key, text);
		}
		if (*pname) {
			obuf_printf(&key, "%s_SERVICE_PORT_", obuf_cstr(&prefix));
			upper(&key, pname);
			put(env, &key, text);
		}
	}
	OJSON_FOREACH_ELEM(k, p, ports) {
		const char *proto = ojson_get_cstr(p, "protocol", "TCP");
		long long port = (long long)ojson_get_i64(p, "port", 0);
		struct obuf base = OBUF_INIT;
		char low[8] = "";
		size_t j;

		for (j = 0; proto[j] && j < sizeof(low) - 1; j++)
			low[j] = (char)tolower((unsigned char)proto[j]);
		snprintf(text, sizeof(text), strchr(ip, ':') ? "%s://[%s]:%lld" : "%s://%s:%lld", low, ip, port);
		if (!k) {
			obuf_printf(&key, "%s_PORT", obuf_cstr(&prefix));
			put(env, &key, text);
		}
		obuf_printf(&base, "%s_PORT_%lld_%s", obuf_cstr(&prefix), port, proto);
		obuf_puts(&key, obuf_cstr(&base));
		put(env, &key, text);
		obuf_printf(&key, "%s_PROTO", obuf_cstr(&base));
		put(env, &key, low);
		obuf_printf(&key, "%s_PORT", obuf_cstr(&base));
		snprintf(text, sizeof(text), "%lld", port);
		put(env, &key, text);
		obuf_printf(&key, "%s_ADDR", obuf_cstr(&base));
		put(env, &key, ip);
		obuf_done(&base);
	}
	obuf_done(&prefix);
	obuf_done(&key);
}

static struct ojson *api_port(const char *port)
{
	struct ojson *list = ojson_new_array();
	struct ojson *p = ojson_new_object();
	int64_t n = 443;

	(void)ostr_to_i64(port, strlen(port), &n);
	(void)ojson_set_cstr(p, "name", "https");
	(void)ojson_set_cstr(p, "protocol", "TCP");
	(void)ojson_set_i64(p, "port", n);
	(void)ojson_append(list, p);
	return list;
}

static void services(const struct env_world *w, struct ojson *env)
{
	bool links = ojson_get_bool(ojson_get(w->base.pod, "spec"), "enableServiceLinks", true);

	if (w->api_host && *w->api_host) {
		struct ojson *port = api_port(w->api_port ? w->api_port : "443");

		service_vars(env, "kubernetes", w->api_host, port);
		ojson_unref(port);
	}
	if (!links)
		return;
	OJSON_FOREACH_ELEM(i, s, w->services) {
		const struct ojson *spec = ojson_get(s, "spec");
		const char *ip = ojson_get_cstr(spec, "clusterIP", "");
		const char *name = okube_meta(s, "name");

		if (!*ip || !strcmp(ip, "None"))
			continue;
		/* the API's own comes from above */
		if (!strcmp(name, "kubernetes") && !strcmp(okube_meta(s, "namespace"), "default"))
			continue;
		service_vars(env, name, ip, ojson_get(spec, "ports"));
	}
}

/* ---- references --------------------------------------------------------------------------------------- */

/* Value of @key of a ConfigMap or Secret, appended. False: no such key. */
static bool data_value(const struct ojson *obj, char kind, const char *key, struct obuf *out)
{
	struct orlop_bytes v = ojson_get_bytes(ojson_get(obj, "data"), key);
	char *raw;
	long n;

	if (kind == 'c') {
		if (!v.p)
			return false;
		obuf_append(out, v.p, v.len);
		return true;
	}
	if (!v.p)
		return false;
	raw = omem_alloc(OBASE64_DECODED(v.len) + 1);
	n = raw ? obase64_decode(OBASE64_STD, v.p, v.len, raw, NULL) : -1;
	if (n > 0)
		obuf_append(out, raw, (size_t)n);
	omem_free(raw);
	return true;
}

static int env_from(const struct env_world *w, const struct ojson *container, struct ojson *env, struct obuf *err)
{
	OJSON_FOREACH_ELEM(i, from, ojson_get(container, "envFrom")) {
		const char *prefix = ojson_get_cstr(from, "prefix", "");
		const struct ojson *ref = ojson_get(from, "configMapRef");
		char kind = ref ? 'c' : 's';
		const char *name;
		struct ojson *obj;

		if (!ref)
			ref = ojson_get(from, "secretRef");
		if (!ref)
			continue;
		name = ojson_get_cstr(ref, "name", "");
		obj = w->base.get(w->base.arg, kind, name);
		if (!obj) {
			if (ojson_get_bool(ref, "optional", false))
				continue;
			obuf_printf(err, "%s \"%s\" not found", kind == 'c' ? "configmap" : "secret", name);
			return -ENOENT;
		}
		OJSON_FOREACH(it, ojson_get(obj, "data")) {
			struct obuf key = OBUF_INIT;
			struct obuf v = OBUF_INIT;

			obuf_printf(&key, "%s%s", prefix, it.key);
			if (data_value(obj, kind, it.key, &v) && !obuf_err(&key) && !memchr(key.data, '=', key.len))
				(void)env_set(env, key.data, key.len, obuf_cstr(&v), v.len);
			obuf_done(&key);
			obuf_done(&v);
		}
		ojson_unref(obj);
	}
	return 0;
}

/* 1: leave the variable out. */
static int key_ref(const struct env_world *w, const struct ojson *ref, char kind, struct obuf *v, struct obuf *err)
{
	const char *name = ojson_get_cstr(ref, "name", "");
	const char *key = ojson_get_cstr(ref, "key", "");
	bool optional = ojson_get_bool(ref, "optional", false);
	struct ojson *obj = w->base.get(w->base.arg, kind, name);
	bool found;

	if (!obj) {
		if (optional)
			return 1;
		obuf_printf(err, "%s \"%s\" not found", kind == 'c' ? "configmap" : "secret", name);
		return -ENOENT;
	}
	found = data_value(obj, kind, key, v);
	ojson_unref(obj);
	if (found)
		return 0;
	if (optional)
		return 1;
	obuf_printf(err, "couldn't find key %s in %s %s/%s", key, kind == 'c' ? "ConfigMap" : "Secret",
		    okube_meta(w->base.pod, "namespace"), name);
	return -ENOENT;
}

static int value_from(const struct env_world *w, const struct ojson *container, const struct ojson *from,
		      struct obuf *v, struct obuf *err)
{
	const struct ojson *ref;

	if ((ref = ojson_get(from, "fieldRef"))) {
		const char *path = ojson_get_cstr(ref, "fieldPath", "");

		if (!field_value(&w->base, path, v))
			return 0;
		obuf_printf(err, "unsupported fieldPath: %s", path);
		return -EINVAL;
	}
	if ((ref = ojson_get(from, "resourceFieldRef"))) {
		if (!resource_field(&w->base, ojson_get_cstr(container, "name", ""), ref, v))
			return 0;
		obuf_printf(err, "unsupported container resource: %s", ojson_get_cstr(ref, "resource", ""));
		return -EINVAL;
	}
	if ((ref = ojson_get(from, "configMapKeyRef")))
		return key_ref(w, ref, 'c', v, err);
	if ((ref = ojson_get(from, "secretKeyRef")))
		return key_ref(w, ref, 's', v, err);
	return 0;
}

int env_make(const struct env_world *w, const struct ojson *container, struct ojson **ret, struct obuf *err)
{
	struct ojson *env = ojson_new_array();
	struct ojson *svc = ojson_new_array();
	int e = env && svc ? 0 : -ENOMEM;

	/* services' variables may be used in values but lose against everything the pod says */
	if (!e)
		services(w, svc);
	if (!e)
		e = env_from(w, container, env, err);
	OJSON_FOREACH_ELEM(i, item, ojson_get(container, "env")) {
		const struct ojson *from = ojson_get(item, "valueFrom");
		struct orlop_bytes text = ojson_get_bytes(item, "value");
		struct orlop_bytes name = ojson_get_bytes(item, "name");
		struct obuf v = OBUF_INIT;

		if (e)
			break;
		if (from) {
			e = value_from(w, container, from, &v, err);
		} else if (text.p) {
			/* what is set already, then services */
			OJSON_FOREACH_ELEM(k, s, svc) {
				struct orlop_bytes key = ojson_get_bytes(s, "key");

				if (memmem(text.p, text.len, key.p, key.len) && !env_find(env, key.p, key.len))
					(void)ojson_append(env, ojson_ref(s));
			}
			env_expand(text.p, text.len, env, &v);
		}
		if (!e)
			e = env_set(env, name.p, name.len, obuf_cstr(&v), v.len);
		else if (e == 1)
			e = 0;
		obuf_done(&v);
	}
	OJSON_FOREACH_ELEM(n, s, svc) {
		struct orlop_bytes key = ojson_get_bytes(s, "key");

		if (!e && !env_find(env, key.p, key.len))
			e = ojson_append(env, ojson_ref(s));
	}
	ojson_unref(svc);
	if (e) {
		ojson_unref(env);
		return e;
	}
	*ret = env;
	return 0;
}
