# Runtime modules against what images and containers may contain.
CHECK_SCRIPTS += tests/runtime/unpack.py
# What starts containers is not for the thread sanitizer: see tests/e2e/tests.mk.
CHECK_SCRIPTS += $(if $(filter %thread,$(sanitizers)),,tests/runtime/security.py tests/runtime/registry.py \
	tests/runtime/handlers.py tests/runtime/streams.py tests/runtime/restart.py tests/runtime/unmade.py tests/runtime/cgroup2.py)
CHECK_LONG_SCRIPTS += tests/runtime/oci.py tests/runtime/crash.py
SANITIZER_SCRIPTS += $(if $(filter %thread,$(sanitizers)),,tests/runtime/oci.py)
