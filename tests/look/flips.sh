#!/bin/sh
# run: timeout=300
# The tests of snapshots with many more flipped bits.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
LOOK_FLIPS=600 exec python3 -B "$srcdir/tests/look/snapshot.py"
