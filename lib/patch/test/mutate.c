/* The fuzz target over seeds and their damaged copies. */
#include "../fuzz/patch.c"

#include "base/ofuzz.h"
#include "base/otap.h"

static const char *const seeds[] = {
	"{\"a\":[1,2]}\n[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":3},{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/b\"}]",
	"{\"a\":{\"b\":1}}\n[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/c\"},{\"op\":\"remove\",\"path\":\"/a/b\"},"
	"{\"op\":\"test\",\"path\":\"/a/c/b\",\"value\":1},{\"op\":\"replace\",\"path\":\"\",\"value\":{}}]",
	"{\"metadata\":{\"labels\":{\"a\":\"b\"},\"finalizers\":[\"x\",\"y\"]}}\n"
	"{\"metadata\":{\"labels\":{\"a\":null,\"$patch\":\"replace\"},\"$deleteFromPrimitiveList/finalizers\":[\"x\"],"
	"\"$setElementOrder/finalizers\":[\"y\",\"z\"],\"finalizers\":[\"z\"]}}",
	"{\"spec\":{\"template\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80}]},{\"name\":\"b\"}]}}}\n"
	"{\"spec\":{\"template\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}],"
	"\"containers\":[{\"name\":\"b\",\"image\":\"x\"},{\"name\":\"a\",\"$patch\":\"delete\"}]}}}",
	"{\"spec\":{\"strategy\":{\"type\":\"a\",\"rollingUpdate\":{}}}}\n"
	"{\"spec\":{\"strategy\":{\"$retainKeys\":[\"type\"],\"type\":\"b\"}}}",
	"{\"metadata\":{\"managedFields\":[{\"manager\":\"m\",\"operation\":\"Update\",\"apiVersion\":\"v1\","
	"\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{},\"k:{\\\"b\\\":1}\":{},\"v:1\":{},\"i:0\":{}}}}]},"
	"\"data\":{\"a\":\"1\"}}\n{\"data\":{\"a\":\"2\",\"b\":\"3\"}}",
};

int main(void)
{
	ofuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), 20000);
	pass("no input broke it");
	return done_testing();
}
