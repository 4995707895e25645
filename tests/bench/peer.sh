#!/bin/sh
# The same requests to this API server and to another one, in the same run on the same machine, in pairs one after the
# other, so that whatever else the machine does is in the way of both. A JSON line for each row: what both said
# (medians of the pairs), the ratio (median of the pairs' ratios), its goal, "missed". If one is missed, the exit status is 1.
# The other one, any kube-apiserver, is told by the environment:
#	ORLOP_PEER_KUBECONFIG=FILE	its administrator; without it there is nothing to compare
#	ORLOP_PEER_NETNS=NAME		the network namespace in which it listens on 127.0.0.1
#	ORLOP_PEER_PIDS="PID PID"	its processes (server, storage): their memory is compared; without: only ours is told
#	ORLOP_BENCH_PAIRS=3 ORLOP_BENCH_SECONDS=2 ORLOP_BENCH_IDLE=60 ORLOP_BENCH_ROWS=REGEX (of the rows' names; all)
#	ORLOP_BENCH_PODS="5000 20000" ORLOP_BENCH_SMALL=30000 ORLOP_BENCH_CRDS=500 ORLOP_BENCH_WATCHERS=1000 (by 100)
[ -n "$ORLOP_PEER_KUBECONFIG" ] || { echo "$0: ORLOP_PEER_KUBECONFIG names no peer: not compared" >&2; exit 0; }
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime kubectl python3
: "${ORLOP_BENCH_PAIRS:=3}" "${ORLOP_BENCH_SECONDS:=2}" "${ORLOP_BENCH_IDLE:=60}" "${ORLOP_BENCH_ROWS:=.}"
: "${ORLOP_BENCH_PODS:=5000 20000}" "${ORLOP_BENCH_SMALL:=30000}" "${ORLOP_BENCH_CRDS:=500}" "${ORLOP_BENCH_WATCHERS:=1000}"
COMMAND="ORLOP_PEER_KUBECONFIG=… ORLOP_PEER_PIDS=… builddir=$builddir $0"
export COMMAND
load=$builddir/tests/bench/load
fanout=$builddir/tests/bench/fanout

fail()
{
	echo "$0: $*" >&2
	cat "$out" >&2
	exit 1
}
pk() { kubectl --kubeconfig "$ORLOP_PEER_KUBECONFIG" --cache-dir="$tmp/peer-cache" "$@"; }
each()	# WORDS OF KUBECTL...: to both
{
	k "$@" > "$out" 2>&1 || fail "$*"
	pk "$@" > "$out" 2>&1 || fail "peer: $*"
}
wanted() { echo "$1" | grep -qE -- "$ORLOP_BENCH_ROWS"; }
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
ours() { "$load" "$dir/pki" "$port" "$@"; }
in_peer()	# COMMAND...
{
	if [ -n "$ORLOP_PEER_NETNS" ]; then
		nsenter --net="/run/netns/$ORLOP_PEER_NETNS" "$@"
	else
		"$@"
	fi
}
theirs() { in_peer "$load" "$tmp/peer" "$peer_port" "$@"; }

# row KIND GOAL NAME: of what lies in $tmp/a and $tmp/b, a line for each pair. KIND: what the ratio is of, and whether
# it is to be at least or at most the goal; "verbs": p99 of each of ours by p50 of each of theirs.
cat > "$tmp/row.py" << 'PY'
import json, os, statistics, sys
kind, goal, name = sys.argv[1], float(sys.argv[2]), sys.argv[3]
a, b = ([json.loads(line) for line in open(f)] for f in sys.argv[4:6])
def middle(lines):
    return {key: middle([line[key] for line in lines]) if isinstance(v, dict) else round(statistics.median(line[key] for line in lines), 1)
            for key, v in lines[0].items() if not isinstance(v, str)}
def ratio(x, y=None):
    return statistics.median(x(p) / (y or x)(q) for p, q in zip(a, b))
out = {"name": name, "orlop": middle(a), "peer": middle(b), "pairs": len(a)}
if kind == "verbs":
    out["ratios"] = {v: round(ratio(lambda l: l["verbs"][v]["p99_us"], lambda l: l["verbs"][v]["p50_us"]), 3) for v in a[0]["verbs"]}
    got, least = max(out["ratios"].values()), False
elif kind == "bytes_per_second":
    for side in (out["orlop"], out["peer"]):
        side["mb_per_second"] = round(side["bytes"] * side["per_second"] / 1e6, 1)
    got, least = ratio(lambda l: l["bytes"] * l["per_second"]), True
else:
    got, least = ratio(lambda l: l[kind]), kind == "per_second"
out["ratio"] = round(got, 1 if least else 4)
if goal:
    out["goal"] = ("≥ %g" if least else "≤ %.4g") % goal
    out["missed"] = got < goal if least else got > goal
out["command"] = os.environ["COMMAND"]
print(json.dumps(out, separators=(",", ":"), ensure_ascii=False))
if out.get("missed"):
    print("%s: ratio %s, goal %s" % (name, out["ratio"], out["goal"]), file=sys.stderr)
PY
row() { python3 "$tmp/row.py" "$1" "$2" "$3" "$tmp/a" "$tmp/b" 2>> "$tmp/missed" || fail "row $3"; }
# pairs KIND GOAL NAME ARGUMENTS OF LOAD...; "%p" in the last is the number of the pair, for names that are new; a path
# that ends in "resourceVersion=" goes on with the one that the server has now.
now_of()	# k|pk PATH: the path
{
	case $2 in
	*resourceVersion=) echo "$2$("$1" get --raw "${2%\?*}?limit=1" | sed -n 's/^{[^[]*"resourceVersion":"\([0-9]*\)".*/\1/p')" ;;
	*) echo "$2" ;;
	esac
}
pairs()
{
	kind=$1 goal=$2 name=$3
	shift 3
	wanted "$name" || return 0
	: > "$tmp/a" && : > "$tmp/b"
	for pair in $(seq "$ORLOP_BENCH_PAIRS"); do
		verb=$1 clients=$2 n=$3 path=$4
		body=$(echo "$5" | sed "s/%p/$pair/g")
		ours "$name" "$verb" "$clients" "$n" "$(now_of k "$path")" "$body" >> "$tmp/a" 2> "$out" || fail "load: $name"
		theirs "$name" "$verb" "$clients" "$n" "$(now_of pk "$path")" "$body" >> "$tmp/b" 2> "$out" || fail "peer: load: $name"
	done
	row "$kind" "$goal" "$name"
}
# alone NAME KEY GOT GOAL MORE: a row that has no peer; at most the goal.
alone()
{
	miss=$(awk -v got="$3" -v goal="$4" 'BEGIN { print (got == "" || got + 0 > goal + 0) ? "true" : "false" }')
	[ "$miss" = false ] || echo "$1: $2 $3, goal ≤ $4" >> "$tmp/missed"
	echo "{\"name\":\"$1\",\"$2\":$3,\"goal\":\"≤ $4\",\"missed\":$miss$5,\"command\":\"$COMMAND\"}"
}
# KiB of PIDS together: anonymous memory, or resident.
memory()	# FIELD PIDS...
{
	field=$1
	shift
	for pid; do
		sed -n "s/^$field:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$pid/status"
	done | awk '{ n += $1 } END { print n + 0 }'
}
pids_ours()
{
	daemon=$(cat "$dir/orlopd.pid")
	echo "$daemon"
	cat "/proc/$daemon/task/"*/children 2> /dev/null | tr ' ' '\n' | while read -r pid; do
		[ "$(readlink "/proc/$pid/exe")" != "$(readlink "/proc/$daemon/exe")" ] || echo "$pid"
	done
}
memory_line()	# PIDS...
{
	echo "{\"anonymous_kib\":$(memory RssAnon "$@"),\"resident_kib\":$(memory VmRSS "$@")}"
}

# ---- idle, with all that a node has ----------------------------------------------------------------------------
name="resident memory idle, all-in-one"
if wanted "$name"; then
	up > "$out" 2>&1 || fail "orlop up"
	await ' Ready ' nodes --no-headers > "$out" 2>&1 || fail "the node"
	sleep "$ORLOP_BENCH_IDLE"	# what is measured is what it needs when nothing happens
	# shellcheck disable=SC2046
	alone "$name" kib "$(memory VmRSS $(pids_ours))" 16384 ",\"after_s\":$ORLOP_BENCH_IDLE"
	"$orlop" down --wipe --grace 0 --data-dir "$dir" > "$out" 2>&1 || fail "orlop down"
fi

# ---- beside the peer: a control plane each ---------------------------------------------------------------------
up --without kubelet,runtime/oci,cni/bridge > "$out" 2>&1 || fail "orlop up"
port=$(setting port)
ns=bench-$$
end()
{
	pk get namespaces -o name 2> /dev/null | grep "^namespace/$ns" | while read -r name; do
		pk delete "$name" --wait=false > /dev/null 2>&1 < /dev/null
	done
	e2e_end
}
trap end EXIT
each create namespace "$ns"
each -n "$ns" create serviceaccount bench
cms=/api/v1/namespaces/$ns/configmaps

name="anonymous memory with $ORLOP_BENCH_SMALL small ConfigMaps"
if wanted "$name"; then
	small='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m-%u"},"data":{"key":"value"}}'
	each create namespace "$ns-small"
	ours fill fill 50 "$ORLOP_BENCH_SMALL" "/api/v1/namespaces/$ns-small/configmaps" "$small" > "$out" 2>&1 || fail "fill"
	# shellcheck disable=SC2046
	memory_line $(pids_ours) > "$tmp/a"
	if [ -n "$ORLOP_PEER_PIDS" ]; then
		theirs fill fill 50 "$ORLOP_BENCH_SMALL" "/api/v1/namespaces/$ns-small/configmaps" "$small" > "$out" 2>&1 || fail "peer: fill"
		# shellcheck disable=SC2086
		memory_line $ORLOP_PEER_PIDS > "$tmp/b"
		row anonymous_kib 0.066667 "$name"
	else
		sed "s|^{|{\"name\":\"$name\",|" "$tmp/a"
	fi
fi

one='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"key":"value"}}'
echo "$one" > "$tmp/cm"
each -n "$ns" create -f "$tmp/cm"
for n in 1 100; do
	pairs per_second 5 "GET configmap, $n clients" get $n "$ORLOP_BENCH_SECONDS" "$cms/one"
done
pairs per_second 5 "GET configmap, 100 clients, protobuf" get-proto 100 "$ORLOP_BENCH_SECONDS" "$cms/one"
# One client waits for the disk and nothing else, here as there: told, not judged.
for n in 1 100; do
	pairs per_second "$([ $n = 1 ] && echo 0 || echo 5)" "durable create, $n clients" post $n "$ORLOP_BENCH_SECONDS" "$cms" \
		'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c'$n'-%p-%u"},"data":{"key":"value"}}'
done
each create namespace "$ns-mixed"
pairs verbs 1 "mixed load, 16 clients: p99 by the peer's p50" mixed 16 "$ORLOP_BENCH_SECONDS" "/api/v1/namespaces/$ns-mixed/configmaps" \
	'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m-%u"},"data":{"key":"0123456789abcdef","request":"%r"}}'
# Clients watch over HTTP/2, many resources on one connection: so do these, 100 on each. A connection each is told beside it,
# and what the kernel takes for that without TLS and HTTP: it leaves no room for the goal.
fan()	# GOAL CONNECTIONS STREAMS EVENTS NAME
{
	wanted "$5" || return 0
	: > "$tmp/a" && : > "$tmp/b"
	for pair in $(seq "$ORLOP_BENCH_PAIRS"); do
		path="/api/v1/namespaces/$ns-watch/configmaps?labelSelector=bench%3Dwatch&resourceVersion="
		body='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w-'$2-$pair'-%u","labels":{"bench":"watch"}},"data":{"key":"value"}}'
		"$fanout" "$dir/pki" "$port" "$5" "$2" "$3" "$4" "$(now_of k "$path")" "$body" >> "$tmp/a" 2> "$out" ||
			fail "fanout: $5"
		in_peer "$fanout" "$tmp/peer" "$peer_port" "$5" "$2" "$3" "$4" "$(now_of pk "$path")" "$body" \
			>> "$tmp/b" 2> "$out" || fail "peer: fanout: $5"
	done
	row told_p99_us "$1" "$5"
}
each create namespace "$ns-watch"
fan 0.2 $((ORLOP_BENCH_WATCHERS / 100)) 100 200 "watch fan-out to $ORLOP_BENCH_WATCHERS watchers on $((ORLOP_BENCH_WATCHERS / 100)) connections, p99"
name="watch fan-out to $ORLOP_BENCH_WATCHERS watchers with a connection each, p99"
fan 0 "$ORLOP_BENCH_WATCHERS" 1 50 "$name"
if wanted "$name"; then
	"$fanout" floor "the kernel alone: $ORLOP_BENCH_WATCHERS sockets, p99" "$ORLOP_BENCH_WATCHERS" 50 450 2> "$out" ||
		fail "fanout: floor"
fi

# Nothing schedules them.
pod='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-%u","labels":{"app":"bench"}},"spec":{"schedulerName":"none","serviceAccountName":"bench","automountServiceAccountToken":false,"containers":[{"name":"c","image":"localhost/none:1","command":["sleep","1000"],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}]}}'
for count in $ORLOP_BENCH_PODS; do
	wanted "list of $count pods" || wanted "list of $count pods, protobuf" || continue
	each create namespace "$ns-$count"
	each -n "$ns-$count" create serviceaccount bench
	pods=/api/v1/namespaces/$ns-$count/pods
	ours fill fill 50 "$count" "$pods" "$pod" > "$out" 2>&1 || fail "pods"
	theirs fill fill 50 "$count" "$pods" "$pod" > "$out" 2>&1 || fail "pods of the peer"
	pairs bytes_per_second 20 "list of $count pods" get 1 "$ORLOP_BENCH_SECONDS" "$pods"
	# As informers begin. Told, not judged: it is as fast as TLS and loopback carry bytes here.
	pairs bytes_per_second 0 "list of $count pods, from the peer's cache" get 1 "$ORLOP_BENCH_SECONDS" "$pods?resourceVersion=0"
	pairs bytes_per_second 0 "list of $count pods, protobuf" get-proto 1 "$ORLOP_BENCH_SECONDS" "$pods"
done
name="memory of $ORLOP_BENCH_CRDS CustomResourceDefinitions beyond their own bytes"
if wanted "$name"; then
	crd='{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things%u.bench.example.org"},"spec":{"group":"bench.example.org","scope":"Namespaced","names":{"plural":"things%u","singular":"thing%u","kind":"Thing%u","listKind":"Thing%uList"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},"additionalPrinterColumns":[{"name":"Phase","type":"string","jsonPath":".status.phase"},{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}],"schema":{"openAPIV3Schema":{"type":"object","description":"A thing of the benchmark.","required":["spec"],"properties":{"spec":{"type":"object","description":"What is wanted.","required":["image"],"properties":{"image":{"type":"string","description":"Where it comes from.","minLength":1,"maxLength":253},"replicas":{"type":"integer","format":"int32","minimum":0,"default":1,"description":"How many."},"mode":{"type":"string","enum":["Fast","Slow","Off"],"default":"Slow"},"pattern":{"type":"string","pattern":"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},"labels":{"type":"object","additionalProperties":{"type":"string"}},"limits":{"type":"object","additionalProperties":{"x-kubernetes-int-or-string":true}},"ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"port":{"type":"integer","format":"int32","minimum":1,"maximum":65535},"protocol":{"type":"string","default":"TCP"}}}},"template":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},"status":{"type":"object","properties":{"phase":{"type":"string"},"replicas":{"type":"integer"},"conditions":{"type":"array","items":{"type":"object","required":["type","status"],"properties":{"type":{"type":"string"},"status":{"type":"string"},"reason":{"type":"string"},"message":{"type":"string"},"lastTransitionTime":{"type":"string","format":"date-time"}}}}}}}}}}]}}'
	# shellcheck disable=SC2046
	before=$(memory RssAnon $(pids_ours))
	ours fill fill 8 "$ORLOP_BENCH_CRDS" /apis/apiextensions.k8s.io/v1/customresourcedefinitions "$crd" > "$out" 2>&1 || fail "definitions"
	# Each is served, and has been asked for, before they are weighed.
	own=$(python3 - "$dir/pki" "$port" "$ns" << 'PY' 2> "$out"
import http.client, json, ssl, sys, time
pki, port, ns = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ctx = ssl.create_default_context(cafile=pki + "/ca.crt")
ctx.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=30)
def get(path):
    conn.request("GET", path)
    r = conn.getresponse()
    return r.status, r.read()
end = time.monotonic() + 60
crds = json.loads(get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")[1])["items"]
for c in crds:
    while get("/apis/%s/v1/namespaces/%s/%s" % (c["spec"]["group"], ns, c["spec"]["names"]["plural"]))[0] != 200:
        if time.monotonic() > end:
            sys.exit("%s is not served" % c["metadata"]["name"])
print(sum(len(json.dumps(c, separators=(",", ":"))) for c in crds))
PY
) || fail "definitions"
	# shellcheck disable=SC2046
	after=$(memory RssAnon $(pids_ours))
	alone "$name" mb "$(awk "BEGIN { printf \"%.1f\", (($after - $before) * 1024 - $own) / 1e6 }")" 25 \
		",\"own_mb\":$(awk "BEGIN { printf \"%.1f\", $own / 1e6 }"),\"anonymous_kib_each\":$(((after - before) / ORLOP_BENCH_CRDS))"
fi

[ ! -s "$tmp/missed" ] || { sed "s|^|$0: MISSED: |" "$tmp/missed" >&2; exit 1; }
