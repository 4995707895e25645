/*
 * table.h - rows of text in aligned columns, as kubectl prints them.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS	16

struct table {
	uint32_t	n_columns;
	uint32_t	n_cells;
	uint32_t	cap;
	char		**cells;
};

/* @columns: headings, NULL-terminated. */
void table_init(struct table *t, const char *const *columns);
/* One cell, copied; rows end by themselves. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void table_print(struct table *t, FILE *f);
/* "3m12s", as kubectl writes ages. */
const char *age_text(uint64_t ms, char *buf, size_t size);
/* "14.2 MiB" */
const char *size_text(uint64_t bytes, char *buf, size_t size);

#endif
