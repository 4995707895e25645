/*
 * joined.c - a client's connection that was upgraded, and that of whoever serves it: from then on only bytes are copied.
 */
#include "front.h"

/* Two connections joined by an upgrade. They outlive their request, but not the shard. */
struct joined {
	struct olist		link;
	struct ohttp_splice	*sp;
};

static void on_parted(void *arg)
{
	struct joined *j = arg;

	olist_del(&j->link);
	omem_free(j);
}

static void join(struct ashard *sh, struct ohttp_stream *take_a, struct ohttp_stream *take_b)
{
	struct joined *j = OMEM_NEW(struct joined);

	if (!j) {
		ohttp_stream_close(take_a);
		ohttp_stream_close(take_b);
		return;
	}
	olist_append(&sh->joined, &j->link);
	if (ohttp_stream_splice(take_a, take_b, on_parted, j, &j->sp) < 0)
		on_parted(j);
}

static void nothing(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)p;
	(void)len;
}

static void nothing_closed(void *arg, int err)
{
	(void)arg;
	(void)err;
}

static const struct ohttp_stream_ops no_ops = { .data = nothing, .closed = nothing_closed };

int joined_begin(struct front *f, const char *protocol, const struct ohttp_header *hdr, size_t n, struct ohttp_stream *take_s,
		 bool mind_peer)
{
	struct ohttp_stream *client;
	int r = ohttp_upgrade(f->req, protocol ? protocol : "", hdr, n, &no_ops, NULL, &client);

	if (r < 0) {
		ohttp_stream_close(take_s);
		return r;
	}
	f->req = NULL;
	if (mind_peer)
		ohttp_stream_mind_peer(client);
	join(f->sh, client, take_s);
	return 0;
}

void joined_abort_all(struct ashard *sh)
{
	struct olist *l;

	while ((l = olist_first(&sh->joined)) != NULL) {
		struct joined *j = OLIST_ENTRY(l, struct joined, link);

		ohttp_splice_abort(j->sp);
		on_parted(j);
	}
}
