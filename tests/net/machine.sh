#!/bin/sh
# run: timeout=300 alone
# A machine of two families, told by a settings file: pods have addresses of both, a hostPort is reached from outside and
# by localhost, limits hold, a pod of the host's network has its address. In a network namespace of the test's own.
if [ -z "$ORLOP_NETWORK_TEST" ]; then
	export ORLOP_NETWORK_TEST=1
	[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
	exec unshare -n "$0" "$@"
fi
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox ip nft tc
ip link set lo up
ip link add w0 type veth peer name w1
ip addr add 192.0.2.1/24 dev w0
ip -6 addr add 2001:db8::1/64 dev w0 nodad
ip link set w0 mtu 1400
ip link set w0 up
ip link set w1 up
ip route add default via 192.0.2.254

cat > "$tmp/orlop.conf" << 'EOF'
up = {
	pod_cidr = "10.213.5.0/24,fd00:213::/64";
	node_name = "net1";
};
change = ( { module = "cni/bridge"; params = { mtu = 1380; }; } );
EOF
cat > "$tmp/bad.conf" << 'EOF'
up = {
	pod_cdir = "10.213.5.0/24";
};
EOF
refuses "a word that is not known" "bad.conf:2: pod_cdir: unknown setting; known: node_name" up --settings "$tmp/bad.conf"
printf 'up = {\n\tport = "x";\n};\n' > "$tmp/bad.conf"
refuses "of a wrong type" "bad.conf:2: port: want a number" up --settings "$tmp/bad.conf"
printf 'up = {\n' > "$tmp/bad.conf"
refuses "half a file" "bad.conf:" up --settings "$tmp/bad.conf"
printf 'change = (\n\t{ module = "cni/bridge"; params = { mtuu = 1; }; } );\n' > "$tmp/bad.conf"
refuses "a parameter that is not known" "$tmp/bad.conf:2: module cni/bridge: unknown parameter mtuu" up --settings "$tmp/bad.conf"
refuses "networks of one family twice" "both with a comma" up --pod-cidr 10.1.0.0/24,10.2.0.0/24 --settings none
ok "up by a settings file" up --settings "$tmp/orlop.conf" || finish
ok "the node is ready" await 'net1 +Ready ' nodes --no-headers || finish
is "it has networks of both families" '10.213.5.0/24 ["10.213.5.0/24","fd00:213::/64"]' k get node net1 -o jsonpath='{.spec.podCIDR} {.spec.podCIDRs}'
says "the parameter is the file's" " mtu 1380 " ip link show "$(setting bridge)"
ok "image" image 1

cat > "$tmp/pods.yaml" << 'EOF'
apiVersion: v1
kind: Pod
metadata: { name: web, annotations: { kubernetes.io/ingress-bandwidth: 10M, kubernetes.io/egress-bandwidth: 20M } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: localhost/hello:1
    imagePullPolicy: Never
    ports: [ { containerPort: 8080, hostPort: 18080 } ]
    env:
    - { name: IPS, valueFrom: { fieldRef: { fieldPath: status.podIPs } } }
---
apiVersion: v1
kind: Pod
metadata: { name: host }
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
  - { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, sleep, '1000' ] }
---
apiVersion: v1
kind: Pod
metadata: { name: wide, annotations: { kubernetes.io/ingress-bandwidth: '10' } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - { name: c, image: 'localhost/hello:1', imagePullPolicy: Never }
EOF
ok "apply" k apply -f "$tmp/pods.yaml"
ok "they run" k wait --for=condition=Ready pod/web pod/host --timeout=60s
ips=$(k get pod web -o jsonpath='{.status.podIPs[*].ip}')
ok "a pod has addresses of both families" sh -c "echo '$ips' | grep -E '^10\.213\.5\.[0-9]+ fd00:213::[0-9a-f]+$'"
is "the first is its podIP" "${ips% *}" k get pod web -o jsonpath='{.status.podIP}'
is "it is told of both" "${ips% *},${ips#* }" k exec web -- sh -c 'printf %s "$IPS"'
ok "and its hosts file names both" sh -c "[ \"\$(kubectl --kubeconfig=$dir/admin.kubeconfig exec web -- cat /etc/hosts | grep -c 'web$')\" = 2 ]"
ok "it serves by IPv4" page "${ips% *}:8080"
ok "and by IPv6" page "[${ips#* }]:8080"
ok "its hostPort by the node's address" page 192.0.2.1:18080
ok "by the IPv6 one" page "[2001:db8::1]:18080"
ok "by localhost" page 127.0.0.1:18080
says "limits hold what it gets" "rate 10Mbit" sh -c 'tc qdisc show | grep tbf'
is "a pod of the host's network has its address" 192.0.2.1 k get pod host -o jsonpath='{.status.podIP}'
ok "a limit that cannot be is told" await 'resource is unreasonably small \(< 1kbit\)' events --field-selector involvedObject.name=wide,reason=FailedCreatePodSandBox -o custom-columns=M:.message --no-headers
ok "the bridge is removed" ip link del "$(setting bridge)"
ok "and is back" sh -c "timeout $((60 * TEST_TIMEOUT_FACTOR)) sh -c 'until ip link show $(setting bridge) && curl -fsS --noproxy \"*\" --max-time 2 http://127.0.0.1:18080/; do :; done'"
ok "the pod is gone" k delete pod web --timeout=60s
ok "its port too" sh -c "nft list table inet orlop-$(setting bridge) > $tmp/table; ! grep 18080 $tmp/table"
ok "up again needs no file named" sh -c "\"$orlop\" down --data-dir \"$dir\" && \"$orlop\" up --data-dir \"$dir\""
ok "it is still its file's" grep -F "@include \"$tmp/orlop.conf\"" "$dir/orlop.conf"
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
is "no link either" "lo w0 w1" sh -c "ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | sort | grep -v ifb | xargs"
finish
