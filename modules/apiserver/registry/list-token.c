/* list-token.c - continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\u0000"} */
#include "list.h"

#include "base/oenc.h"
#include "json/oscan.h"

#include <errno.h>
#include <string.h>

const char *reg_list_token_make(struct reg_op *op, int64_t rev, struct orlop_bytes ns,
			      struct orlop_bytes name)
{
	struct obuf b = OBUF_INIT;
	char *start = oarena_printf(&op->arena, "%.*s/%.*s", OB(ns), OB(name));
	char *out = NULL;

	obuf_printf(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)rev);
	obuf_put_json_cstr(&b, start ? start : "");
	obuf_putc(&b, '}');
	if (start && obuf_err(&b) == 0) {
		out = oarena_alloc(&op->arena, OBASE64_ENCODED(b.len));
		if (out)
			obase64_encode(OBASE64_RAWURL, b.data, b.len, out);
	}
	obuf_done(&b);
	return out;
}

int reg_list_token_set(struct reg_list *l)
{
	l->token = reg_list_token_make(l->op, (int64_t)l->rev, l->last_ns, l->last_name);
	return l->token ? 0 : -ENOMEM;
}

int reg_list_token_parse(struct reg_list *l)
{
	struct reg_op *op = l->op;
	struct orlop_bytes tok = op->opt.cont, v, part;
	char *raw = oarena_alloc(&op->arena, OBASE64_DECODED(tok.len) + 1);
	struct oscan_error why = { 0 };
	struct obuf start = OBUF_INIT;
	size_t at = 0;
	int64_t rv;
	long n;
	int r;

	if (!raw)
		return reg_failed(op, -ENOMEM, NULL);
	n = obase64_decode(OBASE64_RAWURL, tok.p, tok.len, raw, &at);
	if (n < 0)
		return reg_bad_request(op, "invalid continue token: continue key is not valid: illegal base64 data at input byte %zu", at);
	if (oscan_check(raw, (size_t)n, 8, &v, &why))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: %s", why.msg);
	if (!oscan_get(v, "v", &part) || !oscan_string_is_cstr(part, "meta.k8s.io/v1"))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: server does not recognize this encoded version");
	if (!oscan_get(v, "rv", &part))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
	rv = oscan_i64(part, 0);
	if (rv == 0)
		return reg_bad_request(op, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
	r = oscan_get(v, "start", &part) ? oscan_unquote(part, &start) : -EINVAL;	/* names of roles may have characters that are escaped */
	if (r == 0)
		l->start = (struct orlop_bytes){ oarena_dup(&op->arena, obuf_cstr(&start), start.len), start.len };
	obuf_done(&start);
	if (r == -ENOMEM || (r == 0 && !l->start.p))
		return reg_failed(op, -ENOMEM, NULL);
	if (r || !memchr(l->start.p, '/', l->start.len))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
	if (rv > 0) {
		l->rev = (uint64_t)rv;
		l->consistent = l->exact = true;
	}
	return 0;
}

void reg_list_start(const struct reg_list *l, struct orlop_bytes *ns, struct orlop_bytes *name)
{
	const char *slash = l->start.len ? memchr(l->start.p, '/', l->start.len) : NULL;

	*ns = *name = RB0;
	if (!slash)
		return;
	*ns = (struct orlop_bytes){ l->start.p, (size_t)(slash - l->start.p) };
	*name = (struct orlop_bytes){ slash + 1, l->start.len - ns->len - 1 };
}
