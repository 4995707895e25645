/* Fuzz: heads of requests and responses, then a body. */
#include "http/oh1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct ohttp_header hdr[100];
	struct oh1_head h = { .headers = hdr, .max_headers = 100, .max_target = 1000 };
	struct oh1_body b;
	size_t scan = 0;
	size_t n = oh1_head_len(p, size, &scan);

	(void)oh1_parse_response(p, n, &h);
	if (oh1_parse_request(p, n, &h) != 0)
		return 0;
	oh1_body_init(&b, &h, NULL);
	while (n < size && !b.done) {
		struct orlop_bytes d;
		ssize_t k = oh1_body_next(&b, p + n, size - n, &d);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	return 0;
}
