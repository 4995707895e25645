#!/bin/sh
# host.sh - the simulation host keeps its own promises (test/host.c).
# run: timeout=60
exec "${builddir:?}/tests/sim/test/host"
