/* The plugin against the fake host: it is asked as the scheduler asks. */
#include <fakehost.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/scheduler-plugin.h>

extern const struct orlop_module orlop_module;

static int n, failed;

static void check(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++n, what);
	failed |= !good;
}

int main(void)
{
	struct fakehost *fh = fakehost_new();
	struct orlop_error err = { .size = sizeof(err) };
	static const char nodes[] = "free\0mine\0theirs";
	struct fakehost_reply reply;
	struct orlop_bytes v, why;
	struct orlop_msgw w;
	struct orlop_msg m;

	fakehost_put(fh, "nodes", "", "free", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	fakehost_put(fh, "nodes", "", "mine", "{\"metadata\":{\"labels\":{\"example.org/reserved-for\":\"shop\"}}}");
	fakehost_put(fh, "nodes", "", "theirs", "{\"metadata\":{\"labels\":{\"example.org/reserved-for\":\"bank\"}}}");
	check(fakehost_load(fh, &orlop_module, &err) == 0, "loads");
	fakehost_run_until_idle(fh);
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_SCHEDULER_PLUGIN_T_NAMESPACE, "shop");
	orlop_msgw_bytes(&w, ORLOP_SCHEDULER_PLUGIN_T_NODES, nodes, sizeof(nodes));
	m = orlop_msgw_msg(&w);
	reply = fakehost_call(fh, "scheduler-plugin", ORLOP_SCHEDULER_PLUGIN_JUDGE, &m);
	orlop_msgw_done(&w);
	check(reply.status == 0, "answers");
	v = orlop_msg_bytes(fakehost_host(fh), &reply.msg, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS);
	why = orlop_msg_bytes(fakehost_host(fh), &reply.msg, ORLOP_SCHEDULER_PLUGIN_T_REASON);
	check(v.len == 12 && memcmp(v.p, "\0\0\0\0" "\x64\0\0\0" "\xff\xff\xff\xff", 12) == 0,
	      "a free node is any other, one's own is best, another's is refused");
	check(why.len == 43 && memcmp(why.p, "node(s) were reserved for another namespace", 43) == 0, "and says why");
	fakehost_reply_done(&reply);
	fakehost_free(fh);
	printf("1..%d\n", n);
	return failed;
}
