/*
 * ctrprep.c - what a container is made of, between its image and its creation: environment, mounts,
 * and the files that a worker writes for it.
 */
#include "ctr.h"
#include "limits.h"
#include "security.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ofile.h"
#include "base/otime.h"
#include "walk/owalk.h"

struct subpath {
	char		*dir;
	char		*sub;
	char		*at;
	char		*volume;
	char		*container;
};

/* What a worker makes before a container can be created. */
struct prep {
	struct ctr	*c;
	char		*log_dir;
	char		*term_log;
	char		*hosts;
	char		*hosts_text;
	char		*resolv;
	char		*resolv_text;
	struct subpath	*subs;
	uint32_t	n_subs;
	struct config_mount *mounts;
	uint32_t	n_mounts;
	struct ojson	*env;		/* loop only */
	struct obuf	err;
	struct obuf	why;		/* for the log */
	int		result;
};

/* ---- files, on a worker ---------------------------------------------------------------------- */

static void prep_free(struct prep *j)
{
	uint32_t i;

	for (i = 0; i < j->n_subs; i++) {
		omem_free(j->subs[i].dir);
		omem_free(j->subs[i].sub);
		omem_free(j->subs[i].at);
		omem_free(j->subs[i].volume);
		omem_free(j->subs[i].container);
	}
	for (i = 0; i < j->n_mounts; i++) {
		omem_free(j->mounts[i].container_path);
		omem_free(j->mounts[i].host_path);
		omem_free(j->mounts[i].image);
		omem_free(j->mounts[i].image_sub);
	}
	omem_free(j->subs);
	omem_free(j->mounts);
	omem_free(j->log_dir);
	omem_free(j->term_log);
	omem_free(j->hosts);
	omem_free(j->hosts_text);
	omem_free(j->resolv);
	omem_free(j->resolv_text);
	ojson_unref(j->env);
	obuf_done(&j->err);
	obuf_done(&j->why);
	omem_free(j);
}

static int fail_on(struct prep *j, int e, const char *path)
{
	obuf_printf(&j->err, "cannot write %s: %s", path, strerrordesc_np(-e));
	return e;
}

static int prep_files(struct prep *j)
{
	char *slash = strrchr(j->term_log, '/');
	int e = ofile_mkdir_p(j->log_dir, 0755);
	int fd;

	if (e)
		return fail_on(j, e, j->log_dir);
	*slash = '\0';
	e = ofile_mkdir_p(j->term_log, 0750);
	*slash = '/';
	if (e)
		return fail_on(j, e, j->term_log);
	fd = open(j->term_log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return fail_on(j, -errno, j->term_log);
	(void)fchmod(fd, 0666);
	close(fd);
	/* in place, for they are mounted in containers that run */
	e = ofile_write(AT_FDCWD, j->resolv, j->resolv_text, strlen(j->resolv_text), 0644);
	if (e)
		return fail_on(j, e, j->resolv);
	fd = open(j->hosts, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_on(j, -errno, j->hosts);
	e = ofile_write_all(fd, j->hosts_text, strlen(j->hosts_text));
	if (!e && ftruncate(fd, (off_t)strlen(j->hosts_text)))
		e = -errno;
	close(fd);
	return e ? fail_on(j, e, j->hosts) : 0;
}

static void prep_work(void *arg)
{
	struct prep *j = arg;
	bool is_dir;
	uint32_t i;

	j->result = prep_files(j);
	for (i = 0; i < j->n_subs && !j->result; i++) {
		j->result = subpath_mount(j->subs[i].dir, j->subs[i].sub, j->subs[i].at, &is_dir, &j->why);
		if (!j->result)
			continue;
		/* what exactly is wrong would tell of the host's files: it goes to the log only */
		obuf_printf(&j->err, "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"", j->subs[i].volume,
			    j->subs[i].container);
	}
}

static void prepared(void *arg)
{
	struct prep *j = arg;
	struct ctr *c = j->c;

	if (!ctr_interrupted(c)) {
		if (j->why.len)
			OLOG(c->pod->k->h, WARN, "subpath_refused", "pod=%s/%s container=%s why=\"%s\"", c->pod->ns, c->pod->name,
			     c->name, obuf_cstr(&j->why));
		if (j->result)
			ctr_step_fail(c, "CreateContainerConfigError", obuf_cstr(&j->err));
		else
			ctr_create(c, j->env, j->mounts, j->n_mounts);
	}
	prep_free(j);
}

/* ---- what it is made of ----------------------------------------------------------------------------------------- */

static int mount_add(struct prep *j, const char *at, char *take_host, bool ro, const char *prop)
{
	struct config_mount *m = take_host ? omem_realloc_array(j->mounts, j->n_mounts + 1, sizeof(*m)) : NULL;

	if (!m) {
		omem_free(take_host);
		return -ENOMEM;
	}
	j->mounts = m;
	m = &m[j->n_mounts++];
	memset(m, 0, sizeof(*m));
	m->container_path = omem_strdup(at);
	m->host_path = take_host;
	m->readonly = ro;
	m->propagation = prop;
	return m->container_path ? 0 : -ENOMEM;
}

/* Of the image that was found for the volume (image.c). */
static int mount_image(struct config_mount *m, const struct ctr *c, const char *volume, const char *sub)
{
	m->image = omem_strdup(ojson_get_cstr(c->vol_images, volume, ""));
	m->image_sub = sub ? omem_strdup(sub) : NULL;
	return m->image && (m->image_sub || !sub) ? 0 : -ENOMEM;
}

static bool sub_ok(const char *sub)
{
	const char *p = sub;

	if (*sub == '/')
		return false;
	for (;;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static int sub_add(struct prep *j, const struct ctr *c, const char *volume, const char *dir, const char *sub,
		   size_t index, char **ret_at)
{
	struct subpath *s = omem_realloc_array(j->subs, j->n_subs + 1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	j->subs = s;
	s = &s[j->n_subs++];
	s->dir = omem_strdup(dir);
	s->sub = omem_strdup(sub);
	s->volume = omem_strdup(volume);
	s->container = omem_strdup(c->name);
	s->at = omem_printf("%s/pods/%s/volume-subpaths/%s/%s/%zu", c->pod->k->root, c->pod->uid, volume, c->name,
			    index);
	*ret_at = omem_strdup(s->at);
	return s->dir && s->sub && s->at && s->volume && s->container && *ret_at ? 0 : -ENOMEM;
}

/* A variable of a subPathExpr that there is not. */
static bool expr_missing(struct prep *j, struct orlop_bytes expr)
{
	size_t i;

	for (i = 0; i + 1 < expr.len; i++) {
		const char *end;
		bool found = false;

		if (expr.p[i] != '$')
			continue;
		if (expr.p[i + 1] == '$') {
			i++;
			continue;
		}
		end = expr.p[i + 1] == '(' ? memchr(expr.p + i, ')', expr.len - i) : NULL;
		if (!end)
			continue;
		OJSON_FOREACH_ELEM(n, v, j->env) {
			const char *key = ojson_get_cstr(v, "key", "");

			found |= strlen(key) == (size_t)(end - expr.p) - i - 2 && !memcmp(key, expr.p + i + 2, strlen(key));
		}
		if (!found) {
			obuf_printf(&j->err, "missing value for \"%.*s\"", (int)(end - expr.p - (ptrdiff_t)i - 2), expr.p + i + 2);
			return true;
		}
	}
	return false;
}

static int volume_mounts(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "volumeMounts")) {
		const char *name = ojson_get_cstr(m, "name", "");
		const char *sub = ojson_get_cstr(m, "subPath", "");
		const char *prop = ojson_get_cstr(m, "mountPropagation", "");
		const char *at = ojson_get_cstr(m, "mountPath", "");
		const char *rro = ojson_get_cstr(m, "recursiveReadOnly", "");
		struct orlop_bytes expr = ojson_get_bytes(m, "subPathExpr");
		const struct ojson *vol = NULL;
		struct obuf b = OBUF_INIT;
		char *host = volume_path(c->pod, name, &vol);
		const char *image_sub = NULL;
		char path[4096];
		bool ro = ojson_get_bool(m, "readOnly", false);
		int e;

		if (vol && ojson_get(vol, "image"))
			host = omem_strdup("");
		if (!host) {
			obuf_printf(&j->err, "cannot find volume \"%s\" to mount into container \"%s\"", name, c->name);
			return -ENOENT;
		}
		/* those are the kubelet's to write */
		if (!ojson_get(vol, "emptyDir") && !ojson_get(vol, "hostPath"))
			ro = true;
		if (expr.len) {
			if (expr_missing(j, expr)) {
				omem_free(host);
				return -EINVAL;
			}
			env_expand(expr.p, expr.len, j->env, &b);
			sub = obuf_cstr(&b);
		}
		if (*sub && strcmp(sub, ".")) {
			char *mounted = NULL;

			if (*sub == '/') {
				obuf_printf(&j->err, "error SubPath `%s` must not be an absolute path", sub);
				e = -EINVAL;
			} else if (!sub_ok(sub)) {
				obuf_printf(&j->err, "unable to provision SubPath `%s`: must not contain '..'", sub);
				e = -EINVAL;
			} else if (ojson_get(vol, "image")) {
				mounted = omem_strdup("");
				e = mounted ? 0 : -ENOMEM;
				image_sub = sub;
			} else {
				e = sub_add(j, c, name, host, sub, i, &mounted);
			}
			omem_free(host);
			host = mounted;
			if (e) {
				omem_free(host);
				obuf_done(&b);
				return e;
			}
		}
		snprintf(path, sizeof(path), "%s%s", *at == '/' ? "" : "/", at);
		e = mount_add(j, path, host, ro, !strcmp(prop, "Bidirectional") ? "PROPAGATION_BIDIRECTIONAL"
			      : !strcmp(prop, "HostToContainer") ? "PROPAGATION_HOST_TO_CONTAINER" : NULL);
		if (!e && ojson_get(vol, "image"))
			e = mount_image(&j->mounts[j->n_mounts - 1], c, name, image_sub);
		obuf_done(&b);
		if (e)
			return e;
		j->mounts[j->n_mounts - 1].recursive_ro = ojson_get_bool(m, "readOnly", false) &&
			(!strcmp(rro, "Enabled") || !strcmp(rro, "IfPossible"));
	}
	return 0;
}

static bool mounted_at(const struct prep *j, const char *at)
{
	uint32_t i;

	for (i = 0; i < j->n_mounts; i++)
		if (!strcmp(j->mounts[i].container_path, at))
			return true;
	return false;
}

static char *file_text(const char *path)
{
	struct obuf b = OBUF_INIT;

	(void)ofile_read(AT_FDCWD, path, 65536, &b);
	return obuf_steal(&b, NULL);
}

static int own_files(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	struct pod *p = c->pod;
	struct config_world w = { .pod = p->obj, .uid = p->uid, .node_name = p->k->node_name,
				  .cluster_dns = p->k->cluster_dns, .cluster_domain = p->k->cluster_domain };
	uint32_t attempt = c->id ? c->restarts + 1 : c->restarts;
	const char *term = ojson_get_cstr(spec, "terminationMessagePath", "/dev/termination-log");
	char *hosts = file_text("/etc/hosts");
	char *resolv = file_text("/etc/resolv.conf");
	struct obuf b = OBUF_INIT;
	int e = 0;

	config_hosts(&w, p->ip, p->ip2, hosts, &b);
	j->hosts_text = obuf_steal(&b, NULL);
	config_resolv(&w, resolv, &b);
	j->resolv_text = obuf_steal(&b, NULL);
	omem_free(hosts);
	omem_free(resolv);
	j->log_dir = omem_printf("%s/%s_%s_%s/%s", p->k->log_dir, p->ns, p->name, p->uid, c->name);
	j->term_log = ctr_term_path(c, attempt);
	j->hosts = omem_printf("%s/pods/%s/etc-hosts", p->k->root, p->uid);
	j->resolv = omem_printf("%s/pods/%s/resolv.conf", p->k->root, p->uid);
	if (!j->hosts_text || !j->resolv_text || !j->log_dir || !j->term_log || !j->hosts || !j->resolv)
		return -ENOMEM;
	if (!mounted_at(j, "/etc/hosts"))
		e = mount_add(j, "/etc/hosts", omem_strdup(j->hosts), false, NULL);
	if (!e && !mounted_at(j, "/etc/resolv.conf"))
		e = mount_add(j, "/etc/resolv.conf", omem_strdup(j->resolv), false, NULL);
	if (!e && *term == '/' && !mounted_at(j, term))
		e = mount_add(j, term, omem_strdup(j->term_log), false, NULL);
	return e;
}

static struct ojson *ref_get(void *arg, char kind, const char *name)
{
	struct pod *p = arg;

	return kubelet_get(p->k, kind == 'c' ? p->k->in_configmaps : p->k->in_secrets, p->ns, name);
}

static struct ojson *services_of(struct pod *p)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = { p->ns, strlen(p->ns) } };
	struct ojson *list = ojson_new_array();
	struct orlop_object *o;
	struct owalk w;

	if (!ojson_get_bool(ojson_get(p->obj, "spec"), "enableServiceLinks", true))
		return list;
	if (owalk_open(&w, p->k->h, okube_informer_resource(p->k->in_services), &q))
		return list;
	while ((o = owalk_next(&w)))
		(void)ojson_append(list, okube_parse(o));
	owalk_close(&w);
	return list;
}

/*
 * Where pods really reach the API: with a service proxy on this node the cluster IP, else the first
 * endpoint behind it.
 */
static void api_address(struct kubelet *k, char *host, size_t host_size, char *port, size_t port_size)
{
	struct ojson *ep = k->proxy ? NULL : kubelet_get(k, k->in_endpoints, "default", "kubernetes");
	struct ojson *svc = kubelet_get(k, k->in_services, "default", "kubernetes");
	const struct ojson *sub = ojson_index(ojson_get(ep, "subsets"), 0);
	const struct ojson *svc_port = ojson_index(OJSON_AT(svc, "spec", "ports"), 0);
	const char *ip = ojson_get_cstr(ojson_index(ojson_get(sub, "addresses"), 0), "ip", "");

	*host = '\0';
	*port = '\0';
	if (*ip) {
		snprintf(host, host_size, "%s", ip);
		snprintf(port, port_size, "%lld",
			 (long long)ojson_get_i64(ojson_index(ojson_get(sub, "ports"), 0), "port", 6443));
	} else if (svc) {
		snprintf(host, host_size, "%s", ojson_cstr(OJSON_AT(svc, "spec", "clusterIP"), ""));
		snprintf(port, port_size, "%lld", (long long)ojson_get_i64(svc_port, "port", 443));
	}
	ojson_unref(ep);
	ojson_unref(svc);
}

static int environment(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	struct pod *p = c->pod;
	const struct reserve a = limits_allocatable(p->k->limits, node_machine(p->k));
	char host[80];
	char port[16];
	struct ojson *services = services_of(p);
	struct env_world w = {
		.base = { .arg = p, .get = ref_get, .pod = p->obj, .node_ip = node_ip(p->k), .pod_ip = p->ip,
			  .pod_ip2 = p->ip2,
			  .cpu_milli = a.cpu_milli, .memory = a.memory, .storage = a.storage },
		.services = services, .api_host = host, .api_port = port,
	};
	int e;

	api_address(p->k, host, sizeof(host), port, sizeof(port));
	e = env_make(&w, spec, &j->env, &j->err);
	ojson_unref(services);
	return e;
}

void image_ready(struct ctr *c)
{
	struct pod *p = c->pod;
	const struct ojson *spec = ctr_spec(c);
	struct prep *j;
	int e;

	if (ctr_interrupted(c))
		return;
	j = OMEM_NEW(struct prep);
	if (!j || !spec) {
		omem_free(j);
		ctr_step_fail(c, "CreateContainerConfigError", "no memory");
		return;
	}
	j->c = c;
	if (security_user_refused(p->obj, spec, c->image_uid, c->image_user, &j->err)) {
		e = -EPERM;
	} else {
		e = environment(j, c, spec);
	}
	if (!e)
		e = volume_mounts(j, c, spec);
	if (!e)
		e = own_files(j, c, spec);
	if (!e)
		e = p->k->h->work(p->k->h, p->key, prep_work, prepared, j);
	if (e) {
		/* no back-off beyond this: what is missing may come, and its coming kicks */
		const char *why = j->err.len ? obuf_cstr(&j->err) : strerrordesc_np(-e);

		pod_event(p, c, "Warning", "Failed", "Error: %s", why);
		ctr_wait(c, "CreateContainerConfigError", why);
		c->retry_ns = kubelet_now(p->k) + (int64_t)(10 * NS_PER_S);
		prep_free(j);
		ctr_step_end(c);
	}
}
