# Other ways to build the same tree.
CHECK_LONG_SCRIPTS += $(addprefix tests/build/,runner.sh options.sh shellcheck.sh clang.sh sanitizer-address.sh sanitizer-thread.sh \
	reproducible.sh distcheck.sh third-party.sh)
