/*
 * oquantity - Kubernetes' resource.Quantity: 500m, 1Gi, 1e3
 *
 * A fixed-point number with nine decimals and up to 36 digits before the point, and the family of
 * suffixes it is written with. Exact: no binary floating point anywhere. (Upstream goes beyond
 * 10^36; here that is -ERANGE.)
 *
 * Upstream keeps the text as it was parsed until something changes the number; resource lists are
 * always rounded up to milli on input, which makes them canonical. See oquantity_round_up().
 */
#ifndef OLIB_QUANTITY_OQUANTITY_H
#define OLIB_QUANTITY_OQUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum oquantity_format {
	OQUANTITY_DECIMAL,	/* n u m - k M G T P E */
	OQUANTITY_BINARY,	/* Ki Mi Gi Ti Pi Ei */
	OQUANTITY_EXPONENT,	/* e3, e-3 */
};

#define OQUANTITY_LIMBS 5

struct oquantity {
	uint32_t	limb[OQUANTITY_LIMBS];	/* base 10^9, [0] holds the nine decimals */
	uint8_t		negative;		/* never with zero */
	uint8_t		format;			/* enum oquantity_format */
	uint16_t	reserved0;
};

#define OQUANTITY_ZERO { { 0 }, 0, OQUANTITY_DECIMAL, 0 }

/* Room for any formatted quantity, with NUL. */
#define OQUANTITY_BUF 56

/*
 * oquantity_parse - text to number, as ParseQuantity
 *
 * Digits beyond nano are rounded up (away from zero), binary values are capped at 2^63-1.
 * Returns 0; -EINVAL with upstream's sentence in @ret_why (may be NULL; a constant); -ERANGE beyond 10^36.
 */
int oquantity_parse(const char *p, size_t len, struct oquantity *ret, const char **ret_why);

/* Canonical text: no fraction, largest suffix that needs none. Returns the length. */
size_t oquantity_write(const struct oquantity *q, char out[OQUANTITY_BUF]);

void oquantity_from_i64(struct oquantity *q, int64_t v, enum oquantity_format format);
void oquantity_from_milli(struct oquantity *q, int64_t milli, enum oquantity_format format);

bool oquantity_is_zero(const struct oquantity *q);
int oquantity_sign(const struct oquantity *q);			/* -1, 0, 1 */
int oquantity_cmp(const struct oquantity *a, const struct oquantity *b);

/* a ± b into a; zero takes over the other's format. 0 or -ERANGE (a unchanged). */
int oquantity_add(struct oquantity *a, const struct oquantity *b);
int oquantity_sub(struct oquantity *a, const struct oquantity *b);
void oquantity_neg(struct oquantity *q);

/* Whole units, thousandths; rounded away from zero, saturating at the ends of int64_t. */
int64_t oquantity_i64(const struct oquantity *q);
int64_t oquantity_milli(const struct oquantity *q);
double oquantity_double(const struct oquantity *q);

/*
 * oquantity_round_up - to a multiple of 10^scale, -9 ≤ scale ≤ 0, away from zero
 *
 * Returns true if nothing was lost. (SetDefaults_ResourceList does this with scale -3.)
 */
bool oquantity_round_up(struct oquantity *q, int scale);

#endif
