/*
 * host.c - the simulation host keeps its own promises: the same seed is the same run, a crash loses memory and
 * nothing else, a power cut exactly what was not synced, a cut ends, a pause stands still.
 *
 *	host			the tests
 *	host --hash SEED	a small run; prints its hash (the tests start themselves so, in other address spaces)
 */
#include "../inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/otap.h"

static const struct sim_module store[] = {
	{ "storage/lmdb", NULL, "path=$dir/disk/data.mdb;map_mb=32" },
};
static const struct sim_module both[] = {
	{ "storage/lmdb", NULL, "path=$dir/disk/data.mdb;map_mb=32" },
	{ "apiserver", NULL, "cert=$pki/server.crt;key=$pki/server.key;sa_key=$pki/sa.key" },
};

/* ---- a client that makes ConfigMaps -------------------------------------------------------------------- */

#define OBJECTS_MAX	200

struct client {
	struct sim	*w;
	struct sim_proc	*p;
	uint32_t	sent;
	uint32_t	answered;
	uint32_t	acked;
	uint32_t	unknown;
	uint32_t	max;
	bool		acks[OBJECTS_MAX];
	bool		got;
	uint32_t	code;
	int32_t		status;
};

struct one {
	struct client	*c;
	uint32_t	n;
};

static void create(struct client *c);

static void created(void *arg, int32_t status, uint32_t code, struct orlop_bytes body, uint64_t rev)
{
	struct one *o = arg;
	struct client *c = o->c;

	(void)body;
	(void)rev;
	c->answered++;
	c->status = status;
	c->code = code;
	if (status == 0 && code == 201) {
		c->acks[o->n] = true;
		c->acked++;
	} else if (status) {
		c->unknown++;
	}
	free(o);
	if (c->sent < c->max)
		create(c);
}

static void create(struct client *c)
{
	struct one *o = malloc(sizeof(*o));
	struct sim_request r = { .verb = "create", .resource = "configmaps", .ns = "default", .timeout_ns = 3 * SIM_S };
	char body[100];

	o->c = c;
	o->n = c->sent++;
	(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c%u\"},\"data\":{\"n\":\"%u\"}}", o->n, o->n);
	r.body = body;
	sim_api(c->w, c->p, &r, created, o);
}

static void fetched(void *arg, int32_t status, uint32_t code, struct orlop_bytes body, uint64_t rev)
{
	struct client *c = arg;

	(void)body;
	(void)rev;
	c->got = true;
	c->status = status;
	c->code = code;
}

static bool is_got(void *arg)
{
	return ((struct client *)arg)->got;
}

static uint32_t fetch(struct client *c, uint32_t n)
{
	struct sim_request r = { .verb = "get", .resource = "configmaps", .ns = "default", .timeout_ns = 10 * SIM_S };
	char name[20];

	(void)snprintf(name, sizeof(name), "c%u", n);
	r.name = name;
	c->got = false;
	sim_api(c->w, c->p, &r, fetched, c);
	(void)sim_run(c->w, is_got, c, 0, 2000000);
	return c->code;
}

static bool is_ready(void *arg)
{
	return sim_ready(arg);
}

static bool is_done(void *arg)
{
	struct client *c = arg;

	return c->answered == c->max;
}

static struct sim *world(uint64_t seed)
{
	struct sim *w;

	if (sim_new(&(struct sim_config){ .seed = seed }, &w))
		abort();
	return w;
}

static struct sim_proc *control_plane(struct sim *w, uint32_t loss)
{
	struct sim_proc *p = sim_proc_add(w, &(struct sim_proc_spec){ .name = "cp", .modules = both, .n_modules = 2,
						.loss_percent = loss, .dup_percent = loss, .reorder_percent = loss });

	if (sim_run(w, is_ready, p, 60 * SIM_S, 1000000) != 1)
		printf("# not ready\n");
	return p;
}

/* ---- the same seed ----------------------------------------------------------------------------------------- */

static uint64_t small_run(uint64_t seed)
{
	struct client c = { .max = 20 };
	uint64_t hash;

	c.w = world(seed);
	c.p = control_plane(c.w, 5);
	create(&c);
	create(&c);
	(void)sim_run(c.w, NULL, NULL, sim_now(c.w) + 300 * SIM_MS, 0);
	sim_power_off(c.p);
	sim_start(c.p);
	(void)sim_run(c.w, is_done, &c, 60 * SIM_S, 1000000);
	hash = sim_hash(c.w);
	sim_free(c.w);
	return hash;
}

static uint64_t elsewhere(const char *self, uint64_t seed)
{
	char cmd[300];
	char line[64] = "";
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd), "%s --hash %llu", self, (unsigned long long)seed);
	f = popen(cmd, "r");
	if (!f || !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		(void)pclose(f);
	return strtoull(line, NULL, 16);
}

static void test_same(const char *self)
{
	uint64_t a = small_run(1);

	ok(a == small_run(1), "the same seed is the same run");
	ok(a != small_run(2), "another seed is another");
	ok(a == elsewhere(self, 1), "the same in another process");
	ok(elsewhere(self, 7) == elsewhere(self, 7), "with other addresses, twice");
}

/* ---- the disk ------------------------------------------------------------------------------------------------- */

#define SECTORS		64u

struct writer {
	struct sim_proc	*p;
	bool		synced;
	bool		done;
};

static void fill(unsigned char *b, int c)
{
	memset(b, c, SECTORS * 512);
}

/* A: written and synced. B: over the first half, not synced. C: one sector through O_DSYNC. */
static void *writes(void *arg)
{
	struct writer *v = arg;
	static unsigned char b[SECTORS * 512];
	char path[300];
	int fd;
	int sync;

	(void)snprintf(path, sizeof(path), "%s/disk", sim_dir(v->p));
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/disk/f", sim_dir(v->p));
	fd = open(path, O_RDWR | O_CREAT, 0600);
	fill(b, 'A');
	(void)!pwrite(fd, b, sizeof(b), 0);
	v->synced = fdatasync(fd) == 0;
	fill(b, 'B');
	(void)!pwrite(fd, b, sizeof(b) / 2, 0);
	sync = open(path, O_RDWR | O_DSYNC);
	fill(b, 'C');
	(void)!pwrite(sync, b, 512, 512);
	v->done = true;
	return NULL;
}

static bool writes_done(void *arg)
{
	return ((struct writer *)arg)->done;
}

static int after(uint64_t seed, bool power, bool lies, char ret[SECTORS])
{
	struct writer v = { NULL, false, false };
	struct sim *w = world(seed);
	char path[300];
	unsigned char b[SECTORS * 512];
	ssize_t n;
	int fd;

	v.p = sim_proc_add(w, &(struct sim_proc_spec){ .name = "m", .modules = store, .n_modules = 0 });
	sim_disk(v.p)->lies = lies;
	(void)sim_thread_new(v.p, "writer", writes, &v);
	(void)sim_run(w, writes_done, &v, 10 * SIM_S, 0);
	if (power)
		sim_power_off(v.p);
	else
		sim_crash(v.p);
	(void)snprintf(path, sizeof(path), "%s/disk/f", sim_dir(v.p));
	fd = open(path, O_RDONLY);
	memset(b, '-', sizeof(b));
	n = read(fd, b, sizeof(b));
	(void)close(fd);
	for (uint32_t i = 0; i < SECTORS; i++) {
		ret[i] = (char)b[i * 512];
		for (uint32_t k = 1; k < 512; k++)
			if (b[i * 512 + k] != b[i * 512])
				ret[i] = '?';
	}
	sim_free(w);
	return (int)n;
}

static void test_disk(void)
{
	uint32_t lost = 0;
	uint32_t kept = 0;
	uint32_t lied = 0;
	bool whole = true;
	bool dsync = true;
	bool synced = true;
	char s[SECTORS];

	(void)after(1, false, false, s);
	ok(s[0] == 'B' && s[1] == 'C' && s[2] == 'B' && s[SECTORS - 1] == 'A', "a crash of the process loses nothing of a file");
	for (uint64_t seed = 1; seed <= 40; seed++) {
		(void)after(seed, true, false, s);
		for (uint32_t i = 0; i < SECTORS; i++) {
			whole &= s[i] != '?';
			if (i == 1)
				dsync &= s[i] == 'C';
			else if (i >= SECTORS / 2)
				synced &= s[i] == 'A';
			else if (s[i] == 'A')
				lost++;
			else
				kept += s[i] == 'B';
		}
		(void)after(seed, true, true, s);
		lied += s[SECTORS - 1] != 'A';
	}
	ok(synced, "the power takes nothing that was synced");
	ok(dsync, "nor what was written through O_DSYNC");
	ok(whole && lost > 200 && kept > 200, "of the rest any part, in sectors (%u lost, %u kept)", lost, kept);
	ok(lied > 10, "a disk that lies loses what it said it had (%u of 40)", lied);
}

/* What the API acknowledged is there after the power was cut at any moment. */
static void test_acknowledged(void)
{
	uint32_t acked = 0;
	uint32_t missing = 0;
	uint32_t cut_short = 0;

	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct client c = { .max = 60 };

		c.w = world(seed);
		c.p = control_plane(c.w, 0);
		create(&c);
		create(&c);
		create(&c);
		(void)sim_run(c.w, NULL, NULL, 0, 200 + sim_below(c.w, 600));
		cut_short += c.answered < c.max;
		sim_power_off(c.p);
		/* Those that are under way are over: no more are sent. */
		c.max = c.sent;
		(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 60 * SIM_S, 0);
		sim_start(c.p);
		(void)sim_run(c.w, is_ready, c.p, sim_now(c.w) + 60 * SIM_S, 0);
		for (uint32_t i = 0; i < c.sent; i++) {
			acked += c.acks[i];
			if (c.acks[i] && fetch(&c, i) != 200)
				missing++;
		}
		sim_free(c.w);
	}
	ok(missing == 0 && acked > 50 && cut_short > 6, "power cuts lose nothing acknowledged (%u writes, %u missing)", acked,
	   missing);
}

/* ---- the network, time -------------------------------------------------------------------------------------------- */

static void test_cut(void)
{
	struct client c = { .max = 1 };
	struct sim_proc *api;
	struct sim_proc *st;
	uint64_t t0;

	c.w = world(3);
	st = sim_proc_add(c.w, &(struct sim_proc_spec){ .name = "store", .modules = store, .n_modules = 1 });
	api = sim_proc_add(c.w, &(struct sim_proc_spec){ .name = "api", .modules = both + 1, .n_modules = 1,
							 .storage_at = "store" });
	c.p = api;
	ok(sim_run(c.w, is_ready, api, 60 * SIM_S, 1000000) == 1, "an API server on a storage elsewhere");
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 10 * SIM_S, 0);
	ok(c.acked == 1, "it writes");
	sim_cut(c.w, api, st, true);
	c.max = 2;
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 40 * SIM_S, 0);
	ok(c.answered == 2 && c.acked == 1, "not while they are cut (%d, %u)", c.status, c.code);
	sim_cut(c.w, api, st, false);
	(void)sim_run(c.w, NULL, NULL, sim_now(c.w) + 20 * SIM_S, 0);
	c.max = 3;
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 20 * SIM_S, 0);
	ok(c.acked == 2, "but afterwards (%d, %u)", c.status, c.code);

	sim_pause(api, 40 * SIM_S);
	t0 = sim_now(c.w);
	c.max = 4;
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 20 * SIM_S, 0);
	ok(c.status == -ETIMEDOUT && sim_now(c.w) - t0 < 5 * SIM_S, "a process that pauses does not answer");
	(void)sim_run(c.w, NULL, NULL, t0 + 60 * SIM_S, 0);
	c.max = 5;
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 20 * SIM_S, 0);
	ok(c.acked == 3 && sim_life(api) == 1, "and goes on");

	sim_crash(api);
	ok(!sim_running(api) && !sim_host(api), "a crash leaves nothing");
	c.max = 6;
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 20 * SIM_S, 0);
	ok(c.status == -EHOSTUNREACH, "nobody answers");
	sim_start(api);
	(void)sim_run(c.w, is_ready, api, sim_now(c.w) + 60 * SIM_S, 0);
	ok(sim_life(api) == 2 && fetch(&c, 0) == 200, "its next life finds what is stored");
	sim_stop(api);
	sim_stop(st);
	(void)sim_run(c.w, NULL, NULL, sim_now(c.w) + 60 * SIM_S, 0);
	ok(!sim_running(api) && !sim_running(st), "an orderly end");
	sim_free(c.w);
}

static void test_loss(void)
{
	struct client c = { .max = 60 };

	c.w = world(5);
	c.p = control_plane(c.w, 20);
	create(&c);
	create(&c);
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 300 * SIM_S, 0);
	ok(c.answered == 60 && c.acked + c.unknown == 60 && c.acked > 50,
	   "a bus that loses, doubles and overtakes: every request is answered (%u, %u unknown)", c.acked, c.unknown);
	sim_free(c.w);
}

/* ---- replace -------------------------------------------------------------------------------------------------------- */

static int32_t replaced_status;
static bool replaced_done;

static void replaced(void *arg, int32_t status, const char *msg)
{
	(void)arg;
	if (status)
		printf("# %s\n", msg);
	replaced_status = status;
	replaced_done = true;
}

static void test_replace(void)
{
	struct client c = { .max = 100 };
	bool fine = true;

	c.w = world(9);
	c.p = control_plane(c.w, 0);
	create(&c);
	create(&c);
	for (int i = 0; i < 4; i++) {
		replaced_done = false;
		(void)sim_replace(c.p, i % 2 ? "apiserver" : "storage/lmdb", replaced, NULL);
		while (!replaced_done && sim_step(c.w) > 0)
			;
		fine &= replaced_done && replaced_status == 0;
	}
	ok(fine, "modules are replaced");
	(void)sim_run(c.w, is_done, &c, sim_now(c.w) + 300 * SIM_S, 0);
	ok(c.acked == 100, "while a client writes, and no request fails (%u)", c.acked);
	sim_free(c.w);
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "--hash") == 0) {
		printf("%llx\n", (unsigned long long)small_run(strtoull(argv[2], NULL, 10)));
		return 0;
	}
	test_same(argv[0]);
	test_disk();
	test_acknowledged();
	test_cut();
	test_loss();
	test_replace();
	return done_testing();
}
