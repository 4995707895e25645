/*
 * settings.c - what this machine is to be, in a file: orlop.conf(5). Its group `up` says what the options of
 * `orlop up` would; the rest is read by orlopd, whose configuration includes it.
 */
#include "up.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"

struct key {
	const char	*name;
	size_t		at;
	bool		number;
};

static const struct key keys[] = {
	{ "node_name", offsetof(struct setup, node_name), false },
	{ "node_ip", offsetof(struct setup, fixed_ip), false },
	{ "pod_cidr", offsetof(struct setup, pod_cidr), false },
	{ "service_cidr", offsetof(struct setup, service_cidr), false },
	{ "cgroup_root", offsetof(struct setup, cgroup_root), false },
	{ "without", offsetof(struct setup, without), false },
	{ "join", offsetof(struct setup, join), false },
	{ "role", offsetof(struct setup, role), false },
	{ "isolate", offsetof(struct setup, isolate), false },
	{ "log_level", offsetof(struct setup, log_level), false },
	{ "port", offsetof(struct setup, port), true },
	{ "kubelet_port", offsetof(struct setup, kubelet_port), true },
};

static const char *file_of(const struct setup *s, const config_setting_t *e)
{
	const char *file = config_setting_source_file(e);

	return file ? file : s->settings;
}

static int bad(const struct setup *s, const config_setting_t *e, const char *what, struct orlop_error *err)
{
	return orlop_fail(err, EINVAL, 0, "", "%s:%u: %s: %s", file_of(s, e), config_setting_source_line(e),
			  config_setting_name(e) ? config_setting_name(e) : "up", what);
}

static int apply(struct setup *s, const config_setting_t *e, struct orlop_error *err)
{
	const char *name = config_setting_name(e);
	const struct key *k = NULL;
	char *to;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].name, name))
			k = &keys[i];
	if (!k)
		return bad(s, e, "unknown setting; known: node_name, node_ip, pod_cidr, service_cidr, cgroup_root, without, "
			   "join, role, isolate, log_level, port, kubelet_port", err);
	to = (char *)s + k->at;
	if (k->number) {
		int64_t v = config_setting_get_int64(e);

		if (config_setting_type(e) != CONFIG_TYPE_INT && config_setting_type(e) != CONFIG_TYPE_INT64)
			return bad(s, e, "want a number", err);
		if (v < 0 || v > 65535)
			return bad(s, e, "want a port: 0 to 65535", err);
		*(int64_t *)(void *)to = v;
		return 0;
	}
	if (config_setting_type(e) != CONFIG_TYPE_STRING)
		return bad(s, e, "want a string in quotes", err);
	return setup_text((char **)(void *)to, config_setting_get_string(e)) ? orlop_fail(err, ENOMEM, 0, "", "out of memory") : 0;
}

int settings_apply(struct setup *s, struct orlop_error *err)
{
	const config_setting_t *up;
	config_t cfg;
	int r = 0;

	if (!s->settings)
		return 0;
	config_init(&cfg);
	if (config_read_file(&cfg, s->settings) != CONFIG_TRUE)
		r = config_error_type(&cfg) == CONFIG_ERR_FILE_IO ?
			orlop_fail(err, EIO, 0, "", "settings %s cannot be read", s->settings) :
			orlop_fail(err, EINVAL, 0, "", "%s:%d: %s", config_error_file(&cfg) ? config_error_file(&cfg) : s->settings,
				   config_error_line(&cfg), config_error_text(&cfg));
	up = r ? NULL : config_lookup(&cfg, "up");
	if (up && config_setting_type(up) != CONFIG_TYPE_GROUP)
		r = bad(s, up, "want a group { name = value; … }", err);
	for (int i = 0; up && r == 0 && i < config_setting_length(up); i++)
		r = apply(s, config_setting_get_elem(up, (unsigned)i), err);
	config_destroy(&cfg);
	return r;
}

int settings_find(struct setup *s, const char *file, struct orlop_error *err)
{
	static const char usual[] = ORLOP_SYSCONF_DIR "/orlop.conf";
	cleanup_free char *full = NULL;
	int r = 0;

	if (file && !strcmp(file, "none"))
		return setup_text(&s->settings, NULL);
	if (file) {
		full = realpath(file, NULL);
		if (!full)
			return orlop_fail(err, errno, 0, "", "settings %s: %s", file, strerrordesc_np(errno));
		r = setup_text(&s->settings, full);
	} else if (!s->settings && s->usual && access(usual, F_OK) == 0) {
		r = setup_text(&s->settings, usual);
	} else if (s->settings && access(s->settings, F_OK) < 0 && errno == ENOENT) {
		/* a package that was removed takes its file along */
		r = setup_text(&s->settings, NULL);
	}
	return r ? orlop_fail(err, ENOMEM, 0, "", "out of memory") : 0;
}
