/* log.c - the request log: a line for each request, and one for each thing that admission notes about it. */
#include "front.h"

#include <stdio.h>

/* A word of a line: what would end it or look like another becomes '_'. */
static const char *word(const char *p, size_t len, char *buf, size_t size)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)p[i] <= ' ' || p[i] == '=' || p[i] == '"' || p[i] == 0x7f ? '_' : p[i];
	buf[n] = '\0';
	return n ? buf : "-";
}

/*
 * One line a request for who looks for one: what the client knows of it, and its trace on the bus. Never the query, a
 * header or a body: there are secrets in them.
 */
void front_log(const struct front *f, int status)
{
	const struct orlop_host *h = f->sh->h;
	int32_t level = f->sh->a->log_requests ? ORLOP_LOG_INFO : ORLOP_LOG_DEBUG;
	char path[256], user[128], agent[64];

	if (!h->log_enabled(h, level))
		return;
	orlop_logf(h, level, "request", "trace=%016llx verb=%s path=%s user=%s code=%d us=%llu bytes=%zu agent=%s",
		   (unsigned long long)f->rq.trace, f->verb ? f->verb : "-",
		   word(f->rt.path.p, f->rt.path.len, path, sizeof(path)), word(f->who.user.p, f->who.user.len, user, sizeof(user)),
		   status, (unsigned long long)((h->now_mono(h) - f->began) / 1000), f->sent,
		   word(f->rq.user_agent.p, f->rq.user_agent.len, agent, sizeof(agent)));
}

void hook_note(void *arg, const struct orlop_host *h, const struct reg_req *rq, const char *resource, const char *key,
	       const char *value)
{
	const struct apis *a = arg;
	int32_t level = a->log_requests ? ORLOP_LOG_INFO : ORLOP_LOG_DEBUG;
	char ns[64], name[256], user[128], what[128];
	struct obuf b = OBUF_INIT;

	if (!h->log_enabled(h, level))
		return;
	obuf_printf(&b, "trace=%016llx verb=%s resource=%s ns=%s name=%s user=%s key=", (unsigned long long)rq->trace,
		    reg_verb_name(rq->verb), resource, word(rq->ns.p, rq->ns.len, ns, sizeof(ns)),
		    word(rq->name.p, rq->name.len, name, sizeof(name)), word(rq->who->user.p, rq->who->user.len, user, sizeof(user)));
	obuf_puts(&b, word(key, strlen(key), what, sizeof(what)));
	obuf_puts(&b, " value=");
	obuf_put_json_cstr(&b, value);
	if (obuf_err(&b) == 0)
		h->log(h, level, "audit", obuf_cstr(&b));
	obuf_done(&b);
}
