/*
 * fuzz/config.c - fuzz target: an arbitrary configuration file. It is read or refused with a reason; what
 * was read is checked against a table of parameters too.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "config.h"
#include "core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

/* libconfig leaves a string behind when a text is not ended. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig";
}

static const struct orlop_param params[] = {
	{ "path", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "a path" },
	{ "limit", ORLOP_PARAM_INT, 0, "7", "a number" },
	{ "sync", ORLOP_PARAM_BOOL, 0, "true", "a truth" },
};
static const struct orlop_module mod = {
	.name = "fuzz", .class_name = "test", .param_size = sizeof(params[0]), .n_params = 3, .params = params,
};

static void check(const struct core_config_module *m)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_param *values = NULL;

	if (core_config_check("fuzz.conf", m, &mod, &values, &err) == 0) {
		for (uint32_t i = 0; i < mod.n_params; i++)
			omem_free(values[i].value);
		omem_free(values);
	} else if (!err.msg[0]) {
		abort();
	}
	orlop_error_done(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config *c = NULL;
	char path[64];
	int fd;

	/* Other files are not this one's bytes. */
	if (memmem(data, size, "include", 7))
		return 0;
	fd = memfd_create("fuzz.conf", MFD_CLOEXEC);
	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (core_config_read(path, &c, &err) == 0) {
			for (uint32_t i = 0; i < c->n_modules; i++)
				check(&c->modules[i]);
			core_config_free(c);
		} else if (!err.msg[0]) {
			abort();
		}
	}
	orlop_error_done(&err);
	close(fd);
	return 0;
}
