/* The fuzz target over seeds and their damaged copies. */
#include "../fuzz/selector.c"

#include "base/ofuzz.h"
#include "base/otap.h"

static const char *const seeds[] = {
	"", "a", "!a", "a=b", "a==b,c!=d", "x in (a,b,c), y notin (d)", "a>1,b<2", "a in (,)", "a=,b",
	"example.com/name=value", "metadata.name=a\\,b\\=c\\\\,spec.nodeName!=x", "in in (in,notin)",
	"{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\",\"values\":[\"v\"]}]}",
};

int main(void)
{
	ofuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), 40000);
	pass("no input broke it");
	return done_testing();
}
