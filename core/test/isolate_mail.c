/*
 * test/isolate_mail.c - what crosses between a core and the process of an isolated module: whole, once,
 * and nothing that could hurt; what is left open on either side.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/bus.h"
#include "isolate_mail.h"
#include "kit.h"

#define BIG	(200u << 10)

static struct core_loop *l;

struct end {
	struct core_iso_chan *chan;
	struct core_iso_meter *meter;
	struct core_iso_got *got;	/* the newest */
	int		r;		/* of taking it */
	struct core_iso_got *kept[32];	/* all of them, with @hoard */
	uint32_t	n_kept;
	bool		hoard;
	uint32_t	n;
	bool		ended;
};

static void end_in(void *arg, struct core_iso_in *in)
{
	struct end *e = arg;
	struct core_iso_got *g = NULL;

	e->r = core_iso_mail_get(in, e->meter, &g);
	if (e->r == 0 && e->hoard && e->n_kept < 32) {
		e->kept[e->n_kept++] = g;
	} else if (e->r == 0) {
		core_iso_got_free(e->got);
		e->got = g;
	}
	e->n++;
}

static void end_end(void *arg, int status)
{
	(void)status;
	((struct end *)arg)->ended = true;
}

static void end_open(struct end *e, int fd)
{
	memset(e, 0, sizeof(*e));
	if (core_iso_chan_new(l, fd, end_in, end_end, e, &e->chan) || core_iso_meter_new(&e->meter))
		otap_bail_out("no channel");
}

static void end_close(struct end *e)
{
	core_iso_got_free(e->got);
	e->got = NULL;
	core_iso_meter_unref(e->meter);
	core_iso_chan_free(e->chan);
	core_loop_turn(l, false);
}

static void pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		otap_bail_out("no socket pair");
}

/* Memory files that this process has mapped. */
static uint32_t maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	uint32_t n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:orlop-blob") != NULL;
	if (f)
		(void)fclose(f);
	return n;
}

static void test_whole(void)
{
	static const struct orlop_bytes groups[] = { { "g1", 2 }, { "", 0 }, { "g3", 2 } };
	const struct orlop_identity who = { .size = sizeof(who), .user = { "alice", 5 }, .uid = { "7", 1 },
					    .n_groups = 3, .groups = groups };
	int fds = kit_fds();
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_blob *blobs[3];
	struct orlop_msg msg = { .size = sizeof(msg), .body = { "body", 4 }, .n_blobs = 3, .blobs = blobs, .n_fds = 2 };
	struct core_iso_mail m = { .op = 5, .key = 9, .trace = 11, .deadline_ns = 77, .to = "api", .who = &who,
				   .msg = &msg };
	char *big = malloc(BIG);
	int32_t sent[2] = { -1, -1 };
	struct orlop_blob *kept;
	struct end a;
	struct end b;
	int sv[2];
	int p[2];

	pair(sv);
	end_open(&a, sv[0]);
	end_open(&b, sv[1]);
	memset(big, 'x', BIG);
	if (core_blob_new("small", 5, &blobs[0]) || core_blob_new(big, BIG, &blobs[1]) ||
	    core_blob_new(big, 33u << 10, &blobs[2]) || pipe2(p, O_CLOEXEC))
		otap_bail_out("no blobs");
	sent[1] = p[1];
	msg.fds = sent;
	is_int(core_iso_mail_send(a.chan, CORE_ISO_REQUEST, 1, &m), 0, "a request is sent");
	ok(kit_until(l, b.n == 1) && b.r == 0 && b.got, "and taken");
	if (b.got) {
		struct core_iso_got *g = b.got;

		ok(g->mail.op == 5 && g->mail.key == 9 && g->mail.trace == 11 && g->mail.deadline_ns == 77, "its head");
		ok(g->to && strcmp(g->to, "api") == 0, "its address");
		ok(g->mail.who && g->who.user.len == 5 && g->who.n_groups == 3 && g->who.groups[2].len == 2, "for whom");
		is_int((long)g->msg.n_blobs, 3, "blobs");
		ok(core_blob_bytes(g->blobs[1]).len == BIG && memcmp(core_blob_bytes(g->blobs[1]).p, big, BIG) == 0,
		   "the large one, whole");
		ok(memcmp(core_blob_bytes(g->blobs[0]).p, "small", 5) == 0, "the small one");
		is_int((long)maps(), 2, "the large ones are mapped");
		ok(g->msg.n_fds == 2 && g->fds[0] == -1 && write(g->fds[1], "!", 1) == 1, "descriptors in their places");
		kept = core_blob_ref(g->blobs[1]);
		core_iso_got_free(g);
		b.got = NULL;
		is_int((long)maps(), 1, "one is kept longer than its message");
		core_blob_unref(kept);
	}
	is_int((long)maps(), 0, "then none is mapped");
	/* An error with causes: each once. */
	(void)orlop_fail(&err, EINVAL, 422, "Invalid", "no");
	orlop_error_cause(&err, "FieldValueInvalid", "one", "a");
	orlop_error_cause(&err, "FieldValueInvalid", "two", "b");
	m = (struct core_iso_mail){ .status = -EINVAL, .err = &err };
	is_int(core_iso_mail_send(a.chan, CORE_ISO_ANSWER, 1, &m), 0, "an error");
	ok(kit_until(l, b.n == 2) && b.got && b.got->mail.status == -EINVAL && b.got->err.http == 422, "is taken");
	ok(b.got && b.got->err.causes && b.got->err.causes->n == 2, "with its causes, each once");
	orlop_error_done(&err);
	for (int i = 0; i < 3; i++)
		core_blob_unref(blobs[i]);
	close(p[0]);
	free(big);
	end_close(&a);
	ok(kit_until(l, b.ended), "the end is told");
	end_close(&b);
	is_int(kit_fds(), fds, "no descriptor is left");
}

/* What cannot be sent harms nobody else on the channel. */
static void test_refused(void)
{
	struct orlop_bytes groups[64];
	struct orlop_identity who = { .size = sizeof(who), .user = { "u", 1 }, .n_groups = 64, .groups = groups };
	char *text = calloc(1, 4096);
	struct orlop_msg msg = { .size = sizeof(msg) };
	struct core_iso_mail m = { .to = "x", .who = &who, .msg = &msg };
	int32_t bad = 9999;
	struct end a;
	struct end b;
	int sv[2];

	for (int i = 0; i < 64; i++)
		groups[i] = (struct orlop_bytes){ text, 4096 };
	pair(sv);
	end_open(&a, sv[0]);
	end_open(&b, sv[1]);
	is_int(core_iso_mail_send(a.chan, CORE_ISO_REQUEST, 1, &m), -E2BIG, "an identity larger than a packet");
	m.who = NULL;
	msg.n_fds = 1;
	msg.fds = &bad;
	is_int(core_iso_mail_send(a.chan, CORE_ISO_REQUEST, 2, &m), -EBADF, "a descriptor that is none");
	msg.n_fds = 0;
	is_int(core_iso_mail_send(a.chan, CORE_ISO_REQUEST, 3, &m), 0, "the next goes through");
	ok(kit_until(l, b.n == 1) && b.got && b.got->id == 3 && !b.ended, "and nothing else came");
	end_close(&a);
	end_close(&b);
	free(text);
}

/* ---- a hostile process ---------------------------------------------------------------------------------- */

enum lie { NO_LIE, UNSEALED, HALF_SEALED, PLAIN_FILE, PIPE, TOO_LONG, TOO_SHORT, NO_FILE, LONG_BODY, LIES };

static int lie_file(enum lie lie)
{
	static char page[65536];
	char path[] = "/tmp/orlop-mail-XXXXXX";
	int p[2];
	int fd;

	if (lie == PIPE)
		return pipe2(p, O_CLOEXEC) ? -1 : p[0];
	if (lie == PLAIN_FILE) {
		fd = mkstemp(path);
		(void)unlink(path);
	} else {
		fd = memfd_create("orlop-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	}
	if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
		return -1;
	if (lie == HALF_SEALED)
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW);
	else if (lie != UNSEALED && lie != PLAIN_FILE)
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return fd;
}

/* In the child. */
static void lie_send(int sock, enum lie lie)
{
	struct orlop_msgw w;
	uint64_t len = 65536;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, CORE_ISO_T_TO, "x");
	orlop_msgw_u64(&w, CORE_ISO_T_BODY, lie == LONG_BODY ? 1000 : 0);
	if (lie == TOO_LONG)
		len += 4096;
	if (lie == TOO_SHORT)
		len -= 4096;
	orlop_msgw_u64(&w, CORE_ISO_T_BLOB, len | UINT64_C(1) << 63);
	if (lie != NO_FILE)
		orlop_msgw_fd(&w, lie_file(lie));
	(void)core_iso_put(sock, CORE_ISO_REQUEST, lie + 1, &w);
	_exit(0);
}

static void test_lies(void)
{
	static const char *const names[LIES] = {
		"an honest blob", "a memory file that can be written", "one that can be cut", "a plain file", "a pipe",
		"a file shorter than it is said", "a longer one", "none", "a body that is not there",
	};
	int fds = kit_fds();

	for (enum lie lie = NO_LIE; lie < LIES; lie++) {
		struct end b;
		int sv[2];
		pid_t pid;

		pair(sv);
		pid = fork();
		if (pid == 0)
			lie_send(sv[0], lie);
		close(sv[0]);
		end_open(&b, sv[1]);
		ok(kit_until(l, b.ended), "%s:", names[lie]);
		is_int(b.r, lie == NO_LIE ? 0 : -EPROTO, "%s", lie == NO_LIE ? "taken" : "not taken");
		(void)waitpid(pid, NULL, 0);
		end_close(&b);
	}
	is_int((long)maps(), 0, "nothing stays mapped");
	is_int(kit_fds(), fds, "nor open");
}

/* Everything it sends is kept: there is an end. */
static void test_hoard(void)
{
	int sv[2];
	struct end b;
	pid_t pid;

	pair(sv);
	pid = fork();
	if (pid == 0) {
		int fd = memfd_create("orlop-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		(void)fcntl(sv[0], F_SETFL, 0);
		if (ftruncate(fd, 64 << 20))
			_exit(1);
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
		for (uint64_t i = 1; i <= 20; i++) {
			struct orlop_msgw w;

			orlop_msgw_init(&w, NULL);
			orlop_msgw_u64(&w, CORE_ISO_T_BODY, 0);
			orlop_msgw_u64(&w, CORE_ISO_T_BLOB, (uint64_t)(64 << 20) | UINT64_C(1) << 63);
			orlop_msgw_fd(&w, fd);
			if (core_iso_put(sv[0], CORE_ISO_ANSWER, i, &w))
				_exit(1);
		}
		_exit(0);
	}
	close(sv[0]);
	end_open(&b, sv[1]);
	b.hoard = true;
	ok(kit_until(l, b.ended), "a process that sends twenty files of 64 MiB");
	(void)waitpid(pid, NULL, 0);
	is_int(b.n, 20, "all are looked at");
	is_int(b.r, -ENOBUFS, "more than may be held is refused");
	is_int((long)maps(), (long)(CORE_ISO_MAPPED_BYTES >> 26), "and not mapped");
	while (b.n_kept > 0)
		core_iso_got_free(b.kept[--b.n_kept]);
	is_int((long)maps(), 0, "what was held goes");
	end_close(&b);
}

int main(void)
{
	kit_settle();
	if (core_loop_new(0, "test", &l))
		otap_bail_out("no loop");
	test_whole();
	test_refused();
	test_lies();
	test_hoard();
	core_loop_turn(l, false);
	core_loop_free(l);
	return done_testing();
}
