/*
 * table.c - rows of text in aligned columns.
 */
#include "table.h"

#include <stdarg.h>
#include <string.h>

#include "base/omem.h"

void table_init(struct table *t, const char *const *columns)
{
	memset(t, 0, sizeof(*t));
	while (t->n_columns < TABLE_COLUMNS && columns[t->n_columns])
		t->n_columns++;
	for (uint32_t i = 0; i < t->n_columns; i++)
		table_add(t, "%s", columns[i]);
}

void table_add(struct table *t, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (t->n_cells == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 64;
		char **cells = omem_realloc_array(t->cells, cap, sizeof(*cells));

		if (!cells)
			return;		/* a shorter table; nothing depends on it */
		t->cells = cells;
		t->cap = cap;
	}
	t->cells[t->n_cells] = omem_strdup(text);
	if (t->cells[t->n_cells])
		t->n_cells++;
}

/* Width on the terminal: characters, not bytes. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void table_print(struct table *t, FILE *f)
{
	size_t w[TABLE_COLUMNS] = { 0 };

	for (uint32_t i = 0; i < t->n_cells; i++)
		if (width(t->cells[i]) > w[i % t->n_columns])
			w[i % t->n_columns] = width(t->cells[i]);
	for (uint32_t i = 0; i < t->n_cells; i++) {
		uint32_t k = i % t->n_columns;

		fputs(t->cells[i], f);
		if (k + 1 < t->n_columns && i + 1 < t->n_cells)
			fprintf(f, "%*s", (int)(w[k] - width(t->cells[i]) + 3), "");
		else
			fputc('\n', f);
		omem_free(t->cells[i]);
	}
	omem_free(t->cells);
	memset(t, 0, sizeof(*t));
}

const char *age_text(uint64_t ms, char *buf, size_t size)
{
	unsigned long long s = ms / 1000;

	if (ms < 10000)
		snprintf(buf, size, "%llu.%llus", s, (unsigned long long)(ms % 1000 / 100));
	else if (s < 120)
		snprintf(buf, size, "%llus", s);
	else if (s < 7200)
		snprintf(buf, size, "%llum%llus", s / 60, s % 60);
	else if (s < 172800)
		snprintf(buf, size, "%lluh%llum", s / 3600, s % 3600 / 60);
	else
		snprintf(buf, size, "%llud", s / 86400);
	return buf;
}

const char *size_text(uint64_t bytes, char *buf, size_t size)
{
	if (bytes < 10240)
		snprintf(buf, size, "%llu B", (unsigned long long)bytes);
	else if (bytes < 1024 * 1024)
		snprintf(buf, size, "%.1f KiB", (double)bytes / 1024);
	else if (bytes < UINT64_C(1024) * 1024 * 1024)
		snprintf(buf, size, "%.1f MiB", (double)bytes / 1048576);
	else
		snprintf(buf, size, "%.1f GiB", (double)bytes / 1073741824);
	return buf;
}
