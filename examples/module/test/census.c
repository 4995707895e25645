/*
 * The module against the fake host: it counts what is there, follows changes, and is right again
 * after it fell behind. No daemon, no network, no waiting.
 */
#include <fakehost.h>
#include <stdio.h>

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

	fakehost_put(fh, "pods", "default", "a", NULL);
	check(fakehost_load(fh, &orlop_module, &err) == 0, "loads");
	check(fakehost_is_ready(fh, NULL), "is ready");
	fakehost_put(fh, "pods", "default", "b", NULL);
	fakehost_run_until_idle(fh);
	check(fakehost_logged(fh, "resource=pods count=2") == 1, "counts one more");
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_delete(fh, "pods", "default", "b");
	fakehost_run_until_idle(fh);
	check(fakehost_logged(fh, "count=0") == 1, "counts down");
	fakehost_lose_notes(fh, 1);
	fakehost_put(fh, "pods", "default", "c", NULL);
	fakehost_run_until_idle(fh);
	check(fakehost_logged(fh, "count=1") == 1, "a lost note does no harm");
	fakehost_relist(fh);
	fakehost_put(fh, "pods", "default", "d", NULL);
	fakehost_run_until_idle(fh);
	check(fakehost_logged(fh, "count=2") == 2, "is right after falling behind");
	fakehost_free(fh);
	printf("1..%d\n", n);
	return failed;
}
