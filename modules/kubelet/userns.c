/*
 * userns.c - each pod with users of its own has 65,536 of the host's that no other pod has.
 *
 * The range is written down in the pod's directory, where it is found again after a restart; one that is written down
 * for any pod that is known is not free.
 * Source: pkg/kubelet/userns (ranges, the file "userns").
 */
#include "security.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/ofile.h"
#include "base/ohash.h"

#define FIRST		65536
#define RANGES		1024

static int64_t range_read(const char *root, const char *uid)
{
	char *path = omem_printf("%s/pods/%s/userns", root, uid);
	struct obuf b = OBUF_INIT;
	struct ojson *j = NULL;
	int64_t first = -1;

	if (path && !ofile_read(AT_FDCWD, path, 4096, &b) && !ojson_parse(obuf_cstr(&b), b.len, &j, NULL))
		first = ojson_get_i64(ojson_index(ojson_get(j, "uidMappings"), 0), "hostId", -1);
	ojson_unref(j);
	obuf_done(&b);
	omem_free(path);
	return first;
}

static void range_write(const char *root, const char *uid, int64_t first)
{
	char *dir = omem_printf("%s/pods/%s", root, uid);
	char *path = omem_printf("%s/pods/%s/userns", root, uid);
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "{\"uidMappings\":[{\"hostId\":%lld,\"containerId\":0,\"length\":%d}],"
		    "\"gidMappings\":[{\"hostId\":%lld,\"containerId\":0,\"length\":%d}]}",
		    (long long)first, USERNS_LENGTH, (long long)first, USERNS_LENGTH);
	if (dir && path && !ofile_mkdir_p(dir, 0750))
		(void)ofile_write(AT_FDCWD, path, obuf_cstr(&b), b.len, 0644);
	obuf_done(&b);
	omem_free(dir);
	omem_free(path);
}

int64_t userns_take(struct pod *p)
{
	struct kubelet *k = p->k;
	uint32_t at;
	uint32_t i;

	if (!security_userns(p->obj))
		return -1;
	if (p->userns > 0)
		return p->userns;
	p->userns = range_read(k->root, p->uid);
	if (p->userns > 0)
		return p->userns;
	at = (uint32_t)ohash_fnv1a64(OHASH_FNV64_INIT, p->uid, strlen(p->uid)) % RANGES;
	for (i = 0; i < RANGES; i++) {
		int64_t first = FIRST + (int64_t)((at + i) % RANGES) * USERNS_LENGTH;
		bool taken = false;

		OMAP_FOREACH(&k->pods, e) {
			struct pod *o = e->value;

			if (o == p || (!o->orphan && !security_userns(o->obj)))
				continue;
			if (!o->userns)
				o->userns = range_read(k->root, o->uid);
			taken |= o->userns == first;
		}
		if (taken)
			continue;
		range_write(k->root, p->uid, first);
		p->userns = first;
		return first;
	}
	p->userns = 0;
	return -1;
}
