/* The fuzz target over seeds and their damaged copies. */
#include "../fuzz/yaml.c"

#include "base/ofuzz.h"
#include "base/otap.h"

static const char *const seeds[] = {
	"", "a: b\nc:\n- 1\n- 2.5\n- x: y\n  z: ~\n", "--- \na: &x {b: c}\nd: *x\ne:\n  <<: *x\n---\n- yes\n",
	"k: |\n  line\n  more\n\n", "k: >-\n  a\n  b\n", "? a\n: b\n", "\"q\\u00e9\": 'it''s'\n",
	"{\"a\":[1,\"0x1f\",\"017\",\"- x\",\"# y\",\"a: b\",\" z\",\"\",\"1.0\",\"null\",\"y\",\"2020-01-01\"]}",
	"{\"a\":{\"b\":[[1,[2]],{\"c\":[]},{}]},\"d\":\"x\\ny\\n\",\"e\":\"\\tq\\n\",\"f\":\"t \\nx\"}",
	"- 0o17\n- 0x1F\n- -5\n- +7\n- 1_000\n- .5\n- 1e3\n- !!str 5\n",
};

int main(void)
{
	ofuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), 30000);
	pass("no input broke it");
	return done_testing();
}
