/*
 * boot-text.h - the words of the texts that say what every cluster begins with (auth/policy.c, auth/flows.c).
 */
#ifndef REG_BOOT_TEXT_H
#define REG_BOOT_TEXT_H

#include <orlop/types.h>

#include "json/ojson.h"

#include <string.h>

/* The next word of @line, which moves behind it; empty at the end. */
static inline struct orlop_bytes boot_word(struct orlop_bytes *line)
{
	struct orlop_bytes w;

	while (line->len && (*line->p == ' ' || *line->p == '\t')) {
		line->p++;
		line->len--;
	}
	w = (struct orlop_bytes){ line->p, 0 };
	while (w.len < line->len && w.p[w.len] != ' ')
		w.len++;
	line->p += w.len;
	line->len -= w.len;
	return w;
}

/* "a,b" as a list; nothing if @w is empty. The API group "core" is "". */
static inline void boot_list(struct ojson *rule, const char *key, struct orlop_bytes w)
{
	struct ojson *l = w.len ? ojson_ensure_array(rule, key) : NULL;

	while (l && w.len) {
		const char *comma = memchr(w.p, ',', w.len);
		size_t n = comma ? (size_t)(comma - w.p) : w.len;
		bool core = n == 4 && memcmp(w.p, "core", 4) == 0 && !strcmp(key, "apiGroups");

		(void)ojson_append(l, ojson_new_string(w.p, core ? 0 : n));
		w.p += n + (comma != NULL);
		w.len -= n + (comma != NULL);
	}
}

#endif
