/* define.h - the parts of what makes a definition valid. */
#ifndef OLIB_CRD_DEFINE_H
#define OLIB_CRD_DEFINE_H

#include "crd/ocrd.h"

/* versions.c: the versions one by one; then what all of them have alike, which upstream keeps once, beside them. */
void define_versions(const struct ojson *spec, ocrd_report_fn fn, void (*warn)(void *arg, const char *text), void *arg);
void define_shared(const struct ojson *spec, ocrd_report_fn fn, void (*warn)(void *arg, const char *text), void *arg);

#endif
