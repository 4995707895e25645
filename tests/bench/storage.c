/*
 * storage.c - durable puts through the real core: bus, storage/lmdb, disk; beside what the disk allows.
 *
 *	tests/bench/storage [DIR]
 *
 * One client waits for each answer; a hundred have one put outstanding each. The floor is measured in
 * the same run on the same file system: 4 KiB written and fdatasync'ed, one after the other. One put
 * needs two syncs (pages, then the meta page), so 0.5 is the best one client can get; with many the
 * group shares them. DIR: where the database lies (default: here).
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "../../core/test/kit.h"
#include "times.h"

#include <orlop/storage.h>

#define SECONDS		2u
#define VALUE		1024u
#define MOST		1000000u
#define FLOOR_N		400u

struct run {
	struct core	*c;
	uint32_t	n;		/* answered */
	uint32_t	next;
	uint32_t	outstanding;
	uint32_t	failed;
	uint64_t	until;
	uint64_t	*ns;		/* per put */
	char		value[VALUE];
};

struct client {
	struct run	*r;
	uint64_t	t0;
};

static void client_next(struct client *cl);

static void answered(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct client *cl = arg;
	struct run *r = cl->r;

	(void)flags;
	if (status || orlop_msg_u64(msg, ORLOP_STORAGE_T_OK, 0) != 1) {
		if (!r->failed++)
			printf("# %s\n", err ? err->msg : "a put was not applied");
	} else if (r->n < MOST) {
		r->ns[r->n++] = core_now_mono() - cl->t0;
	}
	r->outstanding--;
	if (core_now_mono() < r->until && !r->failed)
		client_next(cl);
}

static void client_next(struct client *cl)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_STORAGE_TXN, .to = "storage",
				   .timeout_ns = 30 * KIT_SECOND };
	struct run *r = cl->r;
	struct orlop_msgw w;
	char key[64];
	uint32_t at;

	snprintf(key, sizeof(key), "configmaps/default/object-%08u", r->next++ % 20000);
	orlop_msgw_init(&w, NULL);
	at = orlop_msgw_begin(&w, ORLOP_STORAGE_T_OP);
	orlop_msgw_str(&w, ORLOP_STORAGE_T_KEY, key);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_VALUE, r->value, sizeof(r->value));
	orlop_msgw_end(&w, at);
	send.msg = orlop_msgw_msg(&w);
	cl->t0 = core_now_mono();
	if (core_link_request(r->c->self->shards[0].link, &send, answered, cl, NULL))
		r->failed++;
	else
		r->outstanding++;
	orlop_msgw_done(&w);
}

/* Writes a second that the disk makes durable, one after the other. */
static double floor_rate(const char *dir)
{
	char name[512];
	char page[4096];
	uint64_t t0;
	uint32_t i;
	int fd;

	snprintf(name, sizeof(name), "%s/floor", dir);
	memset(page, 'f', sizeof(page));
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (i = 0; fd >= 0 && i < 256; i++)
		if (pwrite(fd, page, sizeof(page), (off_t)i * 4096) < 0)
			return 0;
	if (fd < 0 || fsync(fd))
		return 0;
	t0 = core_now_mono();
	for (i = 0; i < FLOOR_N; i++)
		if (pwrite(fd, page, sizeof(page), (off_t)(i % 256) * 4096) < 0 || fdatasync(fd))
			return 0;
	t0 = core_now_mono() - t0;
	(void)close(fd);
	(void)unlink(name);
	return FLOOR_N * 1e9 / (double)t0;
}

static int measure(struct core *c, const char *dir, uint32_t n_clients, const char *self,
		   const char *where)
{
	struct client clients[100];
	struct run r = { .c = c };
	double before = floor_rate(dir);
	double after;
	double rate;
	uint64_t t0;
	uint32_t i;

	memset(r.value, 'v', sizeof(r.value));
	r.ns = malloc(MOST * sizeof(*r.ns));
	t0 = core_now_mono();
	r.until = t0 + SECONDS * KIT_SECOND;
	for (i = 0; i < n_clients; i++) {
		clients[i].r = &r;
		client_next(&clients[i]);
	}
	while (r.outstanding)
		core_loop_turn(c->main, true);
	rate = r.n * 1e9 / (double)(core_now_mono() - t0);
	after = floor_rate(dir);
	times_sort(r.ns, r.n);
	if (r.n && !r.failed)
		printf("{\"name\":\"storage/lmdb put\",\"clients\":%u,\"value_bytes\":%u,\"per_second\":%.0f,"
		       "\"p50_us\":%.0f,\"p99_us\":%.0f,\"n\":%u,\"floor_fdatasync_per_second\":%.0f,"
		       "\"ratio\":%.2f,\"command\":\"%s %s\"}\n", n_clients, VALUE, rate,
		       (double)r.ns[r.n / 2] / 1e3, (double)r.ns[r.n * 99ull / 100] / 1e3, r.n,
		       (before + after) / 2, rate / ((before + after) / 2), self, where);
	free(r.ns);
	return r.n && !r.failed ? 0 : 1;
}

int main(int argc, char **argv)
{
	const char *builddir = getenv("builddir");
	struct kit_load l;
	struct core *c;
	char dir[512];
	char so[480];
	char path[600];
	int bad = 0;

	snprintf(dir, sizeof(dir), "%s/orlop-bench-XXXXXX", argc > 1 ? argv[1] : ".");
	if (!mkdtemp(dir)) {
		fprintf(stderr, "%s: cannot make %s\n", argv[0], dir);
		return 1;
	}
	snprintf(so, sizeof(so), "%s/modules/storage/lmdb.so", builddir ? builddir : ".");
	snprintf(path, sizeof(path), "%s/db", dir);
	c = kit_core();
	if (kit_load_as(c, so, NULL, "path", path, &l)) {
		printf("# storage/lmdb: %s\n", l.msg);
		bad = 1;
	} else {
		bad |= measure(c, dir, 1, "tests/bench/storage", argc > 1 ? argv[1] : ".");
		bad |= measure(c, dir, 100, "tests/bench/storage", argc > 1 ? argv[1] : ".");
	}
	bad |= !kit_end(c);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return bad;
}
