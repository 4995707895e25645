/*
 * storage_core.c - the class storage through the real core, over a bus that loses, doubles and
 * reorders: nothing is applied twice, everything is answered, also while the module goes.
 */
#include <fcntl.h>

#include "../../core/test/kit.h"

#include <orlop/storage.h>

#define ROUNDS		300
#define CLIENTS		16

struct client {
	struct core	*c;
	int		i;
	int		left;		/* increments to do */
	uint64_t	rev;		/* of the counter as we know it */
	int		value;
	int		done;		/* increments applied */
	int		lost;		/* compares that did not hold */
	int		unknown;	/* -ECONNRESET */
	int		failed;		/* anything else */
	bool		busy;
};

static void client_next(struct client *cl);

static void read_item(struct client *cl, struct orlop_bytes items)
{
	struct orlop_storage_item it;
	char text[32];

	if (items.len < sizeof(it))
		return;
	memcpy(&it, items.p, sizeof(it));
	cl->rev = it.mod_rev;
	(void)snprintf(text, sizeof(text), "%.*s", (int)it.value_len,
		       items.p + sizeof(it) + it.key_len);
	cl->value = atoi(text);
}

static void answered(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct client *cl = arg;

	(void)err;
	(void)flags;
	cl->busy = false;
	if (status == -ECONNRESET) {
		cl->unknown++;
		return;
	}
	if (status) {
		cl->failed++;
		return;
	}
	if (orlop_msg_u64(msg, ORLOP_STORAGE_T_OK, 0)) {
		cl->rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
		cl->value++;
		cl->done++;
		cl->left--;
	} else {
		cl->lost++;
		read_item(cl, orlop_msg_bytes(&cl->c->self->shards[0].host, msg,
					      ORLOP_STORAGE_T_ITEMS));
	}
	if (cl->left)
		client_next(cl);
}

/* Add one to the counter as we know it; who is late is shown what it is now. */
static void client_next(struct client *cl)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_STORAGE_TXN, .to = "storage",
				   .timeout_ns = KIT_ASK_NS };
	struct orlop_msgw w;
	char text[32];
	uint32_t at;

	orlop_msgw_init(&w, NULL);
	at = orlop_msgw_begin(&w, ORLOP_STORAGE_T_COMPARE);
	orlop_msgw_str(&w, ORLOP_STORAGE_T_KEY, "counter");
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_MOD_REV, cl->rev);
	orlop_msgw_end(&w, at);
	at = orlop_msgw_begin(&w, ORLOP_STORAGE_T_OP);
	(void)snprintf(text, sizeof(text), "%d", cl->value + 1);
	orlop_msgw_str(&w, ORLOP_STORAGE_T_KEY, "counter");
	orlop_msgw_str(&w, ORLOP_STORAGE_T_VALUE, text);
	orlop_msgw_end(&w, at);
	send.msg = orlop_msgw_msg(&w);
	if (core_link_request(cl->c->self->shards[0].link, &send, answered, cl, NULL))
		cl->failed++;
	else
		cl->busy = true;
	orlop_msgw_done(&w);
}

static bool idle(const struct client *cl, int n)
{
	while (n--)
		if (cl[n].busy)
			return false;
	return true;
}

static int increments(const struct client *cl)
{
	int n = 0;

	for (int i = 0; i < CLIENTS; i++)
		n += cl[i].done;
	return n;
}

/* Until every client ends. Each of a few increments has its time, not all of them. */
static bool all_end(struct core *c, const struct client *cl)
{
	do {
		int n = increments(cl) + CLIENTS;

		if (!kit_until(c->main, idle(cl, CLIENTS) || increments(cl) >= n))
			return false;
	} while (!idle(cl, CLIENTS));
	return true;
}

static void subject_run(const char *title, const char *so, const char *path)
{
	struct client cl[CLIENTS] = { 0 };
	struct client last = { 0 };
	struct kit_load l;
	struct kit_load going = { 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core *c = kit_core();
	int done = 0;
	int lost = 0;
	int unknown = 0;
	int failed = 0;
	int i;

	if (!ok(!kit_load_as(c, so, NULL, path ? "path" : NULL, path, &l), "%s: loads %s", title, l.msg)) {
		(void)kit_end(c);
		return;
	}
	for (i = 0; i < CLIENTS; i++) {
		cl[i].c = c;
		cl[i].i = i;
		cl[i].left = ROUNDS / CLIENTS;
		client_next(&cl[i]);
	}
	ok(all_end(c, cl), "%s: every client ends", title);
	done = increments(cl);
	for (i = 0; i < CLIENTS; i++) {
		lost += cl[i].lost;
		failed += cl[i].failed + cl[i].unknown;
	}
	is_int(failed, 0, "%s: every transaction is answered", title);
	is_int(done, ROUNDS / CLIENTS * CLIENTS, "%s: increments told (%d compares lost)", title, lost);
	last.c = c;
	last.left = 2;		/* the first reads, by losing */
	client_next(&last);
	ok(kit_until(c->main, !last.busy), "%s: once more", title);
	is_int(last.value, done + 2, "%s: none was applied twice or lost", title);

	/* It goes while they write: each is answered, or told that the outcome is unknown. */
	for (i = 0; i < CLIENTS; i++) {
		cl[i].left = 1000000;
		cl[i].done = 0;
		client_next(&cl[i]);
	}
	(void)kit_until(c->main, cl[0].done + cl[1].done + cl[2].done > 2);
	is_int(core_loader_unload(c, path ? "storage/lmdb" : "storage/memory", kit_loaded, &going, &err), 0,
	       "%s: is told to go (%s)", title, err.msg);
	/* no new ones, so that it ends */
	for (i = 0; i < CLIENTS; i++)
		cl[i].left = 1;
	ok(kit_until(c->main, going.done), "%s: goes", title);
	is_int(going.status, 0, "%s: in order %s", title, going.msg);
	ok(kit_end(c), "%s: and all ends", title);
	for (i = 0; i < CLIENTS; i++)
		unknown += cl[i].unknown;
	diag("%s: %d unknown", title, unknown);
}

int main(void)
{
	const char *builddir = getenv("builddir");
	char dir[] = "/tmp/orlop-core-XXXXXX";
	char so[450];
	char path[64];

	if (!mkdtemp(dir))
		return 2;
	if (!builddir)
		builddir = ".";
	if (setenv("KIT_LOSS", "20", 0))
		return 2;
	(void)snprintf(so, sizeof(so), "%s/modules/storage/memory.so", builddir);
	subject_run("memory", so, NULL);
	(void)snprintf(so, sizeof(so), "%s/modules/storage/lmdb.so", builddir);
	(void)snprintf(path, sizeof(path), "%s/db", dir);
	if (access(so, F_OK))
		otap_skip("lmdb is not built", 1);
	else
		subject_run("lmdb", so, path);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
