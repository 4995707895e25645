/* test/tap.c - looking at the bus over the control socket: filters, bodies, floods, clients that go. */
#include <orlop/admin.h>

#include "admin.h"
#include "kit.h"

static char dir[] = "/tmp/orlop-tap-XXXXXX";
static struct core *c;

/* A client of the tap: all text that came. */
struct client {
	int		fd;
	struct obuf	raw;
	struct obuf	text;
	uint32_t	frames;
	int32_t		status;
	bool		open;
};

/* Takes in what there is; true if something came or it ended. */
static bool pull(struct client *k)
{
	char buf[65536];
	ssize_t n = read(k->fd, buf, sizeof(buf));
	uint32_t head[2];

	if (n <= 0) {
		k->open = k->open && n < 0 && errno == EAGAIN;
		return !k->open;
	}
	obuf_append(&k->raw, buf, (size_t)n);
	while (k->raw.len >= 8) {
		struct orlop_msgr r;

		memcpy(head, k->raw.data, 8);
		if (k->raw.len < 8 + (size_t)head[0])
			break;
		k->status = (int32_t)head[1];
		k->frames++;
		orlop_msgr_init(&r, NULL, NULL, (struct orlop_bytes){ k->raw.data + 8, head[0] });
		while (orlop_msgr_next(&r))
			if (r.tag == ORLOP_ADMIN_T_TEXT)
				obuf_append(&k->text, r.bytes.p, r.bytes.len);
		obuf_splice(&k->raw, 0, 8 + head[0], NULL, 0);
	}
	return true;
}

static bool sees(struct client *k, const char *text)
{
	while (pull(k) && k->open)
		;
	return strstr(obuf_cstr(&k->text), text) != NULL;
}

/* Connects and waits for the first, empty frame. */
static void client_open(struct client *k, const char *link, const char *to, uint64_t trace, bool bodies)
{
	struct orlop_msgw w;
	struct orlop_msg m;
	uint32_t head[2];

	memset(k, 0, sizeof(*k));
	k->fd = kit_dial(c);
	k->open = true;
	orlop_msgw_init(&w, NULL);
	if (link)
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, link);
	if (to)
		orlop_msgw_str(&w, ORLOP_ADMIN_T_TO, to);
	if (trace)
		orlop_msgw_u64(&w, ORLOP_ADMIN_T_TRACE, trace);
	if (bodies)
		orlop_msgw_u64(&w, ORLOP_ADMIN_T_BODIES, 1);
	m = orlop_msgw_msg(&w);
	head[0] = (uint32_t)m.body.len;
	head[1] = ORLOP_ADMIN_TAP;
	(void)!write(k->fd, head, sizeof(head));
	(void)!write(k->fd, m.body.p, m.body.len);
	orlop_msgw_done(&w);
	(void)kit_until(c->main, pull(k));
}

static void client_close(struct client *k)
{
	close(k->fd);
	obuf_done(&k->raw);
	obuf_done(&k->text);
}

static void test_shows(void)
{
	struct kit_reply r;
	struct client all;
	struct client link;
	struct client other;

	client_open(&all, NULL, NULL, 0, false);
	is_int(all.status, ORLOP_ADMIN_MORE, "a tap begins with an empty frame");
	client_open(&link, "test/good", "echo", 0, true);
	client_open(&other, NULL, "nobody", 0, true);
	(void)kit_ask(c, "echo", 1, "a \"secret\"\n\x1b[31m", &r);
	ok(kit_until(c->main, sees(&all, "\"kind\":\"reply\",\"from\":\"test/good\",\"to\":\"core\",\"address\":\"echo\","
				   "\"op\":1,\"status\":0")), "an answer is shown: %s", obuf_cstr(&all.text));
	ok(sees(&all, "\"kind\":\"request\",\"from\":\"core\",\"to\":\"test/good\",\"address\":\"echo\",\"op\":1"),
	   "and its request");
	ok(!strstr(obuf_cstr(&all.text), "secret"), "without what it says");
	ok(kit_until(c->main, sees(&link, "1=\\\"a \\\\\\\"secret\\\\\\\"\\\\x0a\\\\x1b[31m\\\"")),
	   "which is shown if asked for, escaped: %s", obuf_cstr(&link.text));
	(void)kit_ask(c, "echo", 4, NULL, &r);
	ok(kit_until(c->main, sees(&link, "\"op\":4,\"status\":-2")), "a refusal has its number");
	ok(!sees(&other, "{"), "who asks for another address sees nothing");
	client_close(&all);
	client_close(&other);
	(void)kit_ask(c, "echo", 1, "again", &r);
	ok(kit_until(c->main, sees(&link, "1=\\\"again\\\"")), "others going changes nothing");
	(void)!write(link.fd, "x", 1);
	ok(kit_until(c->main, (pull(&link), !link.open)), "who speaks during a stream is let go");
	client_close(&link);
	ok(kit_until(c->main, c->taps == NULL), "nobody looks any more");
}

static void test_trace(void)
{
	struct kit_reply r = { .done = 0 };
	struct orlop_send send = { .size = sizeof(send), .op = 1, .to = "echo", .trace = 0x1234567,
				   .timeout_ns = KIT_ASK_NS, .msg.size = sizeof(send.msg) };
	struct client k;

	client_open(&k, NULL, NULL, 0x1234567, false);
	(void)kit_ask(c, "echo", 1, "other", &r);
	r.done = 0;
	is_int(core_link_request(c->self->shards[0].link, &send, kit_replied, &r, NULL), 0, "a request of a trace");
	ok(kit_until(c->main, sees(&k, "\"kind\":\"reply\"")), "is shown");
	ok(strstr(obuf_cstr(&k.text), "{\"at\":") == obuf_cstr(&k.text) &&
	   strstr(obuf_cstr(&k.text), "\"trace\":\"0000000001234567\""), "with its trace: %s", obuf_cstr(&k.text));
	for (char *p = obuf_cstr(&k.text) ? k.text.data : NULL; p && (p = strstr(p, "\"trace\":\"")); p++)
		ok(!strncmp(p, "\"trace\":\"0000000001234567\"", 26), "and nothing else");
	(void)kit_until(c->main, r.done);
	client_close(&k);
}

/* A client that does not read: the bus goes on, the ring is full, the loss is counted. */
static void test_flood(void)
{
	struct kit_reply r = { .done = 0 };
	struct client k;
	struct client more[10];
	int asked = 0;

	client_open(&k, NULL, NULL, 0, true);
	for (int i = 0; i < 20000; i++) {
		struct orlop_send send = { .size = sizeof(send), .op = 1, .to = "echo",
					   .timeout_ns = KIT_ASK_NS, .msg.size = sizeof(send.msg) };

		asked += core_link_request(c->self->shards[0].link, &send, kit_replied, &r, NULL) == 0;
		if (i % 100 == 0)
			(void)kit_until(c->main, r.done >= asked - 50);
	}
	ok(kit_until(c->main, r.done == asked), "%d requests are answered while nobody reads the tap", asked);
	ok(kit_until(c->main, sees(&k, "{\"missed\":")), "who reads later hears that something is missing");
	for (int i = 0; i < 10; i++)
		client_open(&more[i], NULL, NULL, 0, false);
	is_int(more[9].status, -EBUSY, "only so many may look at once");
	for (int i = 0; i < 10; i++)
		client_close(&more[i]);
	client_close(&k);
	ok(kit_until(c->main, c->taps == NULL), "all gone, nothing stays");
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l;

	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	c = kit_core();
	c->config->control = omem_printf("%s/orlop.sock", dir);
	is_int(core_control_start(c, &err), 0, "the control socket %s", err.msg);
	is_int(kit_load(c, "good", &l), 0, "a module %s", l.msg);
	test_shows();
	test_trace();
	test_flood();
	core_control_stop(c);
	ok(kit_end(c), "the core ends");
	(void)ofile_remove_tree(-100, dir);
	return done_testing();
}
