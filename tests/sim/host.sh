#!/bin/sh
# host.sh - the simulation host keeps its own promises (test/host.c).
# run: timeout=120
: "${builddir:?}"
case " ${SANITIZERS-} " in
*thread*)
	echo '1..0 # SKIP threads are simulated, so there is nothing for the thread sanitizer'
	exit 0
	;;
esac
for m in storage/lmdb apiserver/apiserver; do
	[ -e "$builddir/modules/$m.so" ] || { echo "1..0 # SKIP without $m"; exit 0; }
done
exec "$builddir/tests/sim/test/host"
