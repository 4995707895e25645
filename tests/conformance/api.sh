#!/bin/sh
# run: timeout=1800
# Those of upstream's specs that need no container (api.txt), on an API server, a scheduler and controllers: no kubelet, no runtime, no
# network. The suite wants a node to be there, so one is, in name; who would find out that nobody stands behind it is left out too.
. "$(dirname "$0")/../e2e/lib.sh"
. "$(dirname "$0")/lib.sh"
need_suite
need kubectl

cat > "$tmp/node" <<EOF
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "in-name", "labels": {"kubernetes.io/hostname": "in-name", "kubernetes.io/os": "linux"}},
 "status": {"capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"}, "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
  "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "in name"}]}}
EOF
# shellcheck disable=SC2086 # a list
ok "up" up --without kubelet,runtime/oci,cni/bridge,controllers/node-lifecycle $UP_OPTIONS || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "a node in name" k create -f "$tmp/node"
ok "is ready" await ' Ready ' nodes --no-headers || finish
old_accounts
suite api
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
