/* liar.c - a descriptor that says it is far larger than it is. */
#include <orlop/module.h>

__attribute__((section(".orlop.modinfo"), used, visibility("hidden")))
const char orlop_modinfo_[] = "abi=1.0\0name=liar\0class=test\0version=1\0";
extern __attribute__((visibility("default"))) const struct orlop_module orlop_module;
__attribute__((visibility("default"))) const struct orlop_module orlop_module = {
	.magic = ORLOP_MODULE_MAGIC,
	.abi_major = ORLOP_ABI_MAJOR,
	.abi_minor = ORLOP_ABI_MINOR,
	.size = 1000000,
	.modinfo = orlop_modinfo_,
	.name = "liar",
	.class_name = "test",
};
