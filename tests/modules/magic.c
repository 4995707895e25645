/* magic.c - good strings, but the descriptor does not begin as one should. */
#include <orlop/module.h>

__attribute__((section(".orlop.modinfo"), used, visibility("hidden")))
const char orlop_modinfo_[] = "abi=1.0\0name=magic\0class=test\0version=1\0";
extern __attribute__((visibility("default"))) const struct orlop_module orlop_module;
__attribute__((visibility("default"))) const struct orlop_module orlop_module = {
	.magic = 0x1234,
	.size = sizeof(struct orlop_module),
	.modinfo = orlop_modinfo_,
	.name = "magic",
	.class_name = "test",
};
