/*
 * pull.c - images from registries, archives and layouts.
 *
 * skopeo copies into a directory of blobs under tmp/ (it knows registries, credentials, platforms
 * and archive formats, and verifies what it fetches); oci-unpack turns that into layer directories
 * and verifies again; then the image gets its names. An import does so for each name in an archive.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

struct pull {
	struct oci	*o;
	struct orlop_call *call;
	char		*dir;		/* tmp/N */
	char		*name;		/* normalized; import: of the tag at hand */
	char		*authfile;
	bool		import;
	char		*path;		/* import: archive or layout */
	char		*given;		/* import: name to give, NULL: as the archive says */
	char		*type;		/* import: docker-archive, oci-archive, oci */
	struct ojson	*tags;		/* import: as the archive has them */
	size_t		at;
	struct ojson	*images;	/* answer of an import */
};

static void fetch_start(struct pull *p);

static void pull_free(struct pull *p)
{
	if (p->dir)
		(void)ofile_remove_tree(AT_FDCWD, p->dir);
	if (p->authfile)
		(void)unlink(p->authfile);
	ojson_unref(p->tags);
	ojson_unref(p->images);
	omem_free(p->dir);
	omem_free(p->name);
	omem_free(p->authfile);
	omem_free(p->path);
	omem_free(p->given);
	omem_free(p->type);
	p->o->n_pulling--;
	omem_free(p);
}

static void pull_fail(struct pull *p, struct orlop_error *err)
{
	reply_error(p->o, p->call, err);
	pull_free(p);
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

static bool loopback(const char *name)
{
	return !strncmp(name, "127.", 4) || !strncmp(name, "localhost:", 10) ||
	       !strncmp(name, "localhost/", 10) || !strncmp(name, "[::1]", 5);
}

/* Take @tag from whoever has it, give it to @img. */
static int name_give(struct oci *o, struct image *img, const char *list_key, const char *text)
{
	struct ojson *mine = *list_key == 't' ? img->tags : img->digests;

	OMAP_FOREACH(&o->images, e) {
		struct image *other = e->value;
		struct ojson *list = *list_key == 't' ? other->tags : other->digests;
		size_t i;

		for (i = 0; i < ojson_count(list); i++) {
			if (!ojson_string_is(ojson_index(list, i), text))
				continue;
			if (other == img)
				return 0;
			(void)ojson_remove(list, i);
			(void)image_save(o, other);
			break;
		}
	}
	return ojson_append_cstr(mine, text);
}

/* What oci-unpack printed becomes an image (a new one, or names for one that is there). */
static int image_register(struct oci *o, const struct ojson *said, const char *name, struct image **ret)
{
	const char *id = ojson_get_cstr(said, "id", "");
	struct image *img = omap_get_cstr(&o->images, id);
	struct obuf digest = OBUF_INIT;
	size_t name_len = imgref_name_len(name);
	int e = 0;

	if (!img) {
		img = OMEM_NEW(struct image);
		if (!img)
			return -ENOMEM;
		snprintf(img->id, sizeof(img->id), "%s", id);
		img->config = ojson_ref(ojson_get(said, "config"));
		img->layers = ojson_ref(ojson_get(said, "layers"));
		img->tags = ojson_new_array();
		img->digests = ojson_new_array();
		img->size = (uint64_t)ojson_get_i64(said, "size", 0);
		if (strlen(id) != 71 || !img->config || !img->layers || !img->tags || !img->digests ||
		    omap_put_cstr(&o->images, img->id, img)) {
			image_free(img);
			return -EINVAL;
		}
	}
	obuf_append(&digest, name, name_len);
	obuf_printf(&digest, "@%s", ojson_get_cstr(said, "digest", ""));
	e = obuf_err(&digest);
	if (!e && name[name_len] == ':' && !strchr(name, '@'))
		e = name_give(o, img, "tags", name);
	if (!e)
		e = name_give(o, img, "digests", digest.data);
	obuf_done(&digest);
	if (!e)
		e = image_save(o, img);
	*ret = img;
	return e;
}

static void next_or_answer(struct pull *p, const struct image *img)
{
	struct oci *o = p->o;
	struct ojson *out = ojson_new_object();
	struct ojson *j;

	if (!p->import) {
		if (out)
			(void)ojson_set_cstr(out, "imageRef", ojson_count(img->digests)
					     ? ojson_cstr(ojson_index(img->digests, ojson_count(img->digests) - 1), "")
					     : img->id);
		reply_json(o, p->call, out, NULL);
		pull_free(p);
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
	reply_json(o, p->call, out, NULL);
	pull_free(p);
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

	if (code || sig) {
		skopeo_reason(text, reason, sizeof(reason));
		orlop_fail(&err, EIO, 0, "", "failed to pull and unpack image \"%s\": %s", p->name, reason);
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
	const char *argv[12];
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
	argv[n++] = "copy";
	argv[n++] = "--quiet";
	if (!p->import && loopback(p->name))
		argv[n++] = "--src-tls-verify=false";
	if (p->authfile) {
		argv[n++] = "--src-authfile";
		argv[n++] = p->authfile;
	}
	argv[n++] = src;
	argv[n++] = dst;
	argv[n] = NULL;
	if (!src || !dst)
		orlop_fail(&err, ENOMEM, 0, "", "no memory");
	else if (!proc_run(o, argv, 0, fetched, p, &err))
		return;
	pull_fail(p, &err);
}

static struct pull *pull_new(struct oci *o, struct orlop_call *call)
{
	struct pull *p = OMEM_NEW(struct pull);

	if (!p)
		return NULL;
	p->o = o;
	p->call = call;
	p->dir = path_of(o, "tmp/%llu", (unsigned long long)++o->n_pulls);
	if (!p->dir) {
		omem_free(p);
		return NULL;
	}
	o->n_pulling++;
	return p;
}

/* CRI AuthConfig → a docker auth file only we can read. */
static int auth_write(struct pull *p, const struct ojson *auth)
{
	cleanup_free char *path = path_of(p->o, "tmp/auth-%llu", (unsigned long long)p->o->n_pulls);
	const char *host_end = strchr(p->name, '/');
	struct ojson *j = ojson_new_object();
	struct ojson *one;
	cleanup_free char *host = omem_strndup(p->name, (size_t)(host_end - p->name));
	size_t len;
	cleanup_free char *text = NULL;
	int e = -ENOMEM;

	if (path && j && host) {
		one = ojson_ensure_object(ojson_ensure_object(j, "auths"), host);
		if (*ojson_get_cstr(auth, "auth", ""))
			(void)ojson_set_cstr(one, "auth", ojson_get_cstr(auth, "auth", ""));
		(void)ojson_set_cstr(one, "username", ojson_get_cstr(auth, "username", ""));
		(void)ojson_set_cstr(one, "password", ojson_get_cstr(auth, "password", ""));
		text = ojson_text(j, 0, &len);
		if (text)
			e = ofile_write(AT_FDCWD, path, text, len, 0600);
	}
	ojson_unref(j);
	if (!e)
		p->authfile = TAKE(path);
	return e;
}

OCI_OP(op_image_pull)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
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
	p = pull_new(o, call);
	if (!p) {
		obuf_done(&name);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	p->name = obuf_steal(&name, NULL);
	auth = ojson_get_object(r, "auth");
	if (auth && ojson_count(auth) && auth_write(p, auth)) {
		pull_free(p);
		return orlop_fail(err, EIO, 0, "", "cannot keep credentials for \"%s\"", ref);
	}
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

OCI_OP(op_image_import)
{
	struct oci *o = ctx;
	struct orlop_bytes path = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_PATH);
	struct orlop_bytes name = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_NAME);
	struct pull *p;
	const char *argv[] = { o->unpack, "inspect", NULL, NULL };
	int e;

	if (!path.len || path.p[0] != '/' || memchr(path.p, ':', path.len))
		return orlop_fail(err, EINVAL, 0, "", "image import needs an absolute path without ':'");
	p = pull_new(o, call);
	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	p->import = true;
	p->images = ojson_new_array();
	p->path = omem_strndup(path.p, path.len);
	p->given = name.len ? omem_strndup(name.p, name.len) : NULL;
	if (!p->images || !p->path || (name.len && !p->given)) {
		pull_free(p);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	argv[2] = p->path;
	e = proc_run(o, argv, 0, inspected, p, err);
	if (e)
		pull_free(p);
	return e;
}
