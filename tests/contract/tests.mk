# What a class promises, run against every implementation built here.
tests_tests += contract/storage.c contract/storage_load.c contract/storage_core.c
tests_deps += store base
