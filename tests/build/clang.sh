#!/bin/sh
# clang builds everything without a warning, and the quick tests pass.
# run: timeout=1800 alone
. "$(dirname "$0")/sub.sh"

case $CC in *clang*) echo "1..0 # SKIP the outer build is clang's"; exit 0 ;; esac
command -v clang > /dev/null || { echo "1..0 # SKIP no clang"; exit 0; }
b=$sub_dir/b
step "configure CC=clang" configure_in "$b" CC="$(cached clang)" CFLAGS="-O1" --enable-werror &&
step "builds without a warning" $MAKE -C "$b" -s -j"$jobs" all test-programs &&
step "quick tests pass" $MAKE -C "$b" -s check walls= JOBS="$jobs"
finish
