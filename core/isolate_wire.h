/*
 * isolate_wire.h - the messages between a core and the process of an isolated module.
 *
 * One message is one packet of a SOCK_SEQPACKET pair: a head, fields as in orlop/call.h, then for
 * requests and answers what they carry as it is (isolate_mail.h), and descriptors. Both sides check
 * what they get: neither trusts the other to be well.
 */
#ifndef CORE_ISOLATE_WIRE_H
#define CORE_ISOLATE_WIRE_H

#include <orlop/inline/msg.h>
#include <orlop/module.h>

#define CORE_ISO_MAGIC		0x31534f49u	/* "IOS1" in memory: OIS backwards, 1 */
#define CORE_ISO_VERSION	2u
#define CORE_ISO_BODY_MAX	(3 * ORLOP_MSG_MAX)	/* fields, a message, small blobs */
#define CORE_ISO_FDS_MAX	(ORLOP_MSG_MAX_BLOBS + ORLOP_MSG_MAX_FDS)
#define CORE_ISO_PARAMS_MAX	1024u

enum core_iso_type {
	/* parent to child */
	CORE_ISO_SPEC = 1,	/* what to be; the first */
	CORE_ISO_INIT,		/* what it needs is there: init, start */
	CORE_ISO_STOP,		/* id; NUM 1: may not refuse; FLAGS: ORLOP_STOP_*; → REPLY as HEALTH */
	CORE_ISO_END,		/* stop() was well: drain, fini, exit; → EOF */
	CORE_ISO_SET,		/* id PARAM…: live parameters, all or none → REPLY */
	CORE_ISO_HEALTH,	/* id → REPLY OK TEXT REV DRAINING CHANGING FINISHING */
	CORE_ISO_STATS,		/* id → REPLY TEXT */
	CORE_ISO_PING,		/* id → REPLY when every loop has turned */
	CORE_ISO_LED,		/* NUM of the lead, REV token (0: lost) */
	CORE_ISO_LEVEL,		/* NUM: log level */
	CORE_ISO_RESOURCE,	/* a resource there is: as ASK_REGISTER; the last of a list: NUM 1, nothing else */
	CORE_ISO_HOLD,		/* NUM 1: leave new connections in the backlog, 0: no longer */
	CORE_ISO_WANTS,		/* WANT…: what others read; to one that feeds */
	CORE_ISO_ENDING,	/* the daemon has been told to end */
	/* child to parent */
	CORE_ISO_DESCRIBE = 64,	/* the module's descriptor, before any of its functions ran */
	CORE_ISO_READY,		/* OK TEXT REV */
	CORE_ISO_FAILED,	/* NUM errno, TEXT: cannot start, or fail() */
	CORE_ISO_REPLY,		/* id; NUM: 0 or errno; TEXT … */
	CORE_ISO_LOG,		/* NUM level, NAME module, EVENT, TEXT */
	CORE_ISO_METRIC,	/* NUM type, NAME, LABELS, TEXT help, SLOT, BOUND… */
	CORE_ISO_LEAD,		/* NUM, NAME */
	CORE_ISO_LEAD_DROP,	/* NUM */
	CORE_ISO_UNLISTEN,	/* NAME address: no listener is left */
	CORE_ISO_LAST,		/* REV: what it has come to, when nothing more is done; then EOF */
	CORE_ISO_PAST,		/* of what it is fed: what happened to resource NUM after REV, up to UPTO, is wanted */
	CORE_ISO_KEEP,		/* id (a number of its own): descriptor 0, a watch of files, is to be kept until it has ended; none: no longer */
	/* both ways: isolate_mail.h */
	CORE_ISO_REQUEST = 80,	/* id */
	CORE_ISO_CANCEL,	/* id of the request */
	CORE_ISO_ANSWER,	/* id of the request; part or end */
	CORE_ISO_CREDIT,	/* id of the request; NUM parts with REV bytes have been consumed */
	CORE_ISO_PUBLISH,	/* TO topic, and a message: from a child to the bus, from there to a child */
	CORE_ISO_SUBSCRIBE,	/* TO topic; from a child */
	CORE_ISO_FEED,		/* bytes of a stream: feed_wire.h */
	CORE_ISO_FED,		/* NUM bytes of it have been taken */
	/* child to parent, with a socket for the one answer: descriptor 0 */
	CORE_ISO_ASK_LISTEN = 96, /* NAME address → REPLY NUM errno TEXT; descriptor */

	CORE_ISO_ASK_METRICS,	/* → REPLY; descriptor: a memory file with the text */
	CORE_ISO_ASK_REGISTER,	/* a resource: NAME LABELS group, TEXT version, EVENT kind, VALUE plural, NUM, REV, REASON prefix, FIELD… INDEXED… → REPLY */
	CORE_ISO_ASK_RETIRE,	/* NAME → REPLY */
	CORE_ISO_ASK_HEALTH,	/* → REPLY; descriptor: a memory file of struct core_iso_health */
};

/* Fields. */
enum {
	CORE_ISO_T_NUM = 1,
	CORE_ISO_T_TEXT,
	CORE_ISO_T_NAME,
	CORE_ISO_T_VALUE,
	CORE_ISO_T_EVENT,
	CORE_ISO_T_REV,
	CORE_ISO_T_LABELS,
	CORE_ISO_T_SLOT,
	CORE_ISO_T_BOUND,	/* a double's bits; repeated */
	/* SPEC */
	CORE_ISO_T_PATH,
	CORE_ISO_T_INSTANCE,	/* name of the instance; absent: class/name */
	CORE_ISO_T_CONFIG,	/* path of the configuration, for messages */
	CORE_ISO_T_LINE,
	CORE_ISO_T_DATA_DIR,
	CORE_ISO_T_LOOPS,
	CORE_ISO_T_LEVEL,
	CORE_ISO_T_LOSS,
	CORE_ISO_T_PARAM,	/* message: NAME VALUE NUM (type) LINE FLAGS (1: carried); repeated. In DESCRIBE: NAME NUM (type) REV (flags) VALUE (default) TEXT (help) */
	/* DESCRIBE */
	CORE_ISO_T_FLAGS,
	CORE_ISO_T_SHARDS,
	CORE_ISO_T_CONCURRENCY,
	CORE_ISO_T_LICENSE,
	CORE_ISO_T_HAS,		/* CORE_ISO_HAS_* */
	CORE_ISO_T_HTTP,
	CORE_ISO_T_REASON,
	CORE_ISO_T_OK,
	CORE_ISO_T_DRAINING,
	CORE_ISO_T_CHANGING,
	CORE_ISO_T_FIELD,
	CORE_ISO_T_INDEXED,
	CORE_ISO_T_JOURNAL_BYTES,
	CORE_ISO_T_JOURNAL_NS,
	/* requests and answers */
	CORE_ISO_T_OP,
	CORE_ISO_T_DEADLINE,
	CORE_ISO_T_KEY,
	CORE_ISO_T_TRACE,
	CORE_ISO_T_TO,
	CORE_ISO_T_USER,
	CORE_ISO_T_UID,
	CORE_ISO_T_GROUP,	/* repeated */
	CORE_ISO_T_CAUSE,	/* message: REASON TEXT NAME; repeated */
	CORE_ISO_T_BODY,	/* its length; absent: no message */
	CORE_ISO_T_BLOB,	/* its length, the highest bit: as a file; repeated */
	CORE_ISO_T_MORE,
	CORE_ISO_T_FDS,		/* how many << 16 | a bit for each that is there: some may be -1 */
	CORE_ISO_T_WANT,	/* message: NAME resource, VALUE namespace, FLAGS, MATCH…; repeated */
	CORE_ISO_T_MATCH,	/* message: NUM 1: a label, NAME, VALUE; repeated */
	CORE_ISO_T_FINISHING,
	CORE_ISO_T_UPTO,
};

#define CORE_ISO_HAS_OPS	0x01u
#define CORE_ISO_HAS_PARAMS	0x02u	/* param_validate, param_apply */
#define CORE_ISO_HAS_HEALTH	0x04u
#define CORE_ISO_HAS_STATS	0x08u
#define CORE_ISO_HAS_STOP	0x10u
#define CORE_ISO_HAS_DRAINING	0x20u
#define CORE_ISO_HAS_REVISION	0x40u
#define CORE_ISO_HAS_FINISHING	0x80u

struct core_iso_head {
	uint32_t	magic;
	uint16_t	version;
	uint16_t	type;
	uint64_t	id;
	uint32_t	len;		/* of what follows */
	uint32_t	fields_len;	/* the part of it that is fields */
};

/* One as received: borrowed from the buffer; descriptors are the receiver's. */
struct core_iso_in {
	uint32_t	type;
	uint64_t	id;
	struct orlop_msg msg;		/* the fields */
	struct orlop_bytes raw;		/* behind them */
	int32_t		fds[CORE_ISO_FDS_MAX];
	uint32_t	n_fds;
};

/* What a packet says. 0, or -EPROTO: not one of ours. */
int core_iso_read(const void *p, size_t len, struct core_iso_in *ret);

/* A field as C string of its own (omem_free); NULL: absent, holds a NUL, or no memory. */
char *core_iso_str(const struct orlop_msg *m, uint32_t tag);
/* The same into a buffer; "" if it is absent, cut if it is long. Control characters become '?'. */
void core_iso_text(const struct orlop_msg *m, uint32_t tag, char *buf, size_t size);
/* What a REPLY or FAILED tells: 0, or -errno with @err. */
int core_iso_status(const struct orlop_msg *m, struct orlop_error *err);
/* And writing that. */
void core_iso_put_status(struct orlop_msgw *w, int status, const struct orlop_error *err);

/* One instance of health_list() as it travels in a memory file. */
struct core_iso_health {
	char		name[128];
	int32_t		ok;
	uint32_t	reserved0;
	char		text[120];
};

/* ---- SPEC ---------------------------------------------------------------------------------------- */

struct core_config_module;

struct core_iso_spec {
	char		*path;
	char		*instance;	/* NULL: class/name */
	char		*config;	/* NULL: none */
	char		*data_dir;
	uint32_t	n_shards;	/* at most; 0: as the module says */
	uint32_t	line;
	uint32_t	loops;
	int32_t		level;
	uint32_t	loss_percent;
	struct core_config_module *module;	/* as configured: module, name, params */
};

/* PARAM fields of SPEC and SET. */
void core_iso_put_params(struct orlop_msgw *w, const struct core_config_module *cm);
int core_iso_get_params(const struct orlop_msg *m, struct core_config_module *cm);	/* 0, -EPROTO, -ENOMEM */

void core_iso_put_spec(struct orlop_msgw *w, const struct core_iso_spec *s);
/* 0, -EPROTO, -ENOMEM. core_iso_spec_done() frees. */
int core_iso_get_spec(const struct orlop_msg *m, struct core_iso_spec *ret);
void core_iso_spec_done(struct core_iso_spec *s);

/* ---- WANTS ------------------------------------------------------------------------------------------ */

struct core_wants;

void core_iso_put_wants(struct orlop_msgw *w, const struct core_wants *wants);
/* Added to @ret. 0, -EPROTO, -ENOMEM. */
int core_iso_get_wants(const struct orlop_msg *m, struct core_wants *ret);

/* ---- DESCRIBE -------------------------------------------------------------------------------------- */

/* A descriptor that came by wire: @mod's texts and table belong to it; it has no functions. */
struct core_iso_desc {
	struct orlop_module mod;
	uint32_t	has;
	char		*license;
	char		*summary;
	struct orlop_param *params;
};

void core_iso_put_desc(struct orlop_msgw *w, const struct orlop_module *mod);
int core_iso_get_desc(const struct orlop_msg *m, struct core_iso_desc *ret);
void core_iso_desc_done(struct core_iso_desc *d);

#endif
