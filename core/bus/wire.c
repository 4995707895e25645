/*
 * wire.c - packets and frames to bytes and back. Nothing here follows a reference.
 */
#include "wire.h"

#include <endian.h>
#include <string.h>

static void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void core_wire_put_packet(uint8_t *buf, const struct core_wire_packet *p)
{
	put32(buf, CORE_WIRE_MAGIC);
	put16(buf + 4, (uint16_t)p->n_frames);
	put16(buf + 6, 0);
	put64(buf + 8, p->epoch);
	put64(buf + 16, p->ack);
	put64(buf + 24, p->sack);
}

void core_wire_put_frame(uint8_t *buf, const struct core_wire_head *h, uint64_t parcel)
{
	put16(buf, h->kind);
	put16(buf + 2, h->flags);
	put32(buf + 4, h->src);
	put32(buf + 8, h->dst);
	put32(buf + 12, h->op);
	put32(buf + 16, (uint32_t)h->status);
	put32(buf + 20, h->len);
	put64(buf + 24, h->seq);
	put64(buf + 32, h->corr);
	put64(buf + 40, h->trace);
	put64(buf + 48, h->deadline);
	put64(buf + 56, h->value);
	put64(buf + 64, parcel);
	put64(buf + 72, 0);
}

bool core_wire_get_packet(const void *buf, size_t len, struct core_wire_packet *ret)
{
	const uint8_t *p = buf;

	if (len < CORE_WIRE_PACKET_HEAD || len > CORE_WIRE_PACKET_MAX || get32(p) != CORE_WIRE_MAGIC)
		return false;
	ret->n_frames = get16(p + 4);
	if (get16(p + 6) || len != CORE_WIRE_PACKET_HEAD + (size_t)ret->n_frames * CORE_WIRE_FRAME)
		return false;
	ret->epoch = get64(p + 8);
	ret->ack = get64(p + 16);
	ret->sack = get64(p + 24);
	return true;
}

bool core_wire_get_frame(const void *buf, uint32_t i, struct core_wire_head *ret, uint64_t *ret_parcel)
{
	const uint8_t *p = (const uint8_t *)buf + CORE_WIRE_PACKET_HEAD + (size_t)i * CORE_WIRE_FRAME;

	ret->kind = get16(p);
	ret->flags = get16(p + 2);
	ret->src = get32(p + 4);
	ret->dst = get32(p + 8);
	ret->op = get32(p + 12);
	ret->status = (int32_t)get32(p + 16);
	ret->len = get32(p + 20);
	ret->seq = get64(p + 24);
	ret->corr = get64(p + 32);
	ret->trace = get64(p + 40);
	ret->deadline = get64(p + 48);
	ret->value = get64(p + 56);
	*ret_parcel = get64(p + 64);
	return ret->kind > 0 && ret->kind < CORE_W_KINDS && ret->seq > 0 && !get64(p + 72);
}
