/* lists.c - lists in pieces and at revisions, watches and what they see. */
#include "base/otap.h"
#include "rig.h"

static void make(struct rig *r, const char *name, const char *label)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"%s\"}},\"data\":{\"k\":\"v\"}}", name, label);
	if (rig_do(r, "create configmaps default", "", body) != 201)
		diag("create %s: %u %s", name, r->code, r->body);
}

static void test_list(struct rig *r)
{
	char query[512], token[400], rv[32];

	for (int i = 0; i < 7; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		make(r, name, i % 2 ? "odd" : "even");
	}
	is_int(rig_do(r, "list configmaps default", "", ""), 200, "list");
	ok(strncmp(r->body, "{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"", 73) == 0, "head");
	is_str(rig_at_path(r, "items.6.metadata.name"), "c6", "seven of them");
	is_str(rig_at_path(r, "items.0.kind"), NULL, "items have no kind");
	is_int(rig_do(r, "list configmaps -", "labelSelector=app%3Dodd", ""), 200, "by label");
	is_str(rig_at_path(r, "items.2.metadata.name"), "c5", "three");
	is_str(rig_at_path(r, "items.3"), NULL, "and no more");
	is_int(rig_do(r, "list configmaps default", "fieldSelector=metadata.name%3Dc3", ""), 200, "by name");
	is_str(rig_at_path(r, "items.0.metadata.name"), "c3", "one");
	is_int(rig_do(r, "list configmaps default", "fieldSelector=metadata.name%3Dc3,metadata.name%3Dc4", ""), 200, "two names");
	is_str(rig_at_path(r, "items"), "[]", "none");

	is_int(rig_do(r, "list configmaps default", "limit=3", ""), 200, "first three");
	is_str(rig_at_path(r, "metadata.remainingItemCount"), "4", "four to come");
	snprintf(token, sizeof(token), "%s", rig_at_path(r, "metadata.continue"));
	snprintf(rv, sizeof(rv), "%s", rig_at_path(r, "metadata.resourceVersion"));
	snprintf(query, sizeof(query), "limit=3&continue=%s", token);
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "next three");
	is_str(rig_at_path(r, "items.0.metadata.name"), "c3", "go on");
	is_str(rig_at_path(r, "metadata.remainingItemCount"), "1", "one to come");

	/* the world goes on; the old list does not */
	make(r, "c35", "odd");
	rig_do(r, "delete configmaps default c4", "", "");
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "next three, later");
	is_str(rig_at_path(r, "metadata.resourceVersion"), rv, "at the old revision");
	is_str(rig_at_path(r, "items.1.metadata.name"), "c4", "with what was there");
	snprintf(token, sizeof(token), "%s", rig_at_path(r, "metadata.continue"));
	snprintf(query, sizeof(query), "limit=3&continue=%s", token);
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "the rest");
	is_str(rig_at_path(r, "items.0.metadata.name"), "c6", "the last");
	is_str(rig_at_path(r, "metadata.continue"), NULL, "and done");
	snprintf(query, sizeof(query), "resourceVersion=%s&resourceVersionMatch=Exact&labelSelector=app%%3Deven", rv);
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "exactly then, by label");
	is_str(rig_at_path(r, "items.3.metadata.name"), "c6", "four even ones");
	is_str(rig_at_path(r, "items.4"), NULL, "not five");
	snprintf(query, sizeof(query), "resourceVersion=%s", rv);
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "not older than then");
	is_str(rig_at_path(r, "items.4.metadata.name"), "c35", "is now");

	r->oldest = fakehost_rev(r->fh);
	snprintf(query, sizeof(query), "limit=3&continue=%s", token);
	is_int(rig_do(r, "list configmaps default", query, ""), 410, "after compaction");
	is_str(rig_at_path(r, "reason"), "Expired", "Expired");
	snprintf(token, sizeof(token), "%s", rig_at_path(r, "metadata.continue"));
	snprintf(query, sizeof(query), "limit=3&continue=%s", token);
	is_int(rig_do(r, "list configmaps default", query, ""), 200, "the token of the error goes on");
	is_str(rig_at_path(r, "items.0.metadata.name"), "c6", "inconsistently");
}

/* ---- watch ---- */

static int n_wakes;

static void woken(void *arg)
{
	(void)arg;
	n_wakes++;
}

/* The next event as text, "" if there is none, "end". */
static const char *next(struct rig *r)
{
	static char buf[8192];
	struct reg_event ev;
	size_t n = 0;
	int k;

	fakehost_run(r->fh);
	k = reg_watch_next(r->watch, &ev);
	if (k == -ENODATA)
		return "end";
	if (k <= 0)
		return "";
	for (uint32_t i = 0; i < ev.n_pieces && n + ev.pieces[i].len < sizeof(buf); i++) {
		memcpy(buf + n, ev.pieces[i].p, ev.pieces[i].len);
		n += ev.pieces[i].len;
	}
	buf[n] = '\0';
	if (n != ev.len)
		strcpy(buf, "(wrong length)");
	reg_event_done(r->watch, &ev);
	return buf;
}

static bool is_event(const char *got, const char *type, const char *name)
{
	char want[128];

	snprintf(want, sizeof(want), "{\"type\":\"%s\",\"object\":{", type);
	if (strncmp(got, want, strlen(want)))
		return false;
	snprintf(want, sizeof(want), "\"name\":\"%s\"", name);
	return strstr(got, want) && got[strlen(got) - 1] == '\n';
}

static void watch(struct rig *r, const char *what, const char *query)
{
	reg_watch_free(r->watch);
	r->watch = NULL;
	is_int(rig_do(r, what, query, ""), 200, "watch %s", query);
	if (r->watch)
		reg_watch_wake(r->watch, woken, NULL);
}

static void test_watch(struct rig *r)
{
	char query[128];
	const char *e;

	rig_do(r, "deletecollection configmaps default", "", "");
	make(r, "w1", "a");
	watch(r, "watch configmaps default", "");
	ok(is_event(next(r), "ADDED", "w1"), "what is there");
	is_str(next(r), "", "then nothing");
	n_wakes = 0;
	make(r, "w2", "a");
	ok(n_wakes == 1, "a change wakes");
	ok(is_event(next(r), "ADDED", "w2"), "added");
	rig_do(r, "merge-patch configmaps default w2", "", "{\"data\":{\"k\":\"x\"}}");
	ok(is_event(next(r), "MODIFIED", "w2"), "modified");
	rig_do(r, "delete configmaps default w2", "", "");
	e = next(r);
	ok(is_event(e, "DELETED", "w2"), "deleted");
	snprintf(query, sizeof(query), "\"resourceVersion\":\"%llu\"", (unsigned long long)fakehost_rev(r->fh));
	ok(strstr(e, query) != NULL, "with the revision of the delete");

	watch(r, "watch configmaps default", "labelSelector=app%3Da&resourceVersion=0");
	ok(is_event(next(r), "ADDED", "w1"), "selected");
	make(r, "w3", "b");
	is_str(next(r), "", "not selected");
	rig_do(r, "merge-patch configmaps default w3", "", "{\"metadata\":{\"labels\":{\"app\":\"a\"}}}");
	ok(is_event(next(r), "ADDED", "w3"), "enters");
	rig_do(r, "merge-patch configmaps default w3", "", "{\"metadata\":{\"labels\":{\"app\":\"c\"}}}");
	e = next(r);
	ok(is_event(e, "DELETED", "w3"), "leaves");
	ok(strstr(e, "\"app\":\"a\"") != NULL, "in its old state");
	snprintf(query, sizeof(query), "\"resourceVersion\":\"%llu\"", (unsigned long long)r->rev);
	ok(strstr(e, query) != NULL, "with the new revision");

	snprintf(query, sizeof(query), "resourceVersion=%llu", (unsigned long long)r->rev - 1);
	watch(r, "watch configmaps default", query);
	ok(is_event(next(r), "MODIFIED", "w3"), "from a revision");
	is_str(next(r), "", "and no more");

	watch(r, "watch configmaps default", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=100");
	ok(is_event(next(r), "ADDED", "w1"), "state");
	ok(is_event(next(r), "ADDED", "w3"), "all of it");
	e = next(r);
	ok(!strncmp(e, "{\"type\":\"BOOKMARK\"", 18) && strstr(e, "\"k8s.io/initial-events-end\":\"true\""), "bookmark");
	is_str(next(r), "", "then nothing");
	make(r, "w4", "a");
	ok(is_event(next(r), "ADDED", "w4"), "change");
	rig_do(r, "create secrets default", "", "{\"metadata\":{\"name\":\"s\"}}");
	is_str(next(r), "", "not ours");
	n_wakes = 0;
	fakehost_advance(r->fh, 61 * FAKEHOST_S);
	ok(n_wakes > 0, "the minute wakes");
	ok(!strncmp(next(r), "{\"type\":\"BOOKMARK\"", 18), "bookmark");
	is_str(next(r), "", "one");
	fakehost_advance(r->fh, 61 * FAKEHOST_S);
	ok(!strncmp(next(r), "{\"type\":\"BOOKMARK\"", 18), "time is up: a last bookmark, though nothing passed");
	is_str(next(r), "end", "and the end");

	watch(r, "table:watch configmaps default", "resourceVersion=0");
	e = next(r);
	ok(strstr(e, "\"kind\":\"Table\"") && strstr(e, "\"columnDefinitions\":[{"), "table with columns");
	e = next(r);
	ok(strstr(e, "\"kind\":\"Table\"") && strstr(e, "\"columnDefinitions\":[]"), "then without");
	watch(r, "meta:watch configmaps default w1", "");
	e = next(r);
	ok(is_event(e, "ADDED", "w1") && strstr(e, "PartialObjectMetadata") && !strstr(e, "\"data\""), "metadata of one");
	is_str(next(r), "", "only of it");
	reg_watch_drain(r->watch);
	is_str(next(r), "end", "drained");

	watch(r, "watch configmaps default", "");
	while (next(r)[0])
		;
	fakehost_relist(r->fh);
	rig_do(r, "merge-patch configmaps default w1", "", "{\"data\":{\"z\":\"x\"}}");
	e = next(r);
	ok(strstr(e, "\"type\":\"ERROR\"") && strstr(e, "\"code\":410"), "a lost cursor is 410");
	is_str(next(r), "end", "and the end");
	is_int(rig_do(r, "watch configmaps default", "resourceVersion=99999999", ""), 504, "watch from the future");
	is_int(rig_do(r, "watch configmaps default", "sendInitialEvents=true", ""), 422, "sendInitialEvents needs a match");
}

int main(void)
{
	struct rig *r = rig_new();

	is_int(rig_boot(r), 0, "bootstrap");
	test_list(r);
	test_watch(r);
	is_int(reg_shard_busy(r->sh), 0, "nothing is left in flight");
	rig_free(r);
	return done_testing();
}
