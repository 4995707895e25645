/*
 * host_bus.c - the bus members of the host table: thin, the bus does the work.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "asks.h"
#include "bus/bus.h"
#include "bus/parcel.h"
#include "isolate.h"
#include "log.h"

static int host_blob_new(const struct orlop_host *h, const void *p, size_t len,
			 struct orlop_blob **ret)
{
	(void)h;
	return core_blob_new(p, len, ret);
}

static int host_blob_take(const struct orlop_host *h, void *take_p, size_t len,
			  struct orlop_blob **ret)
{
	(void)h;
	return core_blob_take(take_p, len, ret);
}

static int host_request(const struct orlop_host *h, const struct orlop_send *send, orlop_reply_fn cb,
			void *arg, struct orlop_request **ret)
{
	struct core_shard *s = core_shard_of(h);
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (s->inst->asks && send->to && strcmp(send->to, "api") == 0 &&
	    core_asks_may(s->inst->asks, s->inst->name, send->op, &send->msg, &err)) {
		CLOG(s->inst->core, WARN, "module_forbidden", "why=\"%s\"", err.msg);
		core_msg_close_fds(&send->msg);
		return -EACCES;
	}
	return core_link_request(s->link, send, cb, arg, ret);
}

static int host_publish(const struct orlop_host *h, const char *topic, const struct orlop_msg *msg)
{
	return core_link_publish(core_shard_of(h)->link, topic, msg);
}

static int host_subscribe(const struct orlop_host *h, const char *topic, orlop_topic_fn cb, void *arg)
{
	return core_link_subscribe(core_shard_of(h)->link, topic, cb, arg);
}

void core_host_fill_bus(struct orlop_host *h)
{
	h->blob_new = host_blob_new;
	h->blob_take = host_blob_take;
	h->blob_ref = core_blob_ref;
	h->blob_unref = core_blob_unref;
	h->blob_bytes = core_blob_bytes;
	h->request = host_request;
	h->request_cancel = core_request_cancel;
	h->call_done = core_call_done;
	h->call_emit = core_call_emit;
	h->call_on_cancel = core_call_on_cancel;
	h->call_on_writable = core_call_on_writable;
	h->publish = host_publish;
	h->subscribe = host_subscribe;
	if (core_shard_of(h)->inst->core->up)
		core_up_fill_bus(h);
}
