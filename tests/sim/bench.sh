#!/bin/sh
# bench.sh - the simulated cluster of 100 nodes (bench/nodes.c).
exec "${builddir:?}/tests/sim/bench/nodes" "$@"
