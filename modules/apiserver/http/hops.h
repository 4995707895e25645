/* hops.h - headers that a proxy does not hand on. */
#ifndef APISERVER_HOPS_H
#define APISERVER_HOPS_H

#include "http/ohttp.h"

/*
 * hops_keep - does the header @name of the message with headers @h stay here?
 *
 * Those that Connection names do, however many it names, and those that are between a client and us. Connection and Upgrade do, too: who
 * wants an upgrade says so himself.
 */
bool hops_keep(struct orlop_bytes name, const struct ohttp_header *h, size_t n);

#endif
