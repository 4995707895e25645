#!/bin/sh
# make distcheck: the tarball builds from a source tree that cannot be written, passes its quick
# tests, installs, uninstalls and cleans up without leaving a file.
# run: timeout=2400 alone
. "$(dirname "$0")/sub.sh"

b=$sub_dir/b
step "configure" configure_in "$b" CC="$CC" &&
step "distcheck" $MAKE -C "$b" distcheck JOBS="$jobs" DISTCHECK_CONFIGURE_FLAGS="--enable-werror CFLAGS=-O1"
finish
