#!/bin/sh
# run: timeout=480
# The same while the bus loses every fifth message, and doubles and reorders some: nothing changes but time.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
command -v "${KUBECTL:-kubectl}" > /dev/null || { echo "1..0 # SKIP no kubectl"; exit 0; }
RIG_LOSS=1 exec python3 "$srcdir/tests/api/rig.py" sh "$srcdir/tests/api/kubectl-steps.sh"
