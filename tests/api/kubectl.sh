#!/bin/sh
# run: timeout=400
# The kubectl of this machine (or $KUBECTL) does what people do with it.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
command -v "${KUBECTL:-kubectl}" > /dev/null || { echo "1..0 # SKIP no kubectl"; exit 0; }
exec python3 "$srcdir/tests/api/rig.py" sh "$srcdir/tests/api/kubectl-steps.sh"
