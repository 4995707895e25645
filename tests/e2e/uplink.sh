#!/bin/sh
# run: timeout=450 alone
# Two daemons: a control plane, and one that joins it with scheduler, controllers and kubelet. Pods run; either is
# killed and comes back; the way between them is cut; two compete for leadership; bad credentials end in one line.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

control=scheduler/default,kubelet,runtime/oci,cni/bridge
for c in namespace garbage-collector serviceaccount replicaset deployment node-lifecycle taint-eviction pod-garbage-collector \
	replicationcontroller endpoints endpointslice disruption resourcequota pv-protection pvc-protection ephemeral-volume; do
	control=$control,controllers/$c
done
node=$tmp/n other=$tmp/o wire=
# shellcheck disable=SC2317 # by the trap
ends()
{
	[ -z "$wire" ] || kill "$wire" 2> /dev/null
	for d in "$node" "$other"; do
		[ ! -e "$d" ] || "$orlop" down --wipe --grace 0 --data-dir "$d" > /dev/null 2>&1
	done
	e2e_end
}
trap ends EXIT

join()	# DIR OPTIONS...
{
	to=$1
	shift
	"$orlop" up --data-dir "$to" --kubelet-port 0 --timeout $((60 * TEST_TIMEOUT_FACTOR)) --join "$tmp/wire.kubeconfig" "$@"
}
# A wire that can be cut: connections to its port go on to the API server's.
cat > "$tmp/wire.py" << 'PY'
import socket, sys, threading
def copy(a, b):
    try:
        while True:
            d = a.recv(65536)
            if not d: break
            b.sendall(d)
    except OSError: pass
    for s in (a, b):
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("127.0.0.1", int(sys.argv[1]))); l.listen(50)
print(l.getsockname()[1], flush=True)
while True:
    a, _ = l.accept()
    try: b = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    except OSError: a.close(); continue
    for x, y in ((a, b), (b, a)): threading.Thread(target=copy, args=(x, y), daemon=True).start()
PY
wire_up()	# PORT (0: any)
{
	rm -f "$tmp/wirefifo"
	mkfifo "$tmp/wirefifo"
	python3 -B "$tmp/wire.py" "$1" "$port" > "$tmp/wirefifo" 2> /dev/null &
	wire=$!
	read -r wire_port < "$tmp/wirefifo"
}
wire_down()
{
	kill -9 "$wire"
	wait "$wire" 2> /dev/null
	wire=
}
running()	# N pods are Running with all containers ready
{
	k rollout status deployment/hello --timeout=60s && await "^hello +$1/$1 " deployment hello --no-headers
}
containers()
{
	k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
logged()	# TEXT: the node's log has it, now or soon
{
	timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -n +1 -s 0.1 -F "$node/log/orlopd.log" 2> /dev/null | grep -q -m 1 -F -- "$1"
}
daemon()	# DIR
{
	"$orlop" status --json --data-dir "$1" | sed -n 's/^  "pid": \([0-9]*\).*/\1/p'
}

ok "a control plane alone" up --without "$control" || finish
port=$(sed -n 's/.*127.0.0.1:\([0-9]*\)$/\1/p' "$dir/admin.kubeconfig")
wire_up 0
sed "s/127.0.0.1:$port/127.0.0.1:$wire_port/" "$dir/admin.kubeconfig" > "$tmp/wire.kubeconfig"
ok "another daemon joins it" join "$node" --role worker,controllers --node-name uplinked --pki "$dir/pki" || finish
ok "its node is ready" await '^uplinked +Ready ' nodes --no-headers || finish
"$srcdir/examples/hello/make-image" "$tmp/image.tar" 1 > /dev/null 2>&1
ok "an image" "$orlop" image import --data-dir "$node" "$tmp/image.tar"
k apply -f "$srcdir/examples/hello" > /dev/null 2>&1
ok "a Deployment runs: scheduler, controllers and kubelet work from afar" running 3
ok "each pod serves its page" page "$(k get pods -l app=hello -o jsonpath='{.items[0].status.podIP}'):8080"
says "logs" serving k logs deployment/hello
is "exec" hi k exec deployment/hello -- echo hi
says "leadership is a Lease" orlop-controllers-deployment k get leases -n kube-system
containers > "$tmp/before"

kill -9 "$(daemon "$dir")"
ok "the control plane is killed: the node says so" logged "event=server_lost"
ok "it comes back" "$orlop" up --data-dir "$dir" || finish
ok "the node finds it again" logged "event=server_back" || finish
k scale deployment/hello --replicas=4 > /dev/null
ok "and works on" running 4
k scale deployment/hello --replicas=3 > /dev/null
ok "both ways" running 3

wire_down
ok "the way is cut" k scale deployment/hello --replicas=5
wire_up "$wire_port"
ok "and back: nothing is lost" running 5
k scale deployment/hello --replicas=3 > /dev/null
ok "scaled down" running 3

k get pods -l app=hello -o name | sort > "$tmp/pods"
containers > "$tmp/before"
kill -9 "$(daemon "$node")"
ok "the node's daemon is killed and comes back" join "$node"
ok "the node is ready" await '^uplinked +Ready ' nodes --no-headers
is "no container was touched" "$(cat "$tmp/before")" containers
k scale deployment/hello --replicas=4 > /dev/null
ok "and it works on" running 4

ok "a second one for the same work" join "$other" --role controllers
waits() { "$orlop" status --data-dir "$other" | grep waiting; }
ok "it waits" within waits
first=$(k get lease -n kube-system orlop-controllers-deployment -o jsonpath='{.spec.holderIdentity}')
"$orlop" down --data-dir "$node" > /dev/null
ok "the first goes: the second leads" await "^orlop-controllers-deployment +[^ ]*_" leases -n kube-system --no-headers
taken()
{
	now=$(k get lease -n kube-system orlop-controllers-deployment -o jsonpath='{.spec.holderIdentity}')
	[ -n "$now" ] && [ "$now" != "$first" ]
}
ok "by its own name" within taken

sed 's/certificate-authority-data: .*/certificate-authority-data: '"$(base64 -w0 "$srcdir/LICENSE" | head -c 400)"'/' "$tmp/wire.kubeconfig" > "$tmp/junk.kubeconfig"
bad()	# FILE: join with it
{
	"$orlop" up --data-dir "$tmp/x" --join "$1" --role scheduler --timeout 10
}
refuses "a kubeconfig that is not there" "No such file" bad "$tmp/none.kubeconfig"
refuses "an authority that is none" "CA certificates" bad "$tmp/junk.kubeconfig"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -days 2 -keyout "$tmp/o.key" -out "$tmp/o.crt" 2> /dev/null
sed "s/certificate-authority-data: .*/certificate-authority-data: $(base64 -w0 "$tmp/o.crt")/" "$tmp/wire.kubeconfig" > "$tmp/foreign.kubeconfig"
refuses "another's authority" "does certificate-authority fit this server?" bad "$tmp/foreign.kubeconfig"
sed -e '/client-key-data/d' -e "s/client-certificate-data: .*/token: wrong/" "$tmp/wire.kubeconfig" > "$tmp/token.kubeconfig"
refuses "a wrong token" "401 Unauthorized" bad "$tmp/token.kubeconfig"
"$orlop" down --wipe --data-dir "$tmp/x" > /dev/null 2>&1
finish
