#!/bin/sh
# run: timeout=400
# Writes, lists, watches and crashes while the bus loses every fifth message, and doubles and reorders some.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM HUP
n=0 bad=0
for t in errors writes lists watches crd kill9; do
	n=$((n + 1))
	if RIG_LOSS=1 python3 -B "$srcdir/tests/api/$t.py" > "$out" 2>&1; then
		echo "ok $n - $t"
	else
		echo "not ok $n - $t"
		grep -A 20 '^not ok' "$out" | sed 's/^/# /'
		bad=1
	fi
done
echo "1..$n"
exit $bad
