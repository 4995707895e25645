/*
 * remote-clients.h - connections to servers of other group versions. A list of them is its owner's, for one shard.
 */
#ifndef REG_REMOTE_CLIENTS_H
#define REG_REMOTE_CLIENTS_H

#include "remotes.h"

#include "base/olist.h"

struct ojson;

/* Connections to servers whose certificates the same authority has signed. */
struct remote_client {
	struct olist	link;
	char		*ca;		/* base64 as configured, "-": whatever they show */
	struct otls_ctx	*tls;
	struct ohttp_client *http;
	uint32_t	held;
};

/* The one for the spec of an APIService; held until reg_remote_release(). NULL: it cannot be made. */
struct remote_client *remote_client_get(struct reg_shard *sh, struct olist *clients, const struct ojson *spec);
/* Certificates of ours that have changed are taken up. */
void remote_clients_reload(struct olist *clients);
void remote_clients_done(struct olist *clients);

#endif
