#!/bin/sh
# The quick tests, and the scripts in SANITIZER_SCRIPTS, built with -fsanitize=thread.
# run: timeout=3000 alone
. "$(dirname "$0")/sub.sh"

b=$sub_dir/b
step "configure --enable-sanitizer=thread" configure_in "$b" CC="$CC" CFLAGS="-O1 -g1" --enable-sanitizer=thread --enable-werror &&
step "builds" $MAKE -C "$b" -s -j"$jobs" all test-programs &&
step "quick tests are clean" $MAKE -C "$b" -s check walls= JOBS="$jobs" &&
step "SANITIZER_SCRIPTS are clean" $MAKE -C "$b" -s check-sanitizer
finish
