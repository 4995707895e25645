# The fake host's own test.
support_deps += json
tests_tests += support/test/fakehost.c
