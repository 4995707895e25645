#!/bin/sh
# Seeds of the simulated cluster: those that found something once, and as many new ones as time allows.
# SIM_SEEDS (1-100000), SIM_SECONDS (20; check-long: 120)
# run: timeout=300
set -u
: "${srcdir:?}" "${builddir:?}"
cluster=$builddir/tests/sim/cluster/cluster
seconds=${SIM_SECONDS:-20}
n=0

for f in "$srcdir"/tests/sim/found/*.seed; do
	[ -e "$f" ] || continue
	n=$((n + 1))
	seed=$(sed -n '1p' "$f")
	if out=$("$cluster" --seeds "$seed-$seed" --quiet 2>&1); then
		echo "ok $n - seed $seed: $(basename "$f" .seed)"
	else
		echo "$out" | sed 's/^/# /'
		echo "not ok $n - seed $seed: $(basename "$f" .seed)"
	fi
done
n=$((n + 1))
if out=$("$cluster" --seeds "${SIM_SEEDS:-1-100000}" --quiet --seconds "$seconds" 2>&1); then
	echo "ok $n - $(echo "$out" | tail -1)"
else
	echo "$out" | sed 's/^/# /'
	echo "not ok $n - $(echo "$out" | tail -1)"
fi
echo "1..$n"
