/*
 * proto.h - answers in protobuf: the JSON that the engine makes, turned into messages by the schema's numbers.
 *
 * Objects live as JSON; this is the other half of http/protobuf.c, without a tree: one pass over the text. An object is
 * "k8s\0" and runtime.Unknown {1 TypeMeta {1 apiVersion, 2 kind}, 2 raw}, raw its message; an event of a watch is four
 * bytes of length (big endian) and WatchEvent {1 type, 2 RawExtension {1 an object as above}}.
 * Source: k8s.io/apimachinery/pkg/runtime/generated.proto and the generated.proto of each group.
 */
#ifndef REG_PROTO_H
#define REG_PROTO_H

#include "registry.h"

#include "base/obuf.h"

/* The type of @kind in @api_version ("v1", "apps/v1"), for lists and what all groups share as well; NULL: none. */
const struct oschema_type *reg_proto_type(const struct oschema *s, struct orlop_bytes api_version,
					  struct orlop_bytes kind);

/* All append to @out: 0, -ENOMEM, -EINVAL (@json is not what an API server writes; then @out holds nonsense). */

/* An object's message alone. */
int reg_proto_message(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes json, struct obuf *out);
/* The same as field @num of another message, from its members without braces. */
int reg_proto_members(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes members,
		      unsigned int num, struct obuf *out);
/* A line {"type":…,"object":…} of a watch. */
int reg_proto_event(const struct oschema *s, struct orlop_bytes json, struct obuf *out);
/* The envelope in front of @raw_len bytes of message, and what stands behind them. */
void reg_proto_head(const char *api_version, const char *kind, size_t raw_len, struct obuf *out);
#define REG_PROTO_TAIL		"\x1a\0\"\0"	/* no contentEncoding, no contentType */
#define REG_PROTO_TAIL_LEN	4u

/* For messages that are made by hand. */
void reg_proto_bytes(struct obuf *out, unsigned int num, const char *p, size_t len);
void reg_proto_varint(struct obuf *out, unsigned int num, uint64_t v);

#endif
