# Faults: memory, disk and system calls that fail, each once, everywhere (shim.c is preloaded; faults.py).
fault_shim := tests/faults/faultshim.so
$(fault_shim): $(srcdir)/tests/faults/shim.c .flags
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(CFLAGS) -O2 -fPIC -shared -fvisibility=hidden -Wall -Wextra -o $@ $<
check check-long: | $(fault_shim)
CHECK_SCRIPTS += tests/faults/faults.py tests/faults/hostile.py
CHECK_LONG_SCRIPTS += tests/faults/all.sh tests/faults/pods.py
