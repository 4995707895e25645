/*
 * pull.c - images from registries, archives and layouts.
 *
 * skopeo copies into a directory of blobs under tmp/ (it knows registries, credentials, platforms
 * and archive formats, and verifies what it fetches); oci-unpack turns that into layer directories
 * and verifies again; then the image gets its names. An import does so for each name in an archive.
 * A fetch that stalls, grows without end or fills the disk is ended; what two ask for is fetched once.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define WATCH_NS	500000000ull	/* how often a fetch is looked at */
#define START_NS	1000000ull	/* … until it has begun */
#define DISK_RESERVE	(64ull << 20)	/* bytes that a fetch leaves to others */

struct pull {
	struct olist	node;
	struct oci	*o;
	struct orlop_call *call;	/* NULL: nobody asked (images of a folder) */
	struct orlop_call **more;	/* who asked for the same meanwhile */
	uint32_t	n_more;
	char		*dir;		/* tmp/N */
	char		*name;		/* normalized; import: of the tag at hand */
	char		*auth;		/* credentials as they came, NULL: none; equal for equal pulls */
	char		*authfile;
	char		*token;
	bool		import;
	char		*path;		/* import: archive or layout */
	bool		own_path;	/* a copy of ours, to be deleted */
	char		*given;		/* import: name to give, NULL: as the archive says */
	char		*type;		/* import: docker-archive, oci-archive, oci */
	struct ojson	*tags;		/* import: as the archive has them */
	size_t		at;
	struct ojson	*images;	/* answer of an import */
	void		(*done)(void *arg, int e);
	void		*arg;
	/* the fetch at hand */
	struct proc	*proc;
	struct orlop_timer *timer;
	uint64_t	bytes;
	uint64_t	moved_ns;	/* when bytes last grew */
	bool		placed;		/* known_place has run */
	char		why[160];	/* we ended it */
};

static void fetch_start(struct pull *p);

static void pull_free(struct pull *p, int e)
{
	struct oci *o = p->o;

	if (p->dir)
		(void)ofile_remove_tree(AT_FDCWD, p->dir);
	if (p->authfile)
		(void)unlink(p->authfile);
	if (p->own_path)
		(void)unlink(p->path);
	o->h->timer_free(p->timer);
	olist_del(&p->node);
	ojson_unref(p->tags);
	ojson_unref(p->images);
	omem_free(p->more);
	omem_free(p->dir);
	omem_free(p->name);
	omem_free(p->auth);
	omem_free(p->authfile);
	omem_free(p->token);
	omem_free(p->path);
	omem_free(p->given);
	omem_free(p->type);
	if (!--o->n_pulling && o->gc_wanted)
		layers_gc(o);
	if (p->done)
		p->done(p->arg, e);
	omem_free(p);
}

static void pull_fail(struct pull *p, struct orlop_error *err)
{
	struct oci *o = p->o;
	uint32_t i;
	int e = err->err ? -err->err : -EIO;

	for (i = 0; i < p->n_more; i++) {
		struct orlop_error copy = *err;

		copy.causes = NULL;
		o->h->call_on_cancel(p->more[i], NULL, NULL);
		reply_error(o, p->more[i], &copy);
	}
	if (!p->call)
		OLOG(o->h, WARN, "image_import_failed", "path=%s said=\"%s\" ignoring=1", p->path, err->msg);
	o->gc_wanted = true;
	if (p->call) {
		o->h->call_on_cancel(p->call, NULL, NULL);
		reply_error(o, p->call, err);
	} else {
		orlop_error_done(err);
	}
	pull_free(p, e);
}

static void pull_answer(struct pull *p, struct ojson *take_out)
{
	struct oci *o = p->o;
	uint32_t i;

	for (i = 0; i < p->n_more; i++) {
		o->h->call_on_cancel(p->more[i], NULL, NULL);
		reply_json(o, p->more[i], take_out ? ojson_ref(take_out) : NULL, NULL);
	}
	if (p->call) {
		o->h->call_on_cancel(p->call, NULL, NULL);
		reply_json(o, p->call, take_out, NULL);
	} else {
		ojson_unref(take_out);
	}
	pull_free(p, 0);
}

/* skopeo's last word: msg="…" of its last line, else the line. */
static void skopeo_reason(const struct obuf *out, char *buf, size_t size)
{
	const char *msg = NULL;
	const char *p = out->data;
	size_t n = 0;

	while (p && (p = strstr(p, "msg=\""))) {
		msg = p + 5;
		p = msg;
	}
	if (!msg) {
		proc_first_line(out, buf, size);
		return;
	}
	while (*msg && n + 1 < size && !(*msg == '"' && msg[-1] != '\\')) {
		if (*msg == '\\' && msg[1] == '"')
			msg++;
		buf[n++] = *msg++;
	}
	buf[n] = '\0';
}

static void next_or_answer(struct pull *p, const struct image *img)
{
	struct ojson *out = ojson_new_object();
	struct ojson *j;

	if (!p->import) {
		if (out)
			(void)ojson_set_cstr(out, "imageRef", ojson_count(img->digests)
					     ? ojson_cstr(ojson_index(img->digests, ojson_count(img->digests) - 1), "")
					     : img->id);
		pull_answer(p, out);
		return;
	}
	j = ojson_new_object();
	if (j) {
		(void)ojson_set_cstr(j, "id", img->id);
		(void)ojson_append_cstr(ojson_ensure_array(j, "repoTags"), p->name);
		(void)ojson_append(p->images, j);
	}
	p->at++;
	if (p->at < ojson_count(p->tags) && !p->given) {
		ojson_unref(out);
		fetch_start(p);
		return;
	}
	if (out)
		(void)ojson_set(out, "images", ojson_ref(p->images));
	pull_answer(p, out);
}

static void unpacked(void *arg, int32_t code, int32_t sig, const struct obuf *text)
{
	struct pull *p = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *said = NULL;
	struct image *img = NULL;
	char line[300];
	int e;

	if (code || sig) {
		proc_first_line(text, line, sizeof(line));
		orlop_fail(&err, EBADMSG, 0, "", "failed to unpack image \"%s\": %s", p->name, line);
		pull_fail(p, &err);
		return;
	}
	e = ojson_parse(text->data, text->len, &said, NULL);
	if (!e)
		e = image_register(p->o, said, p->name, &img);
	if (e) {
		orlop_fail(&err, -e, 0, "", "image \"%s\" cannot be kept", p->name);
		pull_fail(p, &err);
		return;
	}
	OLOG(p->o->h, INFO, "image_added", "name=%s id=%.19s", p->name, img->id);
	next_or_answer(p, img);
}

static void fetched(void *arg, int32_t code, int32_t sig, const struct obuf *text)
{
	struct pull *p = arg;
	struct oci *o = p->o;
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_free char *layers = path_of(o, "l");
	const char *argv[] = { o->unpack, "image", p->dir, layers, NULL };
	char reason[400];

	p->proc = NULL;
	o->h->timer_clear(p->timer);
	if (code || sig) {
		skopeo_reason(text, reason, sizeof(reason));
		orlop_fail(&err, EIO, 0, "", "failed to pull and unpack image \"%s\": %s", p->name, *p->why ? p->why : reason);
		pull_fail(p, &err);
		return;
	}
	if (!layers)
		orlop_fail(&err, ENOMEM, 0, "", "no memory");
	if (!layers || proc_run(o, argv, 0, unpacked, p, &err))
		pull_fail(p, &err);
}

/* Name of the image that is fetched now: given, or as the archive calls it. */
static int import_name(struct pull *p)
{
	const char *tag = p->given ? p->given : ojson_cstr(ojson_index(p->tags, p->at), "");
	struct obuf name = OBUF_INIT;
	int e;

	omem_free(p->name);
	p->name = NULL;
	e = imgref_normalize(tag, &name);
	if (!e)
		p->name = obuf_steal(&name, NULL);
	obuf_done(&name);
	return e;
}

static char *source_of(struct pull *p)
{
	const char *tag = ojson_cstr(ojson_index(p->tags, p->at), "");

	if (!p->import)
		return omem_printf("docker://%s", p->name);
	if (!*tag)
		return omem_printf("%s:%s", p->type, p->path);
	return omem_printf("%s:%s:%s", p->type, p->path, tag);
}

static void fetch_start(struct pull *p)
{
	struct oci *o = p->o;
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_free char *src = NULL;
	cleanup_free char *dst = NULL;
	const char *argv[16 + REGISTRY_ARGS];
	char buf[4096];
	int n = 0;

	(void)ofile_remove_tree(AT_FDCWD, p->dir);
	if (p->import && import_name(p)) {
		orlop_fail(&err, EINVAL, 0, "", "%s: \"%s\" is no image name; give one", p->path,
			   p->given ? p->given : ojson_cstr(ojson_index(p->tags, p->at), ""));
		pull_fail(p, &err);
		return;
	}
	src = source_of(p);
	dst = omem_printf("dir:%s", p->dir);
	argv[n++] = o->skopeo;
	argv[n++] = "--insecure-policy";
	if (o->registries_conf) {
		argv[n++] = "--registries-conf";
		argv[n++] = o->registries_conf;
	}
	argv[n++] = "copy";
	argv[n++] = "--quiet";
	if (!p->import)
		n += registry_args(o, p->name, buf, argv + n);
	if (p->authfile) {
		argv[n++] = "--src-authfile";
		argv[n++] = p->authfile;
	} else if (p->token) {
		argv[n++] = "--src-registry-token";
		argv[n++] = p->token;
	} else if (!p->import) {
		argv[n++] = "--src-no-creds";	/* not those of whoever started us */
	}
	argv[n++] = src;
	argv[n++] = dst;
	argv[n] = NULL;
	p->bytes = 0;
	p->moved_ns = o->h->now_mono(o->h);
	if (!src || !dst) {
		orlop_fail(&err, ENOMEM, 0, "", "no memory");
	} else if (!proc_start(o, argv, 0, fetched, p, &p->proc, &err)) {
		p->placed = p->import;
		o->h->timer_set(p->timer, p->placed ? WATCH_NS : START_NS, p->placed ? WATCH_NS : START_NS);
		return;
	}
	pull_fail(p, &err);
}

static void fetch_end(struct pull *p, const char *why)
{
	snprintf(p->why, sizeof(p->why), "%s", why);
	if (p->proc)
		proc_kill(p->proc);
}

static void progress_tell(struct pull *p, struct orlop_call *call)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	char text[64];

	snprintf(text, sizeof(text), "{\"current\":%llu,\"total\":0}", (unsigned long long)p->bytes);
	orlop_msgw_init(&w, p->o->h);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_PROGRESS, text);
	msg = orlop_msgw_msg(&w);
	(void)p->o->h->call_emit(call, &msg);
	orlop_msgw_done(&w);
}

/*
 * Layers that are here need not be fetched again: skopeo leaves out a blob whose file is there. It
 * clears its directory when it begins and then writes "version"; now is the time. The files are
 * empty but for their length: oci-unpack looks at none whose layer it has.
 */
static bool known_place(struct pull *p)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/version", p->dir);
	if (access(path, F_OK))
		return false;
	OMAP_FOREACH(&p->o->images, at) {
		const struct image *img = at->value;

		OJSON_FOREACH_ELEM(i, b, img->blobs) {
			const char *digest = ojson_get_cstr(b, "digest", "");
			int fd;

			if (strlen(digest) != 71)
				continue;
			snprintf(path, sizeof(path), "%s/%s", p->dir, digest + 7);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			if (fd >= 0 && ftruncate(fd, ojson_get_i64(b, "size", 0)))
				(void)unlink(path);
			if (fd >= 0)
				close(fd);
		}
	}
	return true;
}

/* A fetch goes on as long as bytes come, not too many, and leaves room on the disk. */
static void fetch_watch(void *arg)
{
	struct pull *p = arg;
	struct oci *o = p->o;
	uint64_t now = o->h->now_mono(o->h);
	cleanup_dir DIR *dp = opendir(p->dir);
	uint64_t bytes = 0;
	struct statvfs vfs;
	struct dirent *d;
	struct stat st;
	char why[160];

	if (!p->placed && known_place(p)) {
		p->placed = true;
		o->h->timer_set(p->timer, WATCH_NS, WATCH_NS);
	}
	while (dp && (d = readdir(dp)))
		if (d->d_name[0] != '.' && !fstatat(dirfd(dp), d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			bytes += (uint64_t)st.st_blocks * 512;	/* holes are no bytes */
	if (bytes != p->bytes) {
		p->bytes = bytes;
		p->moved_ns = now;
		if (p->call)
			progress_tell(p, p->call);
	}
	if (now - p->moved_ns > o->pull_stall_ns) {
		snprintf(why, sizeof(why), "no progress for %llu s: context deadline exceeded",
			 (unsigned long long)(o->pull_stall_ns / 1000000000u));
		fetch_end(p, why);
	} else if (bytes > o->pull_max) {
		snprintf(why, sizeof(why), "more than %llu MiB: an image may not be larger", (unsigned long long)(o->pull_max >> 20));
		fetch_end(p, why);
	} else if (!statvfs(o->root, &vfs) && (uint64_t)vfs.f_bavail * vfs.f_frsize < DISK_RESERVE) {
		fetch_end(p, "no space left on device");
	}
}

void pulls_end(struct oci *o)
{
	OLIST_FOREACH(pos, &o->pulls)
		fetch_end(OLIST_ENTRY(pos, struct pull, node), "the daemon ends");
}

void pulls_forget(struct oci *o)
{
	o->gc_wanted = false;
	while (!olist_empty(&o->pulls)) {
		struct pull *p = OLIST_ENTRY(olist_first(&o->pulls), struct pull, node);

		for (uint32_t i = 0; i < p->n_more; i++)
			o->h->call_on_cancel(p->more[i], NULL, NULL);
		if (p->call)
			o->h->call_on_cancel(p->call, NULL, NULL);
		pull_free(p, -ECANCELED);
	}
}

/* Whoever asked has left: the fetch ends when nobody waits for it any more. */
static void asker_gone(void *arg)
{
	struct pull *p = arg;

	if (p->n_more)
		return;		/* its answer goes nowhere; the others' does not */
	fetch_end(p, "context canceled");
}

static struct pull *pull_new(struct oci *o, struct orlop_call *call)
{
	struct pull *p = OMEM_NEW(struct pull);

	if (!p)
		return NULL;
	p->o = o;
	p->call = call;
	p->dir = path_of(o, "tmp/%llu", (unsigned long long)++o->n_pulls);
	if (!p->dir || o->h->timer_new(o->h, fetch_watch, p, &p->timer)) {
		omem_free(p->dir);
		omem_free(p);
		return NULL;
	}
	olist_append(&o->pulls, &p->node);
	o->n_pulling++;
	return p;
}

/* The same image is on its way to somebody else with the same credentials. */
static bool join(struct oci *o, const char *name, const char *auth, struct orlop_call *call)
{
	OLIST_FOREACH(pos, &o->pulls) {
		struct pull *p = OLIST_ENTRY(pos, struct pull, node);
		struct orlop_call **more;

		if (p->import || strcmp(p->name, name) != 0 || strcmp(p->auth ? p->auth : "", auth) != 0)
			continue;
		more = omem_realloc(p->more, (p->n_more + 1) * sizeof(*more));
		if (!more)
			return false;
		p->more = more;
		p->more[p->n_more++] = call;
		return true;
	}
	return false;
}

static int auth_take(struct pull *p, const struct ojson *auth)
{
	cleanup_free char *path = path_of(p->o, "tmp/auth-%llu", (unsigned long long)p->o->n_pulls);
	int e = path ? registry_auth_write(path, p->name, auth, &p->token) : -ENOMEM;

	if (!e)
		p->authfile = TAKE(path);
	return e < 0 ? e : 0;
}

OCI_OP(op_image_pull)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	cleanup_free char *auth_text = NULL;
	struct obuf name = OBUF_INIT;
	struct pull *p;
	const char *ref;
	const struct ojson *auth;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	ref = ojson_cstr(OJSON_AT(r, "image", "image"), "");
	e = imgref_normalize(ref, &name);
	if (e) {
		obuf_done(&name);
		return orlop_fail(err, EINVAL, 0, "InvalidImageName", "couldn't parse image name \"%s\": invalid reference format",
				  ref);
	}
	auth = ojson_get_object(r, "auth");
	auth_text = auth && ojson_count(auth) ? ojson_text(auth, 0, NULL) : omem_strdup("");
	if (auth_text && join(o, name.data, auth_text, call)) {
		obuf_done(&name);
		return 0;
	}
	p = auth_text ? pull_new(o, call) : NULL;
	if (!p) {
		obuf_done(&name);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	p->name = obuf_steal(&name, NULL);
	p->auth = TAKE(auth_text);
	if (*p->auth && auth_take(p, auth)) {
		pull_free(p, -EIO);
		return orlop_fail(err, EIO, 0, "", "cannot keep credentials for \"%s\"", ref);
	}
	o->h->call_on_cancel(call, asker_gone, p);
	fetch_start(p);
	return 0;
}

static void inspected(void *arg, int32_t code, int32_t sig, const struct obuf *text)
{
	struct pull *p = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *said = NULL;
	char line[300];

	if (!code && !sig && !ojson_parse(text->data, text->len, &said, NULL)) {
		p->type = omem_strdup(ojson_get_cstr(said, "type", "docker-archive"));
		p->tags = ojson_ref(ojson_get(said, "tags"));
		if (p->type && (ojson_count(p->tags) || p->given)) {
			fetch_start(p);
			return;
		}
		orlop_fail(&err, EINVAL, 0, "", "%s has no image names; give one", p->path);
	} else {
		proc_first_line(text, line, sizeof(line));
		orlop_fail(&err, EINVAL, 0, "", "%s", *line ? line : "archive cannot be read");
	}
	pull_fail(p, &err);
}

int pull_import(struct oci *o, struct orlop_call *call, const char *path, const char *given, bool take_path,
		void (*done)(void *arg, int e), void *arg, struct orlop_error *err)
{
	struct pull *p = pull_new(o, call);
	const char *argv[] = { o->unpack, "inspect", NULL, NULL };
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	p->import = true;
	p->own_path = take_path;
	p->images = ojson_new_array();
	p->path = omem_strdup(path);
	p->given = given ? omem_strdup(given) : NULL;
	if (!p->images || !p->path || (given && !p->given)) {
		p->own_path = p->own_path && p->path;
		pull_free(p, -ENOMEM);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	p->done = done;
	p->arg = arg;
	argv[2] = p->path;
	e = proc_run(o, argv, 0, inspected, p, err);
	if (e) {
		p->done = NULL;
		pull_free(p, e);
	}
	return e;
}
