/*
 * module.h - what a module is: one exported descriptor, and metadata that is read from the file.
 *
 * A module is one shared object that exports one data symbol, `orlop_module`, made by
 * ORLOP_MODULE(). It includes only orlop headers and takes everything else from the host table
 * (host.h) that its init receives. It links no symbol of the core and has no writable static data,
 * so any number of instances live in one process.
 *
 * Change list of the ABI, newest first. Members are only ever appended.
 *   1.1  asks= of the modinfo: what a module may ask the API for
 *   1.1  journal_read of a process that has begun again may answer -EAGAIN to a cursor from before (host.h)
 *   1.1  the class kubelet has an op: ended (kubelet.h)
 *   1.1  an orderly end: orlop_module.finishing, orlop_host.ending
 *   1.1  runtime: sandbox_stats
 *   1.1  the class scheduler-plugin (scheduler-plugin.h)
 *   1.0  frozen: from here on a module that was built loads, whatever is added (tests/abi/)
 *   0.1  storage: op check, one format of snapshots; admin: TAP, MODULE_DEBUG, descriptors with requests
 *   0.1  rights of an isolated module: caps=, files=, net=, exec=, uid=, memory= of the modinfo
 *   0.1  leadership between processes: the address "lead" (api.h)
 *   0.1  replacing: orlop_module.draining, .revision, .changing; ORLOP_MOD_HANDOVER; orlop_host.stop_reason
 *   0.1  feeding the cache: orlop_host.feed_*, reads= with options (cache.h: orlop_feed_want)
 *   0.1  the beginning
 */
#ifndef ORLOP_MODULE_H
#define ORLOP_MODULE_H

#include <orlop/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORLOP_ABI_MAJOR		1
#define ORLOP_ABI_MINOR		1
#define ORLOP_MODULE_MAGIC	UINT64_C(0x31706f6c726f2e1a)	/* "\x1a.orlop1" */

/* flags */
#define ORLOP_MOD_UNLOADABLE	0x0001u	/* may be unmapped: no threads, no TSD destructors, no such libraries */
#define ORLOP_MOD_EXCLUSIVE	0x0002u	/* never two instances on the same data: replace closes first */
#define ORLOP_MOD_HANDOVER	0x0008u	/* replace: the new one is started when the old one has stopped and
					   changes nothing any more (changing); its streams go on there */
#define ORLOP_MOD_BLOCKING	0x0004u	/* ops may block: the glue runs them on workers, in order per key */

#define ORLOP_SHARDS_AUTO	UINT32_MAX	/* one shard a processor */

/* Parameter types */
enum {
	ORLOP_PARAM_STRING	= 1,
	ORLOP_PARAM_INT		= 2,	/* 64-bit */
	ORLOP_PARAM_BOOL	= 3,
};

#define ORLOP_PARAM_LIVE	0x0001u	/* may change while running, see param_validate/param_apply */
#define ORLOP_PARAM_REQUIRED	0x0002u

/* One parameter of a module: the type the configuration file is checked against. */
struct orlop_param {
	const char	*name;
	uint32_t	type;
	uint32_t	flags;
	const char	*def;		/* default as text, NULL: none */
	const char	*help;		/* one line, with the unit */
};

/* Health of a module, for `orlop module list` and /readyz. */
struct orlop_health {
	uint32_t	size;
	int32_t		ok;		/* 1: serving, 0: not (yet) */
	char		text[120];
};

struct orlop_host;

/*
 * The descriptor. Made by ORLOP_MODULE(); all members after @size are optional unless said.
 *
 * Order of calls, all on the module's first loop unless said:
 *   init → shard_init (once a shard, on that shard's loop) → start → [host->ready()] … requests …
 *   → stop → (the core waits until requests, timers, watches, children of this instance are gone
 *   or cancels them) → shard_fini (on that shard's loop) → fini.
 */
struct orlop_module {
	uint64_t	magic;
	uint16_t	abi_major;
	uint16_t	abi_minor;
	uint32_t	size;		/* sizeof(struct orlop_module) of the author's headers */
	const char	*modinfo;	/* keeps the .orlop.modinfo section alive */
	const char	*name;		/* required: "lmdb" */
	const char	*class_name;	/* required: "storage" */
	const char	*version;
	const char	*license;
	const char	*summary;	/* one line */
	uint32_t	flags;
	uint32_t	shards;		/* 0: one */
	uint32_t	concurrency;	/* ORLOP_MOD_BLOCKING: most ops at once, 0: 64 */
	uint32_t	param_size;	/* sizeof(struct orlop_param) */
	uint32_t	n_params;
	uint32_t	reserved0;
	const struct orlop_param *params;

	/*
	 * ops table of the class (orlop/<class>.h), or NULL if the module serves nothing. With
	 * shards > 1 requests arrive at shard 0.
	 */
	const void	*ops;

	/* required. Allocate, read parameters, open what is exclusive. No serving yet. */
	int		(*init)(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err);
	/* once a shard. @ret_shard is handed to shard_fini. */
	int		(*shard_init)(void *ctx, uint32_t shard, const struct orlop_host *h,
				void **ret_shard, struct orlop_error *err);
	/* everything is linked: begin. Call host->ready() now or later. */
	int		(*start)(void *ctx, struct orlop_error *err);
	/* no new requests arrive any more; finish; may refuse with -EBUSY and a reason. */
	int		(*stop)(void *ctx, struct orlop_error *err);
	void		(*shard_fini)(void *ctx, void *shard);
	void		(*fini)(void *ctx);
	/* a live parameter: validate must not change anything; apply must not fail. */
	int		(*param_validate)(void *ctx, const char *name, const char *value,
				struct orlop_error *err);
	void		(*param_apply)(void *ctx, const char *name, const char *value);
	void		(*health)(void *ctx, struct orlop_health *health);
	/* one line of JSON (an object) about the inside, for `orlop module stats`. */
	int		(*stats)(void *ctx, char *buf, size_t size);
	/*
	 * After stop(), when its successor serves already: how many things that outlive requests (exec,
	 * logs -f, what goes through) are served to their end here. Asked now and then; nothing is taken
	 * away before it says 0 or the time for that (drain_timeout_s) is over.
	 */
	uint32_t	(*draining)(void *ctx);
	/*
	 * How far the module's data has got, 0: nothing to say. Asked when it is ready, and after stop()
	 * when every call is done: a successor that is behind does not get the address.
	 */
	uint64_t	(*revision)(void *ctx);
	/*
	 * With ORLOP_MOD_HANDOVER: how many things are under way that a successor must not find half done.
	 * Without it all calls under way count. Asked often while it is being replaced.
	 */
	uint32_t	(*changing)(void *ctx);
	/*
	 * After stop(), when nobody takes over: how many requests from outside (HTTP) are still to be
	 * answered, or their answers to be sent. Asked now and then; what it needs for them stays before it
	 * says 0 or the time for that (end_timeout_s) is over. Not what may go on for hours, like exec.
	 */
	uint32_t	(*finishing)(void *ctx);
};

#define ORLOP_STR2_(x)		#x
#define ORLOP_STR_(x)		ORLOP_STR2_(x)

/*
 * ORLOP_MODINFO - the strings that the loader reads from the file before it runs any code.
 *
 * "key=value" strings, each NUL-terminated, in section .orlop.modinfo. Keys:
 *   abi=MAJOR.MINOR   needed at least (a module that tests with ORLOP_HOST_HAS may say less)
 *   name= class= version= license=
 *   provides=ADDRESS[,…]   bus addresses besides class and class/name; "feed": it may feed the cache
 *   needs=CLASS[,…]        addresses that must be ready before init
 *   reads=RESOURCE[;opt…][,…]  resources it may open in the cache, "*" for all. Options say that less
 *                          than everything is enough, for feeders (a feed may bring more):
 *       ;namespace=NS          objects of one namespace
 *       ;field=PATH=VALUE      an index field of the resource has this value: spec.nodeName=$node
 *       ;label=NAME=VALUE      so has a label
 *       ;metadata              only their metadata
 *                          A value $NAME is that of the module's parameter NAME; $node is the
 *                          parameter node_name or, if that is empty or there is none, the host
 *                          name. A condition whose parameter is empty does not count. Field and
 *                          label may be repeated, so may a resource: several slices.
 *   asks=RESOURCE[/SUBRESOURCE];VERB[;VERB…][,…]  what it may ask the address "api" for ("*": every
 *                          resource, not their subresources); request() of anything else returns
 *                          -EACCES, or that is the answer (host.h). Not there: whatever its user may
 *   user=NAME              the API user it acts as; none that begins with "orlop:"
 * What it may do to the machine when it runs in a process of its own (isolation = "process"). What is
 * not declared is denied there, with EPERM or EACCES; in the daemon's process it is a promise:
 *   caps=NAME[,…]|*        capabilities it keeps ("net_admin"); default: none
 *   files=PATH[:rw][,…]|*  files and directories it sees besides libraries, read-only without :rw.
 *                          $NAME is what the configuration gives to this parameter, $NAME=PATH what
 *                          to take if it gives nothing; "/.." at the end: the directory it stands in
 *   net=unix|inet|netlink|packet[,…]|*  sockets it may make and listen on; default: none. What
 *                          host->connect() and ->listen() do needs it too; the bus does not
 *   exec=yes               it may start programs. They would inherit limits and system-call filter,
 *                          so there are none then
 *   uid=N|keep             unix user; default: nobody, or the daemon's if caps=, files= or exec= are there
 *   memory=N[K|M|G]        most private memory; default: 8G
 * Pass extra keys as one literal with "\0" between: ORLOP_MODULE_INFO("needs=api\0reads=pods,nodes").
 */
#define ORLOP_MODULE(name_, class_, version_, extra_, ...)					\
	__attribute__((section(".orlop.modinfo"), used, visibility("hidden")))			\
	const char orlop_modinfo_[] =								\
		"abi=" ORLOP_STR_(ORLOP_ABI_MAJOR) "." ORLOP_STR_(ORLOP_ABI_MINOR) "\0"		\
		"name=" name_ "\0" "class=" class_ "\0" "version=" version_ "\0" extra_ "\0";	\
	extern __attribute__((visibility("default"))) const struct orlop_module orlop_module;	\
	__attribute__((visibility("default"))) const struct orlop_module orlop_module = {	\
		.magic = ORLOP_MODULE_MAGIC,							\
		.abi_major = ORLOP_ABI_MAJOR,							\
		.abi_minor = ORLOP_ABI_MINOR,							\
		.size = sizeof(struct orlop_module),						\
		.modinfo = orlop_modinfo_,							\
		.name = name_,									\
		.class_name = class_,								\
		.version = version_,								\
		.param_size = sizeof(struct orlop_param),					\
		__VA_ARGS__									\
	}

#ifdef __cplusplus
}
#endif
#endif
