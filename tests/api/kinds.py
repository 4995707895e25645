#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Kinds that are schema rows: what is defaulted, refused, kept apart, shown in tables, as upstream answers the same requests."""
import base64

from oracle import compare
from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
REQUEST = ("-----BEGIN CERTIFICATE REQUEST-----\n"
           "MIGLMD8CAQAwDDEKMAgGA1UEAwwBeDAqMAUGAytlcAMhALgD8k5AKd/RGxHgx2Ru\n"
           "AztsvuoCmpc3iOSE5zVQKpdvoAAwBQYDK2VwA0EA/CV5Ynj8g/9xoYAwMazTH8t0\n"
           "NQRdedcI0nmdUfrld9UGqx2dYQfHMzZdGpxc0l9GylcGMXBC8USS/9r4lCj5Bw==\n"
           "-----END CERTIFICATE REQUEST-----\n")
NS = "ns-of-test"
N = "/namespaces/" + NS


def o(version, kind, name, spec=None, **top):
    x = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    if spec is not None:
        x["spec"] = spec
    x.update(top)
    return x


def pods(policy=None, **spec):
    s = {"containers": [{"name": "c", "image": "i"}]}
    if policy:
        s["restartPolicy"] = policy
    s.update(spec)
    return {"metadata": {"labels": {"a": "b"}}, "spec": s}


SEL = {"matchLabels": {"a": "b"}}
OURS = lambda a: a["status"] == 201
TABLE = {"headers": {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}}
STS, DS = "/apis/apps/v1" + N + "/statefulsets", "/apis/apps/v1" + N + "/daemonsets"
JOB, PVC, PV = "/apis/batch/v1" + N + "/jobs", "/api/v1" + N + "/persistentvolumeclaims", "/api/v1/persistentvolumes"
SC, ING = "/apis/storage.k8s.io/v1/storageclasses", "/apis/networking.k8s.io/v1" + N + "/ingresses"
IC, NP = "/apis/networking.k8s.io/v1/ingressclasses", "/apis/networking.k8s.io/v1" + N + "/networkpolicies"
PC, RC = "/apis/scheduling.k8s.io/v1/priorityclasses", "/apis/node.k8s.io/v1/runtimeclasses"
CD, CN = "/apis/storage.k8s.io/v1/csidrivers", "/apis/storage.k8s.io/v1/csinodes"
VA, RQ = "/apis/storage.k8s.io/v1/volumeattachments", "/api/v1" + N + "/resourcequotas"
claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "hostPath": {"path": "/x"}}
backend = {"service": {"name": "s", "port": {"number": 80}}}
rule = lambda **p: {"rules": [{"host": "h.example", "http": {"paths": [dict({"path": "/", "pathType": "Prefix", "backend": backend}, **p)]}}]}
dry = "?dryRun=All"

steps = [
    ("its namespace", "POST", "/api/v1/namespaces", o("v1", "Namespace", NS), {"ours": OURS}),
    ("a stateful set", "POST", STS + dry, o("apps/v1", "StatefulSet", "x", {"selector": SEL, "serviceName": "s", "template": pods()})),
    ("with claims", "POST", STS + dry, o("apps/v1", "StatefulSet", "x", {
        "selector": SEL, "serviceName": "s", "template": pods(), "updateStrategy": {"type": "OnDelete"},
        "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": claim}]})),
    ("a stateful set that does not select itself", "POST", STS + dry,
     o("apps/v1", "StatefulSet", "x", {"selector": {"matchLabels": {"a": "c"}}, "serviceName": "s", "template": pods("Never")})),
    ("a daemon set", "POST", DS + dry, o("apps/v1", "DaemonSet", "x", {"selector": SEL, "template": pods()})),
    ("a daemon set without a selector", "POST", DS + dry, o("apps/v1", "DaemonSet", "x", {"template": pods()})),
    ("a job that does not end", "POST", JOB + dry, o("batch/v1", "Job", "x", {"template": pods()})),
    ("a job of parallel pods", "POST", JOB + dry, o("batch/v1", "Job", "x", {"parallelism": 3, "backoffLimit": -1, "template": pods("OnFailure")})),
    ("a claim", "POST", PVC + dry, o("v1", "PersistentVolumeClaim", "x", claim)),
    ("a claim of nothing", "POST", PVC + dry, o("v1", "PersistentVolumeClaim", "x", {})),
    ("a claim of zero", "POST", PVC + dry, o("v1", "PersistentVolumeClaim", "x", {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0"}}})),
    ("a volume", "POST", PV + dry, o("v1", "PersistentVolume", NS, volume)),
    ("a volume of nothing", "POST", PV + dry, o("v1", "PersistentVolume", NS, {})),
    ("a volume of two kinds", "POST", PV + dry, o("v1", "PersistentVolume", NS, dict(volume, nfs={"server": "s", "path": "/"}))),
    ("a storage class", "POST", SC + dry, o("storage.k8s.io/v1", "StorageClass", NS, provisioner="p.example/x")),
    ("a storage class of nothing", "POST", SC + dry, o("storage.k8s.io/v1", "StorageClass", NS)),
    ("an ingress", "POST", ING + dry, o("networking.k8s.io/v1", "Ingress", "x", rule())),
    ("an ingress of nothing", "POST", ING + dry, o("networking.k8s.io/v1", "Ingress", "x", {})),
    ("an ingress without a type of path", "POST", ING + dry, o("networking.k8s.io/v1", "Ingress", "x", rule(pathType=None))),
    ("an ingress to nowhere", "POST", ING + dry, o("networking.k8s.io/v1", "Ingress", "x", rule(backend={}))),
    ("an ingress class", "POST", IC + dry, o("networking.k8s.io/v1", "IngressClass", NS, {"controller": "e.example/c"})),
    ("a network policy", "POST", NP + dry, o("networking.k8s.io/v1", "NetworkPolicy", "x", {
        "podSelector": {}, "egress": [{"ports": [{"port": 53}]}], "ingress": [{"from": [{"podSelector": SEL}]}]})),
    ("a network policy of an empty peer", "POST", NP + dry, o("networking.k8s.io/v1", "NetworkPolicy", "x", {"podSelector": {}, "ingress": [{"from": [{}]}]})),
    ("a priority class", "POST", PC + dry, o("scheduling.k8s.io/v1", "PriorityClass", NS, value=1000)),
    ("a priority too high", "POST", PC + dry, o("scheduling.k8s.io/v1", "PriorityClass", NS, value=2000000000)),
    ("a runtime class", "POST", RC + dry, o("node.k8s.io/v1", "RuntimeClass", NS, handler="h")),
    ("a runtime class of nothing", "POST", RC + dry, o("node.k8s.io/v1", "RuntimeClass", NS)),
    ("a CSI driver", "POST", CD + dry, o("storage.k8s.io/v1", "CSIDriver", NS, {})),
    ("a CSI node", "POST", CN + dry, o("storage.k8s.io/v1", "CSINode", NS, {"drivers": [{"name": "d.example", "nodeID": "1", "topologyKeys": None}]})),
    ("an attachment", "POST", VA + dry, o("storage.k8s.io/v1", "VolumeAttachment", NS, {"attacher": "a.example", "nodeName": "n", "source": {"persistentVolumeName": "p"}})),
    ("a quota", "POST", RQ + dry, o("v1", "ResourceQuota", "x", {"hard": {"pods": "3", "limits.cpu": 2}})),
    ("a quota of an unknown scope", "POST", RQ + dry, o("v1", "ResourceQuota", "x", {"hard": {"pods": "3"}, "scopes": ["Odd"]})),
]


# what 1.36 has and the server that was asked did not, or what it owned by endpoints that do not; no controller guards claims yet
NEWER = ["persistentVolumeClaimRetentionPolicy", "availableReplicas", "maxSurge", "requiresRepublish", "seLinuxMount", "storageCapacity",
         "status", "finalizers"]


def job_of(a):
    j = a["body"]
    u = j["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"]
    want = {"a": "b", "batch.kubernetes.io/controller-uid": u, "batch.kubernetes.io/job-name": "x", "controller-uid": u, "job-name": "x"}
    return a["status"] == 201 and j["metadata"]["labels"] == want and j["spec"]["template"]["metadata"]["labels"] == want and \
        j["spec"]["completionMode"] == "NonIndexed" and j["spec"]["suspend"] is False and j["spec"]["backoffLimit"] == 6


def main_tests():
    drop = NEWER[:-2] + ["f:" + x for x in NEWER] + ["finalizers"]
    compare(t, "kinds", api, steps, drop, ns=NS)
    compare(t, None, api, newer)


newer = [
    ("the newer defaults of a stateful set", "POST", STS, o("apps/v1", "StatefulSet", "s", {"selector": SEL, "serviceName": "s", "template": pods()}),
     {"ours": lambda a: a["body"]["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}}),
    ("what may not change of it", "PATCH", STS + "/s", {"spec": {"serviceName": "t"}},
     {"type": "merge", "ours": lambda a: a["status"] == 422 and "updates to statefulset spec for fields other than" in a["body"]["message"]}),
    ("its scale", "GET", STS + "/s/scale", None, {"ours": lambda a: a["body"]["spec"]["replicas"] == 1}),
    ("a job's selector and labels", "POST", JOB + dry, o("batch/v1", "Job", "x", {"template": pods("Never")}), {"ours": job_of}),
    ("a cron job", "POST", "/apis/batch/v1" + N + "/cronjobs", o("batch/v1", "CronJob", "c", {"schedule": "*/5 1-3 * jan,feb mon", "jobTemplate": {"spec": {"template": pods("Never")}}}),
     {"ours": lambda a: a["status"] == 201 and a["body"]["spec"]["concurrencyPolicy"] == "Allow" and a["body"]["spec"]["failedJobsHistoryLimit"] == 1}),
    ("a schedule that is none", "POST", "/apis/batch/v1" + N + "/cronjobs", o("batch/v1", "CronJob", "d", {"schedule": "61 * * * *", "jobTemplate": {"spec": {"template": pods("Never")}}}),
     {"ours": lambda a: a["status"] == 422 and a["body"]["details"]["causes"][0]["field"] == "spec.schedule"}),
    ("a table of cron jobs", "GET", "/apis/batch/v1" + N + "/cronjobs", None,
     dict(TABLE, ours=lambda a: a["body"]["rows"][0]["cells"][:6] == ["c", "*/5 1-3 * jan,feb mon", "<none>", "False", 0, "<none>"])),
    ("a volume to show", "POST", PV, o("v1", "PersistentVolume", "pv1", volume), {"ours": OURS}),
    ("a table of volumes", "GET", PV, None,
     dict(TABLE, ours=lambda a: a["body"]["rows"][0]["cells"][:9] == ["pv1", "1Gi", "RWO,ROX", "Retain", "Pending", "", "", "<unset>", ""])),
    ("who asks for a certificate", "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
     o("certificates.k8s.io/v1", "CertificateSigningRequest", "c1", {"request": base64.b64encode(REQUEST.encode()).decode(), "signerName": "e.example/s", "usages": ["client auth"], "username": "somebody"}),
     {"ours": lambda a: a["status"] == 201 and a["body"]["spec"]["username"] == "kubernetes-admin" and "system:masters" in a["body"]["spec"]["groups"]}),
    ("an approval", "PATCH", "/apis/certificates.k8s.io/v1/certificatesigningrequests/c1/approval",
     {"status": {"conditions": [{"type": "Approved", "status": "True"}]}},
     {"type": "merge", "ours": lambda a: a["status"] == 200 and a["body"]["status"]["conditions"][0]["type"] == "Approved"}),
    ("levels of flow", "POST", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
     o("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", "l", {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
     {"ours": lambda a: a["status"] == 201 and a["body"]["spec"]["limited"]["limitResponse"]["queuing"] == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}}),
    ("an autoscaler", "POST", "/apis/autoscaling/v2" + N + "/horizontalpodautoscalers",
     o("autoscaling/v2", "HorizontalPodAutoscaler", "h", {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "behavior": {}}),
     {"ours": lambda a: a["status"] == 201 and a["body"]["spec"]["minReplicas"] == 1 and a["body"]["spec"]["metrics"][0]["resource"]["target"] ==
      {"type": "Utilization", "averageUtilization": 80} and a["body"]["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0}),
    ("a table of them", "GET", "/apis/autoscaling/v2" + N + "/horizontalpodautoscalers", None,
     dict(TABLE, ours=lambda a: a["body"]["rows"][0]["cells"][:6] == ["h", "Deployment/d", "cpu: <unknown>/80%", "1", 3, 0])),
    ("a group of two versions", "GET", "/apis/autoscaling", None,
     {"ours": lambda a: [v["version"] for v in a["body"]["versions"]] == ["v2", "v1"] and a["body"]["preferredVersion"]["version"] == "v2"}),
    ("priorities that every cluster has", "GET", PC + "/system-node-critical", None, {"ours": lambda a: a["body"]["value"] == 2000001000}),
    ("stay", "DELETE", PC + "/system-node-critical", None, {"ours": lambda a: a["status"] == 403 and "cannot be deleted" in a["body"]["message"]}),
    ("a default priority", "POST", PC, o("scheduling.k8s.io/v1", "PriorityClass", "usual", value=7, globalDefault=True, preemptionPolicy="Never"), {"ours": OURS}),
    ("is the only one", "POST", PC, o("scheduling.k8s.io/v1", "PriorityClass", "other", value=8, globalDefault=True),
     {"ours": lambda a: a["status"] == 403 and "Only one default can exist" in a["body"]["message"]}),
    ("an account for a pod", "POST", "/api/v1" + N + "/serviceaccounts", o("v1", "ServiceAccount", "default"), {"ours": lambda a: a["status"] in (201, 409)}),
    ("a pod that names none", "POST", "/api/v1" + N + "/pods" + dry, o("v1", "Pod", "p", pods()["spec"]),
     {"ours": lambda a: a["status"] == 201 and (a["body"]["spec"]["priority"], a["body"]["spec"]["priorityClassName"], a["body"]["spec"]["preemptionPolicy"]) == (7, "usual", "Never")}),
    ("applied with a key of two", "PATCH", STS + "/s?fieldManager=m", o("apps/v1", "StatefulSet", "s", {"replicas": 3}),
     {"type": "apply", "ours": lambda a: a["status"] == 409}),
]


def sentences():
    """What `kubectl explain` tells: each type and each field of these groups has its sentence."""
    for path, package in (("apis/admissionregistration.k8s.io/v1", "io.k8s.api.admissionregistration.v1."),
                          ("apis/flowcontrol.apiserver.k8s.io/v1", "io.k8s.api.flowcontrol.v1."),
                          ("apis/apiextensions.k8s.io/v1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.")):
        doc = api.get("/openapi/v3/" + path).json
        types = {k: v for k, v in doc["components"]["schemas"].items() if k.startswith(package) and not k.endswith("List")}
        bare = [k[len(package):] for k, v in types.items() if not v.get("description")]
        bare += [k[len(package):] + "." + f for k, v in types.items() for f, p in v.get("properties", {}).items()
                 if not p.get("description") and f not in ("apiVersion", "kind")]
        t.ok(len(types) > 12 and not bare, "%s: %d types" % (path, len(types)), bare)


group(t, main_tests)
group(t, sentences)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
