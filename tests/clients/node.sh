#!/bin/sh
# run: timeout=300 alone
# The JavaScript client (npm's @kubernetes/client-node, from 1.0) as people use it, against a node that runs pods.
# ORLOP_CLIENT_NODE is the folder that has its node_modules; nothing is fetched here.
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
command -v node > /dev/null || { echo "1..0 # SKIP no node"; exit 0; }
if [ ! -d "${ORLOP_CLIENT_NODE:-}/node_modules/@kubernetes/client-node" ]; then
	echo "1..0 # SKIP no JavaScript client: npm install @kubernetes/client-node in a folder, and name it by ORLOP_CLIENT_NODE"
	exit 0
fi
. "$srcdir/tests/e2e/lib.sh"
need conmon runtime skopeo kubectl busybox
{ up && image 1 && await ' Ready ' nodes --no-headers; } > "$out" 2>&1 || { result "a node" 1; finish; }
KUBECONFIG="$dir/admin.kubeconfig" node "$srcdir/tests/clients/node.mjs" "$ORLOP_CLIENT_NODE" "$tmp"
status=$?
[ $status = 0 ] || [ ! -f "$dir/log/orlopd.log" ] || tail -n 40 "$dir/log/orlopd.log" | sed 's/^/# /'
exit $status
