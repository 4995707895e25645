/*
 * ohash - non-cryptographic hashes
 *
 * FNV-1a is what Kubernetes puts into names (pod-template-hash, controller-revision-hash).
 * ohash_bytes() is for hash tables: seeded, so that input from outside cannot choose collisions.
 */
#ifndef OLIB_BASE_OHASH_H
#define OLIB_BASE_OHASH_H

#include <stddef.h>
#include <stdint.h>

#define OHASH_FNV32_INIT 0x811c9dc5u
#define OHASH_FNV64_INIT 0xcbf29ce484222325ull

/* @h: OHASH_FNV*_INIT, or the result over the bytes before */
uint32_t ohash_fnv1a32(uint32_t h, const void *p, size_t len);
uint64_t ohash_fnv1a64(uint64_t h, const void *p, size_t len);

/* Go's fnv.New32() (not "a"): multiplies before the exclusive or. */
uint32_t ohash_fnv32(uint32_t h, const void *p, size_t len);

uint64_t ohash_bytes(uint64_t seed, const void *p, size_t len);
uint64_t ohash_u64(uint64_t seed, uint64_t v);

#endif
