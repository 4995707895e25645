/*
 * admin.h - the address "core": what the command line asks the core of a running orlopd.
 *
 * Served by the core itself on the bus, and on the control socket (unix, peer credentials: root or
 * the daemon's own user) with the same messages, framed: u32 length, u32 op, then length bytes of
 * message; the answer: u32 length, i32 status, then length bytes of message (on failure the reason in
 * TEXT). Numbers are little endian; there is one request at a time on a connection, and any number
 * after another. On the socket long bytes are inline: an answer may have up to 256 MiB.
 *
 * Descriptors may come with the first byte of a request (SCM_RIGHTS); FORWARD hands them on.
 * A stream (TAP) answers with any number of frames of status ORLOP_ADMIN_MORE; it ends when the asker
 * closes the connection, or with a frame of another status.
 */
#ifndef ORLOP_ADMIN_H
#define ORLOP_ADMIN_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	ORLOP_ADMIN_STATUS	= 1,	/* → JSON: version, pid, uptime, modules with state and health */
	ORLOP_ADMIN_MODULE_LIST	= 2,	/* → JSON array of modules */
	ORLOP_ADMIN_MODULE_INFO	= 3,	/* NAME → JSON: modinfo, parameters, counters */
	ORLOP_ADMIN_MODULE_LOAD	= 4,	/* NAME (path or class/name), PARAM (repeated "k=v") → JSON */
	ORLOP_ADMIN_MODULE_UNLOAD = 5,	/* NAME */
	ORLOP_ADMIN_MODULE_STATS = 6,	/* NAME → JSON */
	ORLOP_ADMIN_BUS_STATS	= 7,	/* → JSON: per link counters */
	ORLOP_ADMIN_METRICS	= 8,	/* → TEXT: Prometheus */
	ORLOP_ADMIN_STOP	= 9,	/* orderly end; answers before */
	ORLOP_ADMIN_FORWARD	= 10,	/* TO, OP, BODY: a request to any address; its answer → BODY */
	ORLOP_ADMIN_TAP		= 11,	/* NAME, TO, OP, TRACE, BODIES; only on the socket: a stream of JSON lines */
	ORLOP_ADMIN_MODULE_DEBUG = 12,	/* NAME, LEVEL ("debug" …, "default") → JSON: its state in full */
	ORLOP_ADMIN_MODULE_REPLACE = 13, /* NAME, FILE (absent: the same), PARAM… → JSON, when the new one serves */
	ORLOP_ADMIN_MODULE_SET	= 14,	/* NAME, PARAM… ("k=v"): live parameters, all or none → JSON */
	ORLOP_ADMIN_RELOAD	= 15,	/* reads the configuration again; applies what is live → JSON */
};

#define ORLOP_ADMIN_T_NAME	1	/* bytes */
#define ORLOP_ADMIN_T_PARAM	2	/* bytes, repeated */
#define ORLOP_ADMIN_T_JSON	3	/* bytes */
#define ORLOP_ADMIN_T_TEXT	4	/* bytes */
#define ORLOP_ADMIN_T_TO	5	/* bytes */
#define ORLOP_ADMIN_T_OP	6
#define ORLOP_ADMIN_T_BODY	7	/* bytes: an encoded message */
#define ORLOP_ADMIN_T_TRACE	8	/* only messages of this trace */
#define ORLOP_ADMIN_T_BODIES	9	/* 1: with the beginning of each body, which may hold secrets */
#define ORLOP_ADMIN_T_LEVEL	10	/* bytes */
#define ORLOP_ADMIN_T_TIMEOUT_NS 11	/* of FORWARD, 0: two minutes */
#define ORLOP_ADMIN_T_FILE	12	/* bytes: a path or class/name */
#define ORLOP_ADMIN_T_ISOLATION	13	/* of LOAD, REPLACE: bytes, "none" or "process" */

#define ORLOP_ADMIN_MORE	1	/* status of a frame of a stream: others follow */

#ifdef __cplusplus
}
#endif
#endif
