/*
 * unpack-main.c - oci-unpack: from what skopeo fetched to layer directories.
 *
 *	oci-unpack image DIR LAYERS	DIR is skopeo's "dir:" form: manifest.json and blobs by hex digest
 *	oci-unpack inspect ARCHIVE	{"type": …, "tags": […]}
 *
 * image prints {"id","digest","config","layers","size"} or one line of reason on stderr.
 */
#include "unpack.h"

#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

#define MANIFEST_MAX	(4u << 20)
#define LAYERS_MAX	127

static int fail_line(const char *what, const char *why)
{
	fprintf(stderr, "image: %s: %s\n", what, why);
	return 1;
}

static int read_json(const char *path, struct ojson **ret)
{
	struct obuf b = OBUF_INIT;
	int e = ofile_read(AT_FDCWD, path, MANIFEST_MAX, &b);

	if (!e)
		e = ojson_parse(b.data, b.len, ret, NULL);
	obuf_done(&b);
	return e;
}

static bool digest_ok(const char *d)
{
	return strlen(d) == 71 && !strncmp(d, "sha256:", 7) &&
	       strspn(d + 7, "0123456789abcdef") == 64;
}

/*
 * All layers, as many at once as there are processors: inflating is what takes the time. One that is
 * in the image twice is unpacked once.
 */
static int layers_unpack(const char *dir, const char *layers, const struct ojson *blobs, const struct ojson *diffs,
			 uint64_t *ret_size)
{
	size_t n = ojson_count(blobs);
	uint64_t *sizes = mmap(NULL, (n + 1) * sizeof(*sizes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long at_once = sysconf(_SC_NPROCESSORS_ONLN);
	long running = 0;
	size_t next = 0;
	int bad = sizes == MAP_FAILED;

	while (!bad && (next < n || running)) {
		int status = 0;
		pid_t pid = 0;

		if (next < n && running < (at_once > 0 ? at_once : 1)) {
			const char *diff = ojson_cstr(ojson_index(diffs, next), "");
			bool again = false;
			size_t k;

			for (k = 0; k < next; k++)
				again = again || ojson_string_is(ojson_index(diffs, k), diff);
			fflush(NULL);
			pid = again ? 0 : fork();
			if (!again && !pid) {
				const char *blob = ojson_get_cstr(ojson_index(blobs, next), "digest", "");
				char path[4096];

				snprintf(path, sizeof(path), "%s/%s", dir, blob + 7);
				_exit(layer_unpack(layers, path, blob, diff, &sizes[next]));
			}
			bad = pid < 0;
			running += pid > 0;
			next++;
			continue;
		}
		if (wait(&status) < 0)
			break;
		running--;
		bad = bad || status;
	}
	/* one went wrong: the others are let finish, for they clean up after themselves */
	while (running-- > 0 && wait(NULL) > 0)
		;
	for (next = 0; !bad && next < n; next++)
		*ret_size += sizes[next];
	return bad;
}

static int image(const char *dir, const char *layers)
{
	char path[4096];
	char digest[72];
	char have[72];
	cleanup_ojson struct ojson *manifest = NULL;
	cleanup_ojson struct ojson *config = NULL;
	cleanup_ojson struct ojson *names = ojson_new_array();
	cleanup_ojson struct ojson *out = ojson_new_object();
	const struct ojson *diffs;
	const struct ojson *blobs;
	const char *id;
	uint64_t size = 0;
	cleanup_free char *text = NULL;

	snprintf(path, sizeof(path), "%s/manifest.json", dir);
	if (file_digest(path, digest) || read_json(path, &manifest))
		return fail_line("manifest", "cannot be read");
	id = ojson_cstr(OJSON_AT(manifest, "config", "digest"), "");
	if (!digest_ok(id))
		return fail_line("manifest", "has no config digest");
	snprintf(path, sizeof(path), "%s/%s", dir, id + 7);
	if (file_digest(path, have) || read_json(path, &config))
		return fail_line("config", "cannot be read");
	if (strcmp(have, id))
		return fail_line("config", "does not have the digest that the manifest says");
	diffs = OJSON_AT(config, "rootfs", "diff_ids");
	blobs = ojson_get(manifest, "layers");
	if (ojson_count(diffs) != ojson_count(blobs) || ojson_count(blobs) > LAYERS_MAX)
		return fail_line("config", "names other layers than the manifest, or too many");
	OJSON_FOREACH_ELEM(i, l, blobs) {
		const char *blob = ojson_get_cstr(l, "digest", "");
		const char *diff = ojson_cstr(ojson_index(diffs, i), "");

		if (!digest_ok(blob) || !digest_ok(diff))
			return fail_line("layer", "has no sha256 digest");
		(void)ojson_append(names, ojson_new_string(diff + 7, 24));
		size += (uint64_t)ojson_get_i64(l, "size", 0);
	}
	if (layers_unpack(dir, layers, blobs, diffs, &size))
		return 1;
	(void)ojson_set_cstr(out, "id", id);
	(void)ojson_set_cstr(out, "digest", digest);
	(void)ojson_set(out, "config", TAKE(config));
	(void)ojson_set(out, "layers", TAKE(names));
	(void)ojson_set(out, "blobs", ojson_ref((struct ojson *)(uintptr_t)blobs));
	(void)ojson_set_i64(out, "size", (int64_t)size);
	text = ojson_text(out, 0, NULL);
	if (!text)
		return fail_line("answer", "no memory");
	printf("%s\n", text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "image"))
		return image(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "inspect"))
		return archive_inspect(argv[2]);
	fprintf(stderr, "usage: oci-unpack image DIR LAYERS | oci-unpack inspect ARCHIVE\n");
	return 2;
}
