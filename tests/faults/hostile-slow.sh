#!/bin/sh
# run: timeout=300
# Hostile modules, those that take a minute too.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
HOSTILE_SLOW=1 exec python3 -B "$srcdir/tests/faults/hostile.py"
