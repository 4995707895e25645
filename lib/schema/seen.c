/* seen.c - see seen.h */
#include "schema/seen.h"

#include <errno.h>

void oseen_init(struct oseen *s, bool *lost)
{
	s->lost = lost;
	omap_init(&s->keys);
	obuf_init(&s->text);
}

void oseen_done(struct oseen *s)
{
	omap_done(&s->keys);
	obuf_done(&s->text);
}

static bool key(struct oseen *s, const struct ojson *a, const struct ojson *b)
{
	obuf_reset(&s->text);
	if (a)
		(void)ojson_write(a, 0, &s->text);
	obuf_putc(&s->text, '\n');	/* in no JSON text as it is written here */
	if (b)
		(void)ojson_write(b, 0, &s->text);
	if (obuf_err(&s->text))
		*s->lost = true;
	return obuf_err(&s->text) == 0;
}

bool oseen(struct oseen *s, const struct ojson *a, const struct ojson *b)
{
	int r = key(s, a, b) ? omap_add(&s->keys, s->text.data, s->text.len, NULL) : -ENOMEM;

	if (r == -ENOMEM)
		*s->lost = true;
	return r == -EEXIST;
}

bool oseen_has(struct oseen *s, const struct ojson *a)
{
	return key(s, a, NULL) && omap_has(&s->keys, s->text.data, s->text.len);
}
