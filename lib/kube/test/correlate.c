/* correlate.c - what happens often is told in fewer words. */
#include <stdio.h>

#include "base/otap.h"
#include "base/otime.h"
#include "kube/correlate.h"

#define SECOND OTIME_SECOND

int main(void)
{
	struct ocorrelate c;
	char text[40];
	int64_t t = 1000 * OTIME_MINUTE;
	int n = 0;

	ocorrelate_init(&c);
	for (int i = 0; i < 9; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		n += ocorrelate_combined(&c, "a", "Normal", "Reason", text, t + i * SECOND);
	}
	is_int(n, 0, "nine messages are nine");
	ok(!ocorrelate_combined(&c, "a", "Normal", "Reason", "message 3", t + 10 * SECOND), "one of them again");
	ok(ocorrelate_combined(&c, "a", "Normal", "Reason", "message 9", t + 11 * SECOND), "the tenth is combined");
	ok(ocorrelate_combined(&c, "a", "Normal", "Reason", "message 10", t + 12 * SECOND), "and what follows");
	ok(!ocorrelate_combined(&c, "a", "Warning", "Reason", "message 11", t + 12 * SECOND), "not another type");
	ok(!ocorrelate_combined(&c, "a", "Normal", "Other", "message 11", t + 12 * SECOND), "not another reason");
	ok(!ocorrelate_combined(&c, "b", "Normal", "Reason", "message 11", t + 12 * SECOND), "not another object");
	ok(!ocorrelate_combined(&c, "a", "Normal", "Reason", "message 11", t + 11 * OTIME_MINUTE), "after ten minutes of silence anew");

	for (n = 0; n < 30 && ocorrelate_allowed(&c, "a", t); n++)
		;
	is_int(n, 25, "25 at once");
	ok(ocorrelate_allowed(&c, "b", t), "another object has its own");
	ok(!ocorrelate_allowed(&c, "a", t + 4 * OTIME_MINUTE), "not yet");
	ok(ocorrelate_allowed(&c, "a", t + 5 * OTIME_MINUTE), "one more after five minutes");
	ok(!ocorrelate_allowed(&c, "a", t + 5 * OTIME_MINUTE), "only one");
	ok(!ocorrelate_allowed(&c, "a", t), "a clock that goes back gives nothing");
	for (n = 0; n < 300; n++) {
		snprintf(text, sizeof(text), "object %d", n);
		(void)ocorrelate_allowed(&c, text, t);
		(void)ocorrelate_combined(&c, text, "Normal", "Reason", "m", t);
	}
	is_int(c.n_objects, 256, "so many are remembered");
	ocorrelate_done(&c);
	return done_testing();
}
