#!/usr/bin/env -S python3 -B
# run: timeout=240
"""Upstream's kube-scheduler and kube-controller-manager 1.20 on an Orlop API server with the older versions that they ask for.

Their programs are where $ORLOP_PEER says; without them this is skipped. There is no node but an object, so nothing runs: it is their controllers' writes that are looked at."""
import os
import subprocess
import sys

from rig import Api, Daemon, FACTOR, Tap, free_port, group, until

PEER = os.environ.get("ORLOP_PEER", "/nonexistent")


def programs():
    lib = os.path.join(PEER, "lib.sh")
    if not os.path.exists(lib):
        return None
    r = subprocess.run(["bash", "-c", '. "$0" && echo "$K8S_BIN"', lib], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    where = r.stdout.strip().split("\n")[-1]
    return where if os.path.exists(os.path.join(where, "kube-scheduler")) and os.path.exists(os.path.join(where, "kube-controller-manager")) else None


BIN = programs()
if not BIN:
    print("1..0 # SKIP upstream's programs are not built here (ORLOP_PEER)")
    sys.exit(0)
t = Tap()
d = Daemon(params="old_versions = true;").start()
api = Api(d)
theirs = {}
N = "/namespaces/default"
DEP, PODS = "/apis/apps/v1" + N + "/deployments", "/api/v1" + N + "/pods"
SLICES = "/apis/discovery.k8s.io/%s" + N + "/endpointslices?labelSelector=kubernetes.io%%2Fservice-name%%3Dweb"
LABELS = {"app": "web"}


def start(name, *more):
    log = open(os.path.join(d.dir, name + ".log"), "wb")
    theirs[name] = subprocess.Popen([os.path.join(BIN, name), "--kubeconfig", d.kubeconfig, "--authentication-kubeconfig", d.kubeconfig,
                                     "--authorization-kubeconfig", d.kubeconfig, "--bind-address=127.0.0.1", "--secure-port=%d" % free_port(),
                                     "--port=0"] + list(more), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    log.close()


def log_of(name):
    with open(os.path.join(d.dir, name + ".log"), errors="replace") as f:
        return f.read()


def wait(what, fn, seconds=60):
    try:
        return t.ok(until(what, fn, seconds), what)
    except TimeoutError:
        return t.ok(False, what, "\n".join(log_of(n)[-1500:] for n in theirs))


def pods():
    return [p for p in api.get(PODS + "?labelSelector=app%3Dweb").json["items"] if "deletionTimestamp" not in p["metadata"]]


def setting():
    api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {
        "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1"}}})
    a = api.patch("/api/v1/nodes/n1/status", {"status": {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "100"}, "capacity": {
        "cpu": "8", "memory": "8Gi", "pods": "100"}, "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]}})
    t.eq(a.status, 200, "a node that is an object and no more")
    api.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}})
    start("kube-controller-manager", "--use-service-account-credentials=false", "--service-account-private-key-file=" + d.pki.at("sa.key"),
          "--root-ca-file=" + d.pki.ca, "--node-monitor-grace-period=1h", "--leader-elect=true")
    start("kube-scheduler")
    for name in ("kube-controller-manager", "kube-scheduler"):
        lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/" + name
        wait(name + " leads by a Lease", lambda: api.get(lease).status == 200 and api.get(lease).json["spec"].get("holderIdentity"))
    for name in ("cronjob", "endpointslice", "disruption", "garbagecollector", "horizontalpodautoscaling"):
        wait("its controller %s has started" % name, lambda: 'Started "%s"' % name in log_of("kube-controller-manager"))


def workload():
    api.post(DEP, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": {
            "containers": [{"name": "c", "image": "i"}]}}}})
    if not wait("their controllers make the pods, their scheduler places them", lambda: [p["spec"].get("nodeName") for p in pods()] == ["n1"] * 3):
        return
    api.post("/api/v1" + N + "/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": LABELS, "ports": [{"port": 80}]}})
    api.post("/apis/policy/v1" + N + "/poddisruptionbudgets", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
                                                               "spec": {"minAvailable": 2, "selector": {"matchLabels": LABELS}}})
    for i, p in enumerate(pods()):
        api.patch(PODS + "/%s/status" % p["metadata"]["name"], {"status": {
            "phase": "Running", "podIP": "192.0.2.%d" % (i + 1), "podIPs": [{"ip": "192.0.2.%d" % (i + 1)}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]}})
    wait("they see that it is available", lambda: api.get(DEP + "/web").json["status"].get("availableReplicas") == 3)
    pdb = "/apis/policy/v1" + N + "/poddisruptionbudgets/web"
    wait("and reckon the budget, by policy/v1beta1", lambda: api.get(pdb).json["status"]["disruptionsAllowed"] == 1)
    t.ok(any(m["apiVersion"] == "policy/v1beta1" for m in api.get(pdb).json["metadata"]["managedFields"]), "in that version indeed")


def slices():
    ends = lambda v: sorted((e for s in api.get(SLICES % v).json["items"] for e in s["endpoints"]), key=lambda e: e["addresses"])
    wait("endpoint slices, by discovery.k8s.io/v1beta1", lambda: len(ends("v1")) == 3)
    e = ends("v1")[0]
    t.eq((e["addresses"], e.get("zone"), e.get("deprecatedTopology"), e["conditions"].get("ready")),
         (["192.0.2.1"], "z1", {"kubernetes.io/hostname": "n1", "topology.kubernetes.io/region": "r1"}, True), "in v1 they have a zone, and what v1 has no field for")
    t.eq(ends("v1beta1")[0]["topology"], {"kubernetes.io/hostname": "n1", "topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"},
         "in v1beta1 all of it as they wrote it")


def ends():
    api.patch(DEP + "/web", {"spec": {"replicas": 1}})
    wait("scaled down", lambda: len([p for p in api.get(PODS).json["items"] if "deletionTimestamp" not in p["metadata"]]) == 1)
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}})
    api.post("/api/v1/namespaces/short/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    api.delete("/api/v1/namespaces/short")
    wait("a namespace empties itself and goes", lambda: api.get("/api/v1/namespaces/short").status == 404)
    t.eq([n for n in theirs if theirs[n].poll() is not None], [], "they live")


try:
    for g in (setting, workload, slices, ends):
        group(t, g)
finally:
    for p in theirs.values():
        p.kill()
        p.wait()
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
