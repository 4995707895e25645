/*
 * inline/scheduler-plugin.h - a function of pod and node as the op judge of a scheduler plugin. Compiled into the
 * module: API, not ABI.
 *
 *	static int32_t judge(void *ctx, const struct orlop_pod *pod, struct orlop_bytes node, const char **why)
 *	{
 *		if (...)
 *			return *why = "node(s) are haunted", ORLOP_REFUSED;
 *		return 50;
 *	}
 *	static int op_judge(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
 *	{
 *		return orlop_judge(((struct mine *)ctx)->h, req, call, err, judge, ctx);
 *	}
 */
#ifndef ORLOP_INLINE_SCHEDULER_PLUGIN_H
#define ORLOP_INLINE_SCHEDULER_PLUGIN_H

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/scheduler-plugin.h>

#define ORLOP_REFUSED	(-1)	/* *why says it in words; evicting pods might help */
#define ORLOP_NEVER	(-2)	/* the same, and evicting pods would not help */

/* All borrowed for the call. */
struct orlop_pod {
	struct orlop_bytes json;	/* from "metadata": on */
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes profile;
};

/* 0 … 100, ORLOP_REFUSED or ORLOP_NEVER; *@why is text that stays (a constant). */
typedef int32_t (*orlop_judge_fn)(void *ctx, const struct orlop_pod *pod, struct orlop_bytes node,
				  const char **why);

/* Answers the call. */
__attribute__((unused))
static inline int orlop_judge(const struct orlop_host *h, const struct orlop_req *req, struct orlop_call *call,
			      struct orlop_error *err, orlop_judge_fn fn, void *ctx)
{
	struct orlop_pod pod = {
		orlop_msg_bytes(h, &req->msg, ORLOP_SCHEDULER_PLUGIN_T_POD),
		orlop_msg_bytes(h, &req->msg, ORLOP_SCHEDULER_PLUGIN_T_NAMESPACE),
		orlop_msg_bytes(h, &req->msg, ORLOP_SCHEDULER_PLUGIN_T_NAME),
		orlop_msg_bytes(h, &req->msg, ORLOP_SCHEDULER_PLUGIN_T_PROFILE),
	};
	struct orlop_bytes nodes = orlop_msg_bytes(h, &req->msg, ORLOP_SCHEDULER_PLUGIN_T_NODES);
	const char *reasons[ORLOP_SCHEDULER_PLUGIN_REASONS];
	uint64_t never = 0;
	uint32_t n_reasons = 0;
	uint32_t n = 0;
	struct orlop_msgw w;
	struct orlop_msg m;
	uint8_t *v;

	for (size_t i = 0; i < nodes.len; i++)
		n += nodes.p[i] == '\0';
	v = (uint8_t *)malloc((size_t)n * 4 + 1);
	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	n = 0;
	for (size_t at = 0; at < nodes.len; n++) {
		const char *end = (const char *)memchr(nodes.p + at, '\0', nodes.len - at);
		struct orlop_bytes node = { nodes.p + at, 0 };
		const char *why = "";
		int32_t r;

		if (!end)
			break;
		node.len = (size_t)(end - node.p);
		at += node.len + 1;
		r = fn(ctx, &pod, node, &why);
		if (r < 0) {
			uint32_t i = 0;

			while (i < n_reasons && strcmp(reasons[i], why) != 0)
				i++;
			if (i == n_reasons && i < ORLOP_SCHEDULER_PLUGIN_REASONS)
				reasons[n_reasons++] = why;
			else if (i == n_reasons)
				i = 0;
			if (r == ORLOP_NEVER)
				never |= UINT64_C(1) << i;
			r = -1 - (int32_t)i;
		}
		for (uint32_t k = 0; k < 4; k++)
			v[n * 4 + k] = (uint8_t)((uint32_t)r >> (8 * k));
	}
	orlop_msgw_init(&w, h);
	orlop_msgw_bytes(&w, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS, v, (size_t)n * 4);
	for (uint32_t i = 0; i < n_reasons; i++)
		orlop_msgw_str(&w, ORLOP_SCHEDULER_PLUGIN_T_REASON, reasons[i]);
	if (never)
		orlop_msgw_u64(&w, ORLOP_SCHEDULER_PLUGIN_T_NEVER, never);
	m = orlop_msgw_msg(&w);
	h->call_done(call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	free(v);
	return 0;
}

#endif
