/*
 * image.c - `orlop image …`: the images of the runtime of this machine.
 */
#include "cli.h"
#include "ctl.h"
#include "setup.h"
#include "table.h"

#include <orlop/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"

struct image_cmd {
	const char	*dir;
	const char	*name;
	bool		json;
	struct setup	s;
	struct ctl	c;
	int		n;
};

/* Nobody would answer, and the bus would wait for somebody who does. */
static int runtime_there(struct ctl *c, struct orlop_error *err)
{
	cleanup_ojson struct ojson *list = NULL;
	int r = ctl_json(c, ORLOP_ADMIN_MODULE_LIST, NULL, &list, err);

	if (r)
		return r;
	OJSON_FOREACH_ELEM(i, m, list)
		if (!strcmp(ojson_get_cstr(m, "class", ""), "runtime") && !strcmp(ojson_get_cstr(m, "state", ""), "ready"))
			return 0;
	return orlop_fail(err, ENOENT, 0, "", "no container runtime is loaded; orlop module load runtime/oci, or start with one");
}

/* 0; 1, 2: help or wrong use, said already; negative: an error. */
static int begin(const struct command *cmd, int argc, char **argv, struct image_cmd *m, struct orlop_error *err)
{
	const struct arg import_args[] = {
		{ "name", ARG_TEXT, &m->name, "NAME", "to give to the image (default: as the archive says)" },
		{ "data-dir", ARG_TEXT, &m->dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "json", ARG_FLAG, &m->json, NULL, "the answer as it comes, for programs" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	const struct arg *args = strstr(cmd->name, "import") ? import_args : import_args + 1;
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n) == CLI_OK ? 1 : 2;
	m->n = n;
	r = setup_open(m->dir, &m->s, err);
	if (r == 0)
		r = ctl_open(m->s.control, &m->c, err);
	if (r == 0)
		r = runtime_there(&m->c, err);
	return r;
}

static int end(struct image_cmd *m, int r, const struct orlop_error *err)
{
	ctl_close(&m->c);
	setup_done(&m->s);
	if (r > 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	return r ? cli_fail(err) : CLI_OK;
}

static void print_json(const struct ojson *j)
{
	cleanup_free char *text = ojson_text(j, OJSON_PRETTY, NULL);

	puts(text ? text : "{}");
}

/* {"image":{"image": REF}} as CRI asks for one. */
static struct ojson *image_spec(const char *ref)
{
	struct ojson *j = ojson_new_object();

	if (j && ojson_set_cstr(ojson_ensure_object(j, "image"), "image", ref)) {
		ojson_unref(j);
		return NULL;
	}
	return j;
}

static void put_image(struct table *t, const struct ojson *e)
{
	const char *id = ojson_get_cstr(e, "id", "");
	const char *size = ojson_get_cstr(e, "size", NULL);
	uint64_t bytes = size ? strtoull(size, NULL, 10) : (uint64_t)ojson_get_i64(e, "size", 0);
	size_t tags = ojson_count(ojson_get(e, "repoTags"));
	char text[32];

	if (!strncmp(id, "sha256:", 7))
		id += 7;
	for (size_t i = 0; i < (tags ? tags : 1); i++) {
		table_add(t, "%s", tags ? ojson_cstr(ojson_index(ojson_get(e, "repoTags"), i), "") :
			  ojson_cstr(ojson_index(ojson_get(e, "repoDigests"), 0), "<none>"));
		table_add(t, "%.12s", id);
		table_add(t, "%s", size_text(bytes, text, sizeof(text)));
	}
}

int cmd_image_list(const struct command *cmd, int argc, char **argv)
{
	static const char *const columns[] = { "NAME", "ID", "SIZE", NULL };
	struct image_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct table t;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0)
		r = ctl_runtime(&m.c, ORLOP_RUNTIME_IMAGE_LIST, NULL, &j, &err);
	if (r == 0 && m.json) {
		print_json(j);
	} else if (r == 0) {
		table_init(&t, columns);
		OJSON_FOREACH_ELEM(i, e, ojson_get(j, "images"))
			put_image(&t, e);
		table_print(&t, stdout);
	}
	return end(&m, r, &err);
}

static int import(struct image_cmd *m, const char *file, struct orlop_error *err)
{
	cleanup_free char *full = realpath(file, NULL);
	cleanup_ojson struct ojson *j = NULL;
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	int r;

	if (!full || access(full, R_OK))
		return orlop_fail(err, errno, 0, "", "%s: %s", file, strerrordesc_np(errno));
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_PATH, full);
	if (m->name)
		orlop_msgw_str(&w, ORLOP_RUNTIME_T_NAME, m->name);
	r = ctl_forward(&m->c, "runtime", ORLOP_RUNTIME_IMAGE_IMPORT, &w, &answer, err);
	orlop_msgw_done(&w);
	if (r == 0 && ojson_parse_bytes(ctl_field(&answer, ORLOP_RUNTIME_T_RESPONSE), &j, NULL))
		r = orlop_fail(err, EBADMSG, 0, "", "the answer of the runtime cannot be read");
	if (r == 0 && m->json) {
		print_json(j);
	} else if (r == 0) {
		OJSON_FOREACH_ELEM(i, e, ojson_get(j, "images"))
			printf("%s  %.19s\n", ojson_cstr(ojson_index(ojson_get(e, "repoTags"), 0), "<none>"),
			       ojson_get_cstr(e, "id", ""));
	}
	obuf_done(&answer);
	return r;
}

int cmd_image_import(const struct command *cmd, int argc, char **argv)
{
	struct image_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0)
		r = import(&m, argv[1], &err);
	return end(&m, r, &err);
}

int cmd_image_pull(const struct command *cmd, int argc, char **argv)
{
	struct image_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int r = begin(cmd, argc, argv, &m, &err);

	if (r == 0)
		r = ctl_runtime(&m.c, ORLOP_RUNTIME_IMAGE_PULL, image_spec(argv[1]), &j, &err);
	if (r == 0 && m.json)
		print_json(j);
	else if (r == 0)
		puts(ojson_get_cstr(j, "imageRef", argv[1]));
	return end(&m, r, &err);
}

static int remove_one(struct image_cmd *m, const char *ref, struct orlop_error *err)
{
	cleanup_ojson struct ojson *found = NULL;
	cleanup_ojson struct ojson *j = NULL;
	int r = ctl_runtime(&m->c, ORLOP_RUNTIME_IMAGE_STATUS, image_spec(ref), &found, err);

	/* CRI removes what is not there without a word; a person mistyped. */
	if (r == 0 && !ojson_get_object(found, "image"))
		r = orlop_fail(err, ENOENT, 0, "", "no image %s; see orlop image list", ref);
	if (r == 0)
		r = ctl_runtime(&m->c, ORLOP_RUNTIME_IMAGE_REMOVE, image_spec(ref), &j, err);
	if (r == 0)
		printf("%s is removed\n", ref);
	return r;
}

int cmd_image_remove(const struct command *cmd, int argc, char **argv)
{
	struct image_cmd m = { .c = { .fd = -1 } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = begin(cmd, argc, argv, &m, &err);

	for (int i = 0; i < m.n && r == 0; i++)
		r = remove_one(&m, argv[1 + i], &err);
	return end(&m, r, &err);
}
