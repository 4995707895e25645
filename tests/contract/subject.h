/*
 * subject.h - a module under its contract: opened from its file, loaded into the fake host with parameters from
 * the command line, loaded anew after a crash.
 */
#ifndef CONTRACT_SUBJECT_H
#define CONTRACT_SUBJECT_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "support/fakehost.h"

struct subject {
	const char	*title;
	const struct orlop_module *mod;
	char		**params;	/* "name=value", NULL at the end; NULL: none */
	struct fakehost	*fh;
	struct fakehost_module *m;
};

/* The file stays mapped: modules with libraries of their own may not go. False: said. */
static inline bool subject_open(struct subject *s, const char *so, const char *class_name)
{
	void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!dl) {
		fail("%s: %s", s->title, dlerror());
		return false;
	}
	s->mod = dlsym(dl, "orlop_module");
	if (!s->mod || s->mod->magic != ORLOP_MODULE_MAGIC) {
		fail("%s: exports no orlop_module", s->title);
		return false;
	}
	if (strcmp(s->mod->class_name, class_name) != 0) {
		fail("%s: is of the class %s, not %s", s->title, s->mod->class_name, class_name);
		return false;
	}
	return true;
}

static inline void subject_params(struct subject *s)
{
	for (int i = 0; s->params && s->params[i]; i++) {
		const char *eq = strchr(s->params[i], '=');
		char name[64];

		if (!eq)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(eq - s->params[i]), s->params[i]);
		fakehost_param(s->fh, name, eq + 1);
	}
}

static inline bool subject_load(struct subject *s)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (fakehost_load_as(s->fh, s->mod, NULL, &s->m, &err) == 0)
		return true;
	fail("%s: loads (%s)", s->title, err.msg);
	orlop_error_done(&err);
	s->m = NULL;
	return false;
}

/* The leak checker's, if this program has one. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

/* What dies frees nothing: nobody minds what is allocated meanwhile. */
static inline void subject_leaks(bool may)
{
	if (may && __lsan_disable)
		__lsan_disable();
	else if (!may && __lsan_enable)
		__lsan_enable();
}

#endif
