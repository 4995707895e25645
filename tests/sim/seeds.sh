#!/bin/sh
# Seeds of the simulated cluster: those that found something once, and as many new ones as time allows.
# SIM_SEEDS (1-100000), SIM_SECONDS (20; check-long: 120)
# run: timeout=300
set -u
: "${srcdir:?}" "${builddir:?}"
cluster=$builddir/tests/sim/cluster/cluster
seconds=${SIM_SECONDS:-20}
n=0
case " ${SANITIZERS-} " in
*thread*)
	echo '1..0 # SKIP threads are simulated, so there is nothing for the thread sanitizer'
	exit 0
	;;
esac
for m in storage/lmdb apiserver/apiserver kubelet/kubelet scheduler/default; do
	[ -e "$builddir/modules/$m.so" ] || { echo "1..0 # SKIP without $m"; exit 0; }
done

for f in "$srcdir"/tests/sim/found/*.seed; do
	[ -e "$f" ] || continue
	n=$((n + 1))
	# first line: SEED [FLAVOUR]
	read -r seed flavour <"$f"
	if out=$("$cluster" --seeds "$seed-$seed" --quiet ${flavour:+--flavour "$flavour"} 2>&1); then
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
