/* Fuzz target of elffile: whatever the file, nothing outside of it is read. */
#include "elffile.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct elffile e;
	char path[64];
	int fd = memfd_create("fuzz.so", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size) {
		if (elffile_open(path, &e, &err) == 0)
			(void)elffile_modinfo(&e, "needs");
		elffile_done(&e);
	}
	orlop_error_done(&err);
	close(fd);
	return 0;
}
