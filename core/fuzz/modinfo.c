/* fuzz/modinfo.c - fuzz target: an arbitrary file as a module. */
#include <stddef.h>
#include <stdint.h>

#include <orlop/inline/error.h>

#include "modinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_modinfo m;

	if (core_modinfo_parse(data, size, "fuzz.so", &m, &err) == 0) {
		(void)core_modinfo_abi_check(&m, "fuzz.so", &err);
		core_modinfo_done(&m);
	}
	return 0;
}
