# What a class promises, run against every implementation built here.
tests_tests += contract/storage.c contract/storage_load.c
tests_deps += store base
