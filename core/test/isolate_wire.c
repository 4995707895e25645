/* test/isolate_wire.c - packets between a core and an isolated module; the channel that carries them. */
#include <fcntl.h>
#include <sys/socket.h>

#include "isolate_chan.h"
#include "kit.h"

static void test_spec(void)
{
	struct core_config_module cm = { .module = NULL, .line = 7 };
	struct core_iso_spec s = { .path = (char *)(uintptr_t)"/m/x.so", .instance = (char *)(uintptr_t)"one",
				   .data_dir = (char *)(uintptr_t)"/d",
				   .line = 7, .loops = 2, .level = ORLOP_LOG_DEBUG, .module = &cm };
	struct core_iso_spec got;
	struct orlop_msgw w;
	struct orlop_msg m;

	(void)core_config_param_add(&cm, "number", "42", ORLOP_PARAM_INT, 8);
	(void)core_config_param_add(&cm, "text", "", ORLOP_PARAM_STRING, 9);
	orlop_msgw_init(&w, NULL);
	core_iso_put_spec(&w, &s);
	m = orlop_msgw_msg(&w);
	if (!is_int(core_iso_get_spec(&m, &got), 0, "a spec is read back"))
		return;
	is_str(got.path, "/m/x.so", "path");
	is_str(got.module->name, "one", "name of the instance");
	ok(!got.config, "what is not there is not there");
	is_int(got.level, ORLOP_LOG_DEBUG, "level");
	is_int(got.module->n_params, 2, "parameters");
	is_str(got.module->params[0].value, "42", "a value");
	is_str(got.module->params[1].value, "", "an empty one");
	is_int(got.module->params[1].line, 9, "its line");
	core_iso_spec_done(&got);
	orlop_msgw_done(&w);
	orlop_msgw_init(&w, NULL);
	s.loops = 1000;
	core_iso_put_spec(&w, &s);
	m = orlop_msgw_msg(&w);
	is_int(core_iso_get_spec(&m, &got), -EPROTO, "a thousand loops are too many");
	orlop_msgw_done(&w);
	core_config_module_done(&cm);
}

static void test_desc(void)
{
	static const struct orlop_param params[] = {
		{ "a", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "1", "help" },
		{ "b", ORLOP_PARAM_STRING, 0, NULL, NULL },
	};
	struct orlop_module mod = { .flags = ORLOP_MOD_EXCLUSIVE, .shards = 3, .n_params = 2, .params = params,
				    .param_size = sizeof(params[0]), .summary = "sum", .ops = params };
	struct core_iso_desc d;
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, NULL);
	core_iso_put_desc(&w, &mod);
	m = orlop_msgw_msg(&w);
	if (!is_int(core_iso_get_desc(&m, &d), 0, "a descriptor is read back"))
		return;
	is_int(d.mod.flags, ORLOP_MOD_EXCLUSIVE, "flags");
	is_int(d.has, CORE_ISO_HAS_OPS, "what it has");
	is_str(d.summary, "sum", "summary");
	is_int(d.mod.n_params, 2, "parameters");
	is_str(d.mod.params[0].def, "1", "a default");
	is_int(d.mod.params[0].flags, ORLOP_PARAM_LIVE, "flags of one");
	ok(!d.mod.params[1].def && !d.mod.params[1].help, "what is not there is not there");
	core_iso_desc_done(&d);
	orlop_msgw_done(&w);
}

static void test_packets(void)
{
	struct core_iso_head h = { .magic = CORE_ISO_MAGIC, .version = CORE_ISO_VERSION, .type = 1, .len = 8, .fields_len = 8 };
	struct core_iso_in in;
	char buf[64];

	memset(buf, 0, sizeof(buf));
	memcpy(buf, &h, sizeof(h));
	is_int(core_iso_read(buf, sizeof(h) + 8, &in), 0, "a packet");
	is_int(core_iso_read(buf, sizeof(h) + 7, &in), -EPROTO, "cut");
	is_int(core_iso_read(buf, sizeof(h) + 9, &in), -EPROTO, "too long");
	is_int(core_iso_read(buf, 3, &in), -EPROTO, "no head");
	h.version = CORE_ISO_VERSION + 1;
	memcpy(buf, &h, sizeof(h));
	is_int(core_iso_read(buf, sizeof(h) + 8, &in), -EPROTO, "another version");
}

struct end {
	uint32_t	got;
	uint64_t	last;
	bool		order;
	bool		ended;
	int		status;
	int		fd;
};

static void end_in(void *arg, struct core_iso_in *in)
{
	struct end *e = arg;

	e->got++;
	if (in->id != e->last + 1)
		e->order = false;
	e->last = in->id;
	if (in->n_fds) {
		e->fd = in->fds[0];
		in->fds[0] = -1;
	}
}

static void end_end(void *arg, int status)
{
	struct end *e = arg;

	e->ended = true;
	e->status = status;
}

static void test_chan(void)
{
	struct end a = { .order = true, .fd = -1 };
	struct end b = { .order = true, .fd = -1 };
	struct core_iso_chan *ca;
	struct core_iso_chan *cb;
	struct core_loop *l;
	struct orlop_msgw w;
	char *big = calloc(1, 60000);
	int sv[2];
	int fds = kit_fds();

	if (core_loop_new(0, "test", &l) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		otap_bail_out("no loop");
	is_int(core_iso_chan_new(l, sv[0], end_in, end_end, &a, &ca), 0, "one end");
	is_int(core_iso_chan_new(l, sv[1], end_in, end_end, &b, &cb), 0, "the other");
	/* More than the socket holds: the rest waits, in order. */
	orlop_msgw_init(&w, NULL);
	orlop_msgw_bytes(&w, CORE_ISO_T_TEXT, big, 60000);
	for (uint64_t i = 1; i <= 50; i++)
		if (core_iso_send(ca, CORE_ISO_LOG, i, &w, 0))
			fail("packet %d", (int)i);
	is_int(core_iso_send(ca, CORE_ISO_LOG, 51, &w, CORE_ISO_DROP), -EAGAIN, "what may be dropped does not wait");
	orlop_msgw_done(&w);
	orlop_msgw_init(&w, NULL);
	orlop_msgw_fd(&w, 0);
	is_int(core_iso_send(ca, CORE_ISO_LOG, 51, &w, 0), 0, "a descriptor behind them");
	orlop_msgw_done(&w);
	ok(kit_until(l, b.got == 51), "all arrive: %u", b.got);
	ok(b.order && b.fd >= 0, "in order, with the descriptor");
	if (b.fd >= 0)
		close(b.fd);
	/* A peer that does not read is ill. */
	orlop_msgw_init(&w, NULL);
	for (uint64_t i = 0; i < 100000 && core_iso_send(ca, CORE_ISO_LOG, i, &w, 0) == 0; i++)
		;
	is_int(core_iso_send(ca, CORE_ISO_LOG, 0, &w, 0), -EPIPE, "there is an end to waiting");
	ok(kit_until(l, a.ended), "which is told");
	core_iso_chan_free(cb);
	core_iso_chan_free(ca);
	core_loop_turn(l, false);
	core_loop_free(l);
	free(big);
	is_int(kit_fds(), fds, "no descriptor is left");
}

static void test_rubbish(void)
{
	struct end a = { .order = true, .fd = -1 };
	struct core_iso_chan *ca;
	struct core_loop *l;
	int sv[2];

	if (core_loop_new(0, "test", &l) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		otap_bail_out("no loop");
	(void)core_iso_chan_new(l, sv[0], end_in, end_end, &a, &ca);
	(void)!write(sv[1], "hello", 5);
	ok(kit_until(l, a.ended), "rubbish ends the channel");
	is_int(a.status, -EPROTO, "as what it is");
	core_iso_chan_free(ca);
	close(sv[1]);
	core_loop_turn(l, false);
	core_loop_free(l);
}

int main(void)
{
	kit_settle();
	test_packets();
	test_spec();
	test_desc();
	test_chan();
	test_rubbish();
	return done_testing();
}
