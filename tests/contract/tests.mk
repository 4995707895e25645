# What a class promises, run against every implementation built here.
tests_tests += contract/controllers.c contract/scheduler.c contract/plugin.c contract/storage.c contract/storage_load.c contract/storage_core.c
tests_deps += store base
CHECK_SCRIPTS += tests/contract/bad.sh
CHECK_LONG_SCRIPTS += tests/contract/cni.py tests/contract/runtime.py
