/* unpack-inspect.c - which kind of image archive a file is, and the names in it. */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ocleanup.h"

#define INDEX_MAX	(4u << 20)

static int read_entry(struct archive *a, struct obuf *out)
{
	char buf[8192];
	la_ssize_t n;

	while ((n = archive_read_data(a, buf, sizeof(buf))) > 0) {
		if (out->len + (size_t)n > INDEX_MAX)
			return -1;
		obuf_append(out, buf, (size_t)n);
	}
	return n < 0 ? -1 : obuf_err(out);
}

static int print(const char *type, struct ojson *take_tags)
{
	cleanup_ojson struct ojson *j = ojson_new_object();
	cleanup_free char *text = NULL;

	(void)ojson_set_cstr(j, "type", type);
	(void)ojson_set(j, "tags", take_tags);
	text = ojson_text(j, 0, NULL);
	printf("%s\n", text ? text : "{}");
	return 0;
}

static int docker_tags(const struct obuf *text)
{
	cleanup_ojson struct ojson *m = NULL;
	cleanup_ojson struct ojson *tags = ojson_new_array();

	if (ojson_parse(text->data, text->len, &m, NULL) || !ojson_is(m, OJSON_ARRAY)) {
		fprintf(stderr, "archive: manifest.json is not a docker manifest\n");
		return 1;
	}
	OJSON_FOREACH_ELEM(i, image, m)
		OJSON_FOREACH_ELEM(k, t, ojson_get(image, "RepoTags"))
			(void)ojson_append(tags, ojson_ref(t));
	return print("docker-archive", TAKE(tags));
}

static int oci_tags(const char *type, const struct obuf *text)
{
	cleanup_ojson struct ojson *m = NULL;
	cleanup_ojson struct ojson *tags = ojson_new_array();

	if (ojson_parse(text->data, text->len, &m, NULL) || !ojson_get_array(m, "manifests")) {
		fprintf(stderr, "archive: index.json is not an OCI index\n");
		return 1;
	}
	OJSON_FOREACH_ELEM(i, d, ojson_get(m, "manifests")) {
		struct ojson *name = OJSON_AT(d, "annotations", "org.opencontainers.image.ref.name");

		if (name)
			(void)ojson_append(tags, ojson_ref(name));
	}
	return print(type, TAKE(tags));
}

static int layout_inspect(const char *path)
{
	char file[4096];
	cleanup_obuf struct obuf text = OBUF_INIT;
	char buf[8192];
	size_t n;
	FILE *f;

	snprintf(file, sizeof(file), "%s/index.json", path);
	f = fopen(file, "re");
	if (!f) {
		fprintf(stderr, "archive: %s has no index.json: not an OCI layout\n", path);
		return 1;
	}
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0 && text.len < INDEX_MAX)
		obuf_append(&text, buf, n);
	fclose(f);
	return oci_tags("oci", &text);
}

int archive_inspect(const char *path)
{
	struct archive *a;
	struct archive_entry *e;
	cleanup_obuf struct obuf docker = OBUF_INIT;
	cleanup_obuf struct obuf oci = OBUF_INIT;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return layout_inspect(path);
	a = archive_read_new();
	archive_read_support_filter_all(a);
	archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, path, 65536) != ARCHIVE_OK) {
		fprintf(stderr, "archive: %s: %s\n", path, archive_error_string(a));
		archive_read_free(a);
		return 1;
	}
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);

		if (!name)
			continue;
		if (!strncmp(name, "./", 2))
			name += 2;
		if ((!strcmp(name, "manifest.json") && read_entry(a, &docker)) ||
		    (!strcmp(name, "index.json") && read_entry(a, &oci)))
			break;
	}
	archive_read_free(a);
	if (docker.len)
		return docker_tags(&docker);
	if (oci.len)
		return oci_tags("oci-archive", &oci);
	fprintf(stderr, "archive: %s is neither a docker nor an OCI image archive\n", path);
	return 1;
}
