/* The fuzz target over seeds and their damaged copies. */
#include "../fuzz/json.c"

#include "base/ofuzz.h"
#include "base/otap.h"

static const char *const seeds[] = {
	"", "null", "{}", "[]", "\"\"", "0", "-1.5e+10", "true", "[[[[[[[]]]]]]]",
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"}}}",
	"{\"a\":[1,2.5,{\"b\":null}],\"c\":\"\\u00e9\\ud83d\\ude00\\n\\\\\\\"\",\"a\":false}",
	"[9223372036854775807,-9223372036854775808,18446744073709551616,1e300,1e-300]",
	" { \"x\" : [ true , false , null ] } ",
};

int main(void)
{
	ofuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), 40000);
	pass("no input broke it");
	return done_testing();
}
