/*
 * place.c - where orlopd, the modules and their helper are.
 */
#include "place.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"

/* The directory of this program; the caller frees. */
static char *own_dir(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return omem_strdup(path);
}

static int set(struct place *p, const char *root, const char *orlopd, const char *modules, const char *unpack,
	       const char *contracts)
{
	const char *named = getenv("ORLOP_CONTRACTS");

	p->orlopd = omem_printf("%s%s", root, orlopd);
	p->modules = omem_printf("%s%s", root, modules);
	p->unpack = omem_printf("%s%s", root, unpack);
	p->contracts = named ? omem_strdup(named) : omem_printf("%s%s", root, contracts);
	return p->orlopd && p->modules && p->unpack && p->contracts ? 0 : -ENOMEM;
}

static bool there(const struct place *p)
{
	return access(p->orlopd, X_OK) == 0 && access(p->modules, X_OK) == 0;
}

int place_find(struct place *ret, struct orlop_error *err)
{
	cleanup_free char *dir = own_dir();
	struct place p = { NULL, NULL, NULL, NULL };
	size_t len;

	if (!dir)
		return orlop_fail(err, ENOENT, 0, "", "cannot tell where this program is (/proc/self/exe)");
	if (set(&p, dir, "/orlopd", "/modules", "/libexec/oci-unpack", "/tests/contract") == 0 && there(&p))
		goto found;
	place_done(&p);
	/* Installed; or staged below a DESTDIR, which is then what stands before our own bindir. */
	len = strlen(dir);
	if (len >= strlen(ORLOP_BIN_DIR) && !strcmp(dir + len - strlen(ORLOP_BIN_DIR), ORLOP_BIN_DIR))
		dir[len - strlen(ORLOP_BIN_DIR)] = '\0';
	else
		dir[0] = '\0';
	if (set(&p, dir, ORLOP_SBIN_DIR "/orlopd", ORLOP_MODULE_DIR, ORLOP_MODULE_DIR "/../oci-unpack",
		ORLOP_MODULE_DIR "/../contract") == 0 && there(&p))
		goto found;
	place_done(&p);
	return orlop_fail(err, ENOENT, 0, "", "orlopd and its modules are neither beside this program nor in "
			  ORLOP_SBIN_DIR " and " ORLOP_MODULE_DIR "; build or install all of Orlop");
found:
	*ret = p;
	return 0;
}

void place_done(struct place *p)
{
	omem_free(p->orlopd);
	omem_free(p->modules);
	omem_free(p->unpack);
	omem_free(p->contracts);
	memset(p, 0, sizeof(*p));
}

int place_has_module(const struct place *p, const char *module)
{
	cleanup_free char *path = strchr(module, '/') ? omem_printf("%s/%s.so", p->modules, module) :
		omem_printf("%s/%s/%s.so", p->modules, module, module);

	return path && access(path, R_OK) == 0;
}

char *place_program(const char *name)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char *path = omem_printf("%s/%s", dirs[i], name);

		if (path && access(path, X_OK) == 0)
			return path;
		omem_free(path);
	}
	return NULL;
}
