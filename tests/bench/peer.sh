#!/bin/sh
# The same requests to this API server and to another one, in the same run on the same machine: rates of
# both and their ratio, a JSON line each. The other one, any kube-apiserver, is told by the environment:
#	ORLOP_PEER_KUBECONFIG=FILE	its administrator; without it there is nothing to compare
#	ORLOP_PEER_NETNS=NAME		the network namespace in which it listens on 127.0.0.1
#	ORLOP_BENCH_SECONDS=2 ORLOP_PEER_PODS=2000
[ -n "$ORLOP_PEER_KUBECONFIG" ] || { echo "$0: ORLOP_PEER_KUBECONFIG names no peer: not compared" >&2; exit 0; }
. "$(dirname "$0")/../e2e/lib.sh"
need kubectl python3
: "${ORLOP_BENCH_SECONDS:=2}" "${ORLOP_PEER_PODS:=2000}"
command="ORLOP_PEER_KUBECONFIG=… builddir=$builddir $0"
load=$builddir/tests/bench/load

fail()
{
	echo "$0: $*" >&2
	cat "$out" >&2
	exit 1
}
pk() { kubectl --kubeconfig "$ORLOP_PEER_KUBECONFIG" "$@"; }
# The peer's files as `load` wants them, whether the kubeconfig has paths or data in it.
mkdir -p "$tmp/peer"
pk config view --raw --flatten --minify -o json > "$tmp/peer.json" 2> "$out" || fail "kubeconfig"
peer_port=$(python3 - "$tmp/peer.json" "$tmp/peer" << 'PY'
import base64, json, sys, urllib.parse
c = json.load(open(sys.argv[1]))
cluster, user = c["clusters"][0]["cluster"], c["users"][0]["user"]
for name, text in (("ca.crt", cluster["certificate-authority-data"]), ("admin.crt", user["client-certificate-data"]),
                   ("admin.key", user["client-key-data"])):
    open(sys.argv[2] + "/" + name, "wb").write(base64.b64decode(text))
print(urllib.parse.urlparse(cluster["server"]).port or 443)
PY
) || fail "kubeconfig of the peer"
up --without kubelet,runtime/oci,cni/bridge > "$out" 2>&1 || fail "orlop up"
port=$(setting port)

ours() { "$load" "$dir/pki" "$port" "$@"; }
theirs()
{
	if [ -n "$ORLOP_PEER_NETNS" ]; then
		nsenter --net="/run/netns/$ORLOP_PEER_NETNS" "$load" "$tmp/peer" "$peer_port" "$@"
	else
		"$load" "$tmp/peer" "$peer_port" "$@"
	fi
}
# One line of JSON from both: what they said, and ours by theirs.
both()	# NAME ARGUMENTS OF LOAD
{
	COMMAND=$command ours "$@" > "$tmp/a" 2> "$out" || fail "load $*"
	COMMAND=$command theirs "$@" > "$tmp/b" 2> "$out" || fail "peer: load $*"
	python3 - "$tmp/a" "$tmp/b" << 'PY'
import json, sys
a, b = (json.loads(open(f).readline()) for f in sys.argv[1:3])
out = {"name": a["name"] + ", beside the peer", "orlop": a, "peer": b}
for key in a:
    if key.startswith("per_second") and isinstance(b.get(key), (int, float)) and b[key]:
        out["ratio_" + key] = round(a[key] / b[key], 1)
print(json.dumps(out, separators=(",", ":")))
PY
}
ns=bench-$$
k create namespace "$ns" > "$out" 2>&1 || fail "namespace"
pk create namespace "$ns" > "$out" 2>&1 || fail "namespace of the peer"
cm=/api/v1/namespaces/$ns/configmaps
one='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"key":"value"}}'
echo "$one" > "$tmp/cm"
k -n "$ns" create -f "$tmp/cm" > "$out" 2>&1 || fail "configmap"
pk -n "$ns" create -f "$tmp/cm" > "$out" 2>&1 || fail "configmap of the peer"
for n in 1 100; do
	both "GET configmap, $n clients" get $n "$ORLOP_BENCH_SECONDS" "$cm/one"
	both "durable create, $n clients" post $n "$ORLOP_BENCH_SECONDS" "$cm" \
		'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c'$n'-%u"},"data":{"key":"value"}}'
done
pods=/api/v1/namespaces/$ns/pods
k -n "$ns" create serviceaccount bench > "$out" 2>&1 || fail "service account"
pk -n "$ns" create serviceaccount bench > "$out" 2>&1 || fail "service account of the peer"
pod='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-%u","labels":{"app":"bench"}},"spec":{"serviceAccountName":"bench","automountServiceAccountToken":false,"nodeSelector":{"bench":"nowhere"},"containers":[{"name":"c","image":"localhost/none:1","resources":{"requests":{"cpu":"10m"}}}]}}'
ours fill fill 50 "$ORLOP_PEER_PODS" "$pods" "$pod" > "$out" 2>&1 || fail "pods"
theirs fill fill 50 "$ORLOP_PEER_PODS" "$pods" "$pod" > "$out" 2>&1 || fail "pods of the peer"
both "list of $ORLOP_PEER_PODS pods" get 1 "$ORLOP_BENCH_SECONDS" "$pods"
both "list of $ORLOP_PEER_PODS pods, protobuf" get-proto 1 "$ORLOP_BENCH_SECONDS" "$pods"
pk delete namespace "$ns" --wait=false > "$out" 2>&1
exit 0
