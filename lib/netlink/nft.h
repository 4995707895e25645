/* nft.h - the maps of a bridge network's table, shared by nft.c (makes them) and nftport.c (fills them). */
#ifndef OLIB_NETLINK_NFT_H
#define OLIB_NETLINK_NFT_H

#include "netlink/batch.h"

#define ONL_PORT_BYTES	256u	/* room for an element's message */

struct onl_nft_map {
	const char	*name;
	uint8_t		family;
	bool		by_host;	/* the address asked for is part of the key */
	uint32_t	addr_len;
	uint32_t	key_type;
	uint32_t	data_type;
};

/* host4, ports4, host6, ports6 */
extern const struct onl_nft_map onl_nft_maps[4];

/* One element, as NEWSETELEM or DELSETELEM, into a batch. */
void onl_nft_port_put(struct onl_batch *b, uint16_t type, uint16_t flags, const struct onl_port *port);

#endif
