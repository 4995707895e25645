/*
 * record.h - what is stored under a key, and how keys look.
 *
 * Key: RESOURCE '/' NAMESPACE '/' NAME, namespace empty for cluster-scoped resources:
 *   "deployments.apps/default/web", "nodes//n1". Keys sort as bytes. Keys that begin with '\0' or
 *   '!' are private to whoever wrote them and are not fed to the cache.
 *
 * Value: struct orlop_record, the index entries, then the JSON of the object from `"metadata":` on
 * WITHOUT resourceVersion; the feeder inserts `"resourceVersion":"N",` at rv_off and so makes the
 * served bytes once. Little endian, 8-byte aligned start.
 *
 * An index entry: u16 index, u16 key_len, u32 value_len, key, value; entries are not padded and
 * sorted by (index, key, value).
 */
#ifndef ORLOP_RECORD_H
#define ORLOP_RECORD_H

#include <orlop/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORLOP_RECORD_MAGIC	0x31524f4cu	/* "LOR1" */

struct orlop_record {
	uint32_t	magic;
	uint16_t	header_len;	/* sizeof of the writer: index begins there */
	uint16_t	format;		/* 1 */
	uint16_t	wrap;		/* encryption wrapper, 0: none */
	uint16_t	n_index;
	uint32_t	schema_gen;
	uint32_t	index_len;	/* bytes of index entries; JSON begins at header_len + index_len */
	uint32_t	json_len;
	uint32_t	rv_off;		/* in the JSON: where `"resourceVersion":"N",` goes */
	uint32_t	mf_off;		/* in the JSON: value of managedFields, 0: none */
	uint32_t	mf_len;
	uint32_t	version;	/* storage version number of the resource */
};

#ifdef __cplusplus
}
#endif
#endif
