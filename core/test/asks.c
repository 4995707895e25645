/* asks= taken apart, and what requests may by it. */
#include "asks.h"

#include <errno.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/otap.h"

static char *text(const char *cstr)
{
	return (char *)(uintptr_t)cstr;
}

static struct core_asks *asks(const char *a, const char *b, const char *c)
{
	char *list[] = { text(a), text(b), text(c), NULL };
	struct core_asks *r = NULL;

	return core_asks_parse(list, &r, NULL) ? NULL : r;
}

static void refused(const char *entry)
{
	char *list[] = { text(entry), NULL };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_asks *r;

	ok(core_asks_parse(list, &r, &err) == -EINVAL, "%s", err.msg);
}

static void put(struct orlop_msgw *w, const char *verb, const char *resource, const char *sub)
{
	orlop_msgw_str(w, ORLOP_API_T_VERB, verb);
	orlop_msgw_str(w, ORLOP_API_T_RESOURCE, resource);
	if (sub)
		orlop_msgw_str(w, ORLOP_API_T_SUBRESOURCE, sub);
}

static int may(struct core_asks *a, const char *verb, const char *resource, const char *sub)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;
	int r;

	orlop_msgw_init(&w, NULL);
	put(&w, verb, resource, sub);
	m = orlop_msgw_msg(&w);
	r = core_asks_may(a, "x/y", ORLOP_API_REQUEST, &m, &err);
	orlop_msgw_done(&w);
	return r;
}

static void said(void)
{
	struct core_asks *a = asks("pods;create;delete", "deployments.apps/status;update", "*;get");
	struct obuf b = OBUF_INIT;

	is_int(may(a, "create", "pods", NULL), 0, "what it says");
	is_int(may(a, "delete", "pods", NULL), 0, "each verb");
	is_int(may(a, "update", "pods", NULL), -EACCES, "no other verb");
	is_int(may(a, "create", "pods", "binding"), -EACCES, "no subresource");
	is_int(may(a, "update", "deployments.apps", "status"), 0, "a subresource that it says");
	is_int(may(a, "update", "deployments.apps", NULL), -EACCES, "not what it is of");
	is_int(may(a, "update", "deployments", "status"), -EACCES, "another group");
	is_int(may(a, "creat", "pods", NULL), -EACCES, "not a part of a word");
	is_int(may(a, "", "", NULL), -EACCES, "nothing");
	is_int(may(a, "get", "secrets", NULL), 0, "a star is every resource");
	is_int(may(a, "get", "pods", "log"), -EACCES, "and no subresource");
	core_asks_put(a, &b);
	is_str(obuf_cstr(&b), "{\"pods;create\":1,\"pods;delete\":1,\"deployments.apps/status;update\":1,\"*;get\":1}",
	       "what was asked is counted");
	obuf_done(&b);
	core_asks_free(a);
	a = asks(NULL, NULL, NULL);
	is_int(may(a, "get", "pods", NULL), -EACCES, "asks= with nothing is nothing");
	core_asks_free(a);
	a = asks("*/scale;get", NULL, NULL);
	is_int(may(a, "get", "deployments.apps", "scale"), 0, "a subresource of all");
	is_int(may(a, "get", "deployments.apps", NULL), -EACCES, "only that");
	core_asks_free(a);
}

static void others(void)
{
	struct core_asks *a = asks("pods;create", NULL, NULL);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;
	uint32_t at;

	orlop_msgw_init(&w, NULL);
	at = orlop_msgw_begin(&w, ORLOP_API_T_REQUEST);
	put(&w, "create", "pods", NULL);
	orlop_msgw_end(&w, at);
	m = orlop_msgw_msg(&w);
	is_int(core_asks_may(a, "x/y", ORLOP_API_BATCH, &m, &err), 0, "a batch");
	at = orlop_msgw_begin(&w, ORLOP_API_T_REQUEST);
	put(&w, "delete", "pods", NULL);
	orlop_msgw_end(&w, at);
	m = orlop_msgw_msg(&w);
	is_int(core_asks_may(a, "x/y", ORLOP_API_BATCH, &m, &err), -EACCES, "all of a batch are looked at");
	is_str(err.msg, "module x/y may not delete pods: its modinfo does not say asks=pods;delete", "the first that may not is named");
	is_int(err.http, 403, "as the API would");
	orlop_msgw_done(&w);

	orlop_msgw_init(&w, NULL);
	put(&w, "create", "pods", NULL);
	put(&w, "delete", "secrets", NULL);
	m = orlop_msgw_msg(&w);
	is_int(core_asks_may(a, "x/y", ORLOP_API_REQUEST, &m, &err), -EACCES, "two requests in one are none");
	orlop_msgw_done(&w);

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "pods");
	orlop_msgw_u64(&w, ORLOP_API_T_VERB, 1);
	m = orlop_msgw_msg(&w);
	is_int(core_asks_may(a, "x/y", ORLOP_API_REQUEST, &m, &err), -EACCES, "a verb that is no text");
	m.body.len -= 3;
	is_int(core_asks_may(a, "x/y", ORLOP_API_REQUEST, &m, &err), -EACCES, "a field that is cut");
	memset(&m, 0, sizeof(m));
	is_int(core_asks_may(a, "x/y", ORLOP_API_REQUEST, &m, &err), -EACCES, "an empty request");
	is_int(core_asks_may(a, "x/y", ORLOP_API_BATCH, &m, &err), 0, "an empty batch asks for nothing");
	is_int(core_asks_may(a, "x/y", ORLOP_API_LEAD, &m, &err), 0, "to lead is no matter of rights");
	orlop_msgw_done(&w);
	core_asks_free(a);
}

int main(void)
{
	said();
	others();
	refused("pods");
	refused("pods;");
	refused("pods;;create");
	refused("pods;create;");
	refused("Pods;create");
	refused("pods/;create");
	refused("po*;create");
	refused("/status;update");
	refused("pods/a/b;get");
	refused(";get");
	refused("");
	return done_testing();
}
