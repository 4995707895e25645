#!/bin/sh
# run: timeout=1800 alone
# Every allocation, write and call, where faults.py tries some.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
FAULT_EVERY=1 FAULT_SECONDS=25 exec python3 -B "$srcdir/tests/faults/faults.py"
