/* profiles.c - the profiles of this scheduler from its parameters. */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"

void sd_profiles_done(struct sd *s)
{
	for (uint32_t i = 0; i < s->n_profiles; i++)
		sd_profile_done(&s->profiles[i]);
	omem_free(s->profiles);
	s->profiles = NULL;
	s->n_profiles = 0;
}

const struct sd_profile *sd_profile_for(const struct sd *s, struct orlop_bytes name)
{
	for (uint32_t i = 0; i < s->n_profiles; i++)
		if (ostr_eq(s->profiles[i].name.p, s->profiles[i].name.len, name.p, name.len))
			return &s->profiles[i];
	return NULL;
}

int sd_profiles_check(const char *text, struct orlop_bytes *ret, struct orlop_error *err)
{
	struct orlop_bytes v = { text, strlen(text) };
	struct oscan_error e;

	if (!v.len) {
		*ret = (struct orlop_bytes){ "[]", 2 };
		return 0;
	}
	if (oscan_check(v.p, v.len, OSCAN_DEPTH_MAX, ret, &e))
		return orlop_fail(err, EINVAL, 0, "", "profiles: %s", e.msg);
	if (oscan_type(*ret) != OSCAN_ARRAY)
		return orlop_fail(err, EINVAL, 0, "", "profiles: want a JSON array of profiles");
	return 0;
}

/* The first is named by the parameter name; one in the list of the same name changes it. */
int sd_profiles_read(struct sd *s, struct orlop_error *err)
{
	struct orlop_bytes list, name = { s->name, strlen(s->name) }, own = name, v;
	struct oscan_iter it;
	char why[160] = "";
	int r = sd_profiles_check(s->h->param(s->h, "profiles"), &list, err);

	if (r)
		return r;
	s->profiles = omem_zalloc_array(oscan_count(list) + 1, sizeof(*s->profiles));
	if (!s->profiles)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	sd_profile_init(&s->profiles[s->n_profiles++], own);
	for (oscan_begin(&it, list); oscan_next(&it) > 0;) {
		struct sd_profile *p = &s->profiles[0];

		if (oscan_get(it.value, "schedulerName", &v) && !oscan_string_is(v, name.p, name.len)) {
			p = &s->profiles[s->n_profiles++];
			sd_profile_init(p, (struct orlop_bytes){ "", 0 });
		}
		r = sd_profile_read(p, it.value, why, sizeof(why));
		if (!p->name.len)
			p->name = name;
		if (r)
			return orlop_fail(err, -r, 0, "", "profiles: %s", r == -ENOMEM ? "no memory" : why);
		for (uint32_t i = 0; p != &s->profiles[0] && i + 1 < s->n_profiles; i++)
			if (ostr_eq(s->profiles[i].name.p, s->profiles[i].name.len, p->name.p, p->name.len))
				return orlop_fail(err, EINVAL, 0, "", "profiles: %.*s stands twice", (int)p->name.len,
						  p->name.p);
	}
	return 0;
}
