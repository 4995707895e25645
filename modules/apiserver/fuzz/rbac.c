/*
 * Fuzz target of roles and bindings: whatever objects come and go, decisions end and nothing is left.
 *
 * Input: lines. First byte: the resource; second: the name; the rest: members of the object, none: it goes.
 */
#include "auth/rbac.h"

#include "json/oscan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void on_rule(void *arg, int path, const char *json)
{
	(void)path;
	if (oscan_check(json, strlen(json), 32, NULL, NULL) < 0)
		abort();
	++*(unsigned int *)arg;
}

static void ask(const struct rbac *x)
{
	struct orlop_bytes groups[] = { text("g"), text("") };
	struct orlop_identity who = { .size = sizeof(who), .user = text("system:serviceaccount:a:b"), .groups = groups, .n_groups = 2 };
	struct reg_attrs at = { .verb = text("get"), .resource = text("pods"), .sub = text("log"), .ns = text("a"), .name = text("n") };
	struct reg_attrs path = { .verb = text("get"), .path = text("/x/y") };
	unsigned int n = 0;
	char why[64];

	for (int i = 0; i < 2; i++) {
		int ok = rbac_allows(x, &who, i ? &path : &at, NULL, NULL, NULL);

		rbac_reason(x, &who, i ? &path : &at, ok, why, sizeof(why));
	}
	rbac_rules(x, &who, text("a"), on_rule, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;
	struct rbac *x;

	if (rbac_new(NULL, &x))
		return 0;
	while (end - p > 2) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;
		unsigned int r = (unsigned char)p[0] % RBAC_N_RESOURCES;
		bool wide = r == RBAC_CLUSTER_ROLES || r == RBAC_CLUSTER_BINDINGS;

		if (stop - p >= 2) {
			struct orlop_bytes json = { stop - p > 2 ? p + 2 : NULL, (size_t)(stop - p - 2) };

			(void)rbac_put(x, r, text(wide ? "" : "a"), (struct orlop_bytes){ p + 1, 1 }, json);
			ask(x);
		}
		p = nl ? nl + 1 : end;
	}
	rbac_free(x);
	return 0;
}
