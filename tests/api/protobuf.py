#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Answers in protobuf: objects of all kinds, lists, watches, errors, what Accept asks for, and no object changes on the way."""
import json
import struct

from rig import Api, CM, Daemon, Tap, config_map, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
PB = "application/vnd.kubernetes.protobuf"
META = ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METAS = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
TABLE = ";as=Table;v=v1;g=meta.k8s.io"
NS = "/namespaces/default"


# ---- the wire, read without any schema -----------------------------------------------------------------

def fields(b):
    """A message as [(number, value)]; lengths are checked."""
    out, at = [], 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            v |= (b[at] & 0x7f) << shift
            at, shift = at + 1, shift + 7
            if not b[at - 1] & 0x80:
                return v
    while at < len(b):
        key = varint()
        if key & 7 == 0:
            v = varint()
        elif key & 7 == 1:
            v, at = b[at:at + 8], at + 8
        elif key & 7 == 2:
            n = varint()
            v, at = b[at:at + n], at + n
            if len(v) != n:
                raise ValueError("a field ends beyond its message")
        else:
            raise ValueError("wire type %d" % (key & 7))
        out.append((key >> 3, v))
    return out


def field(b, *path):
    for n in path:
        b = next((v for k, v in fields(b) if k == n), b"")
    return b


def unwrap(b):
    """(apiVersion, kind, message) of an object."""
    if b[:4] != b"k8s\0":
        raise ValueError("no object: %r" % b[:40])
    return field(b[4:], 1, 1).decode(), field(b[4:], 1, 2).decode(), field(b[4:], 2)


def get(path, accept=PB, who=api):
    return who.get(path, {"Accept": accept})


def what(a):
    """(status, content type, kind)"""
    c = a.headers.get("Content-Type")
    return a.status, c, unwrap(a.raw)[1] if c == PB else a.json["kind"]


# ---- every kind ------------------------------------------------------------------------------------------

SEL = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "z", "operator": "DoesNotExist"}]}
probe = {"httpGet": {"path": "/x", "port": "web", "httpHeaders": [{"name": "X-A", "value": "1"}]}, "initialDelaySeconds": 3}
container = {
    "name": "c", "image": "i:1", "command": ["a", "b\n\"ü\""], "ports": [{"name": "web", "containerPort": 80}],
    "env": [{"name": "A", "value": ""}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": False}}}],
    "resources": {"requests": {"cpu": "10m", "memory": "1Gi"}, "limits": {"cpu": 2}},
    "livenessProbe": probe, "readinessProbe": {"exec": {"command": ["true"]}}, "lifecycle": {"preStop": {"sleep": {"seconds": 0}}},
    "volumeMounts": [{"name": "e", "mountPath": "/e", "readOnly": True}],
    "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}, "allowPrivilegeEscalation": False}}
pod = {
    "containers": [container], "initContainers": [{"name": "i", "image": "i:1", "restartPolicy": "Always"}],
    "volumes": [{"name": "e", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
                {"name": "p", "projected": {"sources": [{"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": SEL, "topologyKey": "h"}]}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": SEL}],
    "tolerations": [{"operator": "Exists", "tolerationSeconds": 0, "effect": "NoExecute"}], "nodeSelector": {"x": "y"},
    "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
once = {"metadata": {"labels": {"a": "b"}}, "spec": dict(pod, restartPolicy="Never")}
claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
crd = {"group": "proto.example", "scope": "Namespaced", "names": {"plural": "cows", "singular": "cow", "kind": "Cow", "listKind": "CowList"},
       "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
           "type": "object", "required": ["spec"], "properties": {"spec": {
               "type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3,
               "properties": {"n": {"type": "integer", "minimum": 0.5, "default": 7, "enum": [7, 8]},
                              "l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                              "i": {"x-kubernetes-int-or-string": True}}}}}},
           "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 0}]}]}
crd["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].pop("additionalProperties")
backend = {"service": {"name": "s", "port": {"name": "web"}}}
hook = {"name": "h.proto.example", "clientConfig": {"url": "https://127.0.0.1:1/x", "caBundle": "AAEC/+8="}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore", "namespaceSelector": SEL,
        "rules": [{"apiGroups": ["none.example"], "apiVersions": ["*"], "resources": ["*"], "operations": ["CREATE"]}]}
matched = {"matchPolicy": "Exact", "resourceRules": [
    {"resourceNames": ["a", "b"], "operations": ["CREATE"], "apiGroups": ["none.example"], "apiVersions": ["v1", "v2"], "resources": ["*"], "scope": "Cluster"},
    {"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["none"]}], "objectSelector": SEL}
device = {"requests": [{"name": "a", "exactly": {"deviceClassName": "c", "adminAccess": False, "tolerations": [{"operator": "Exists", "tolerationSeconds": 0}]}},
                       {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c", "capacity": {"requests": {"mem": "1Gi"}}}]}],
          "constraints": [{"requests": ["a", "b/x"], "matchAttribute": "d.example/model"}],
          "config": [{"requests": ["a"], "opaque": {"driver": "d.example", "parameters": {"n": 1}}}]}
flow = {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 9000}
KINDS = {    # "group/version plural": members; namespaced ones go to default
    "v1 configmaps": {"data": {"a": "x\ny", "empty": ""}, "binaryData": {"b": "/+8A"}, "immutable": False},
    "v1 endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": "p"}}], "ports": [{"port": 80}]}]},
    "v1 events": {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R", "count": 2, "type": "Normal",
                  "firstTimestamp": "2026-01-02T03:04:05Z", "eventTime": "2026-01-02T03:04:05.000006Z", "action": "A",
                  "reportingComponent": "c", "reportingInstance": "i"},
    "v1 limitranges": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "9"}, "max": {"cpu": "10"}}]}},
    "v1 namespaces": {},
    "v1 nodes": {"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"], "taints": [{"key": "k", "effect": "NoSchedule"}]}},
    "v1 persistentvolumeclaims": {"spec": claim},
    "v1 persistentvolumes": {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x", "type": ""},
                                      "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]}}}},
    "v1 pods": {"spec": pod},
    "v1 podtemplates": {"template": template},
    "v1 replicationcontrollers": {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": template}},
    "v1 resourcequotas": {"spec": {"hard": {"limits.cpu": "1k"}, "scopeSelector": {"matchExpressions": [
        {"operator": "In", "scopeName": "PriorityClass", "values": ["none"]}]}}},
    "v1 secrets": {"type": "Opaque", "data": {"k": "AAECAw==", "e": ""}},
    "v1 serviceaccounts": {"imagePullSecrets": [{"name": "x"}], "automountServiceAccountToken": False},
    "v1 services": {"spec": {"ports": [{"name": "web", "port": 80, "targetPort": "web"}, {"name": "n", "port": 81, "targetPort": 8081}],
                             "selector": {"a": "b"}, "sessionAffinity": "ClientIP"}},
    "admissionregistration.k8s.io/v1 mutatingwebhookconfigurations": {"webhooks": [dict(hook, reinvocationPolicy="IfNeeded")]},
    "admissionregistration.k8s.io/v1 validatingwebhookconfigurations": {"webhooks": [dict(hook, timeoutSeconds=3)]},
    "admissionregistration.k8s.io/v1 validatingadmissionpolicies": {"spec": {
        "paramKind": {"apiVersion": "e.example/v1", "kind": "Limit"}, "matchConstraints": matched, "failurePolicy": "Ignore",
        "validations": [{"expression": "true", "message": "m", "reason": "Forbidden"}, {"expression": "1 == 1", "messageExpression": "'x'"}],
        "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}], "matchConditions": [{"name": "c", "expression": "true"}],
        "variables": [{"name": "v", "expression": "1"}]}},
    "admissionregistration.k8s.io/v1 validatingadmissionpolicybindings": {"spec": {
        "policyName": "p", "validationActions": ["Warn", "Audit"], "matchResources": matched,
        "paramRef": {"name": "n", "namespace": "default", "parameterNotFoundAction": "Deny"}}},
    "admissionregistration.k8s.io/v1 mutatingadmissionpolicies": {"spec": {
        "matchConstraints": matched, "variables": [{"name": "v", "expression": "1"}], "reinvocationPolicy": "IfNeeded", "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}, {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]}},
    "admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings": {"spec": {
        "policyName": "p", "paramRef": {"selector": SEL, "parameterNotFoundAction": "Allow"}}},
    "apiextensions.k8s.io/v1 customresourcedefinitions": {"metadata": {"name": "cows.proto.example"}, "spec": crd},
    "apiregistration.k8s.io/v1 apiservices": {"metadata": {"name": "v9.pb.example"}, "spec": {
        "group": "pb.example", "version": "v9", "groupPriorityMinimum": 7, "versionPriority": 8}},
    "apps/v1 controllerrevisions": {"revision": 7, "data": {"any": [1, None, {"x": "y"}]}},
    "apps/v1 daemonsets": {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}},
    "apps/v1 deployments": {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template,
                                     "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}}},
    "apps/v1 replicasets": {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}},
    "apps/v1 statefulsets": {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": template,
                                      "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": claim}]}},
    "autoscaling/v2 horizontalpodautoscalers": {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}},
    "batch/v1 cronjobs": {"spec": {"schedule": "*/5 * * * *", "suspend": False, "jobTemplate": {"spec": {"template": once}}}},
    "batch/v1 jobs": {"spec": {"template": once, "backoffLimit": 0, "podFailurePolicy": {"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}},
    "certificates.k8s.io/v1 certificatesigningrequests": None,
    "coordination.k8s.io/v1 leases": {"spec": {"holderIdentity": "h", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.123456Z"}},
    "discovery.k8s.io/v1 endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
                                           "ports": [{"name": "", "port": 80}]},
    "events.k8s.io/v1 events": {"regarding": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R", "type": "Normal", "action": "A",
                                "eventTime": "2026-01-02T03:04:05.000006Z", "reportingController": "c", "reportingInstance": "i", "note": "n"},
    "flowcontrol.apiserver.k8s.io/v1 flowschemas": {"spec": flow},
    "flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations": {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    "networking.k8s.io/v1 ingressclasses": {"spec": {"controller": "e.example/c"}},
    "networking.k8s.io/v1 ingresses": {"spec": {"rules": [{"host": "h.example", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}},
    "networking.k8s.io/v1 ipaddresses": {"metadata": {"name": "10.96.7.7"}, "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "x"}}},
    "networking.k8s.io/v1 servicecidrs": {"spec": {"cidrs": ["10.77.0.0/24"]}},
    "networking.k8s.io/v1 networkpolicies": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"protocol": "TCP", "port": "web"}]}]}},
    "node.k8s.io/v1 runtimeclasses": {"handler": "h", "overhead": {"podFixed": {"cpu": "1"}}},
    "policy/v1 poddisruptionbudgets": {"spec": {"minAvailable": "50%", "selector": SEL}},
    "rbac.authorization.k8s.io/v1 clusterrolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}]},
    "rbac.authorization.k8s.io/v1 clusterroles": {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"no": "one"}}]}, "rules": None},
    "rbac.authorization.k8s.io/v1 rolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}]},
    "rbac.authorization.k8s.io/v1 roles": {"rules": [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"], "resourceNames": ["x"]}]},
    "resource.k8s.io/v1 deviceclasses": {"spec": {"selectors": [{"cel": {"expression": "true"}}], "extendedResourceName": "e.example/gpu",
                                                  "config": [{"opaque": {"driver": "d.example", "parameters": {"a": [1, {"b": None}]}}}]}},
    "resource.k8s.io/v1 resourceclaims": {"spec": {"devices": device}},
    "resource.k8s.io/v1 resourceclaimtemplates": {"spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": device}}},
    "resource.k8s.io/v1 resourceslices": {"spec": {"driver": "d.example", "nodeName": "n", "pool": {"name": "a/b", "generation": 0, "resourceSliceCount": 1},
        "devices": [{"name": "gpu", "attributes": {"zero": {"int": 0}, "no": {"bool": False}, "d.example/s": {"string": ""}, "v": {"version": "1.0.0"}},
                     "capacity": {"mem": {"value": "8Gi"}}, "taints": [{"key": "k", "effect": "NoExecute"}]}]}},
    "scheduling.k8s.io/v1 priorityclasses": {"value": -5, "globalDefault": False, "preemptionPolicy": "Never"},
    "storage.k8s.io/v1 csidrivers": {"spec": {"attachRequired": False, "tokenRequests": [{"audience": "", "expirationSeconds": 600}]}},
    "storage.k8s.io/v1 csinodes": {"spec": {"drivers": [{"name": "d.example", "nodeID": "1", "topologyKeys": ["k"], "allocatable": {"count": 0}}]}},
    "storage.k8s.io/v1 storageclasses": {"provisioner": "p.example/x", "parameters": {"a": "b"}, "mountOptions": ["ro"],
                                         "allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": ["1"]}]}]},
    "storage.k8s.io/v1 volumeattachments": {"spec": {"attacher": "a.example", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
    "storage.k8s.io/v1 volumeattributesclasses": {"driverName": "d.example", "parameters": {"a": "b"}},
    "storage.k8s.io/v1 csistoragecapacities": {"storageClassName": "x", "capacity": "1Gi"},
}


def base(gv):
    return ("/apis/" if "/" in gv else "/api/") + gv


def served():
    """All stored kinds: ("apps/v1 deployments", namespaced, kind)."""
    gvs = ["v1"] + [g["preferredVersion"]["groupVersion"] for g in api.get("/apis").json["groups"]]
    for gv in gvs:
        for r in api.get(base(gv)).json["resources"]:
            if "/" not in r["name"] and {"get", "list", "watch"} <= set(r["verbs"]):
                yield gv + " " + r["name"], r["namespaced"], r["kind"]


def every_kind():
    api.post("/api/v1" + NS + "/serviceaccounts", {"metadata": {"name": "default"}})
    seen = 0
    for key, namespaced, kind in served():
        gv, plural = key.split()
        path = base(gv) + (NS if namespaced else "") + "/" + plural
        a = get(path)
        if not t.ok(what(a) == (200, PB, kind + "List"), "a list of %s" % plural, what(a)):
            continue
        if KINDS.get(key) is None:
            t.ok(key in KINDS, "%s is known to this test" % key)
            continue
        o = {"apiVersion": gv, "kind": kind, "metadata": {"name": "proto-" + plural + ("2" if gv.startswith("events.") else ""), "labels": {"l": ""}, "annotations": {"a": "\u2028 ü \"\\"},
             "finalizers": [] if kind == "Namespace" else ["proto.example/stay"]}}
        o.update(KINDS[key])
        a = api.post(path, o)
        if not t.ok(a.status == 201, "a %s" % kind, a):
            continue
        at = path + "/" + o["metadata"]["name"]
        condition = {"CustomResourceDefinition": "Established", "FlowSchema": "Dangling", "APIService": "Available"}.get(kind)
        if condition:      # the server writes its status
            until("it has %s" % condition, lambda: any(c["type"] == condition for c in api.get(at).json["status"].get("conditions") or []))
        if kind == "CustomResourceDefinition":
            until("it is served", lambda: api.get("/apis/proto.example/v1").status == 200)
        was = api.get(at).json
        a = get(at)
        v, k, raw = unwrap(a.raw)
        ok = a.headers["Content-Type"] == PB and (v, k) == (gv, kind) and \
            field(raw, 1, 1).decode() == o["metadata"]["name"] and field(raw, 1, 6).decode() == was["metadata"]["resourceVersion"]
        t.ok(ok, "%s in protobuf" % kind, a.raw)
        # written back as it came: nothing changes, so the version stays
        b = api.put(at, a.raw, type=PB)
        t.ok(b.status == 200 and api.get(at).json == was, "and back: the same", "%s\n%s" % (json.dumps(was), b))
        seen += 1
    t.ok(seen >= 40, "%d kinds went there and back" % seen)


# ---- forms ---------------------------------------------------------------------------------------------

def objects_and_lists():
    for i in range(5):
        api.post(CM, config_map("l%d" % i, {"k": "v" * 300}, labels={"list": "yes"}))
    q = CM + "?labelSelector=list%3Dyes"
    j, a = api.get(q).json, get(q)
    v, k, raw = unwrap(a.raw)
    f = fields(raw)
    items = [x for n, x in f if n == 2]
    t.eq((v, k, len(items)), ("v1", "ConfigMapList", 5), "a list")
    t.ok(field(raw, 1, 2).decode() == j["metadata"]["resourceVersion"] and
         [field(x, 1, 1).decode() for x in items] == ["l%d" % i for i in range(5)] and field(items[0], 2, 2) == b"v" * 300, "of the same version, in order")
    a = get(CM + "?limit=2")
    token = field(unwrap(a.raw)[2], 1, 3).decode()
    j = api.get(CM + "?limit=2").json["metadata"]
    b = get(CM + "?limit=2&continue=" + token)
    t.ok(token and field(unwrap(a.raw)[2], 1, 4) == j["remainingItemCount"] and b.status == 200 and
         len([1 for n, _ in fields(unwrap(b.raw)[2]) if n == 2]) == 2, "in pages", j)
    old = api.get(CM).rv
    api.patch(CM + "/l0", {"data": {"k": "new"}})
    a = get(CM + "/?resourceVersionMatch=Exact&labelSelector=list%3Dyes&resourceVersion=" + old)
    items = [x for n, x in fields(unwrap(a.raw)[2]) if n == 2]
    t.ok(len(items) == 5 and field(items[0], 2, 2) == b"v" * 300, "of the past")
    a = get(CM, PB + METAS)
    v, k, raw = unwrap(a.raw)
    items = [x for n, x in fields(raw) if n == 2]
    t.ok((v, k) == ("meta.k8s.io/v1", "PartialObjectMetadataList") and len(items) >= 5 and [n for n, _ in fields(items[0])] == [1] and
         field(items[0], 1, 1), "metadata alone", (v, k, items[:1]))
    t.eq(unwrap(get(CM + "/l0", PB + META).raw)[:2], ("meta.k8s.io/v1", "PartialObjectMetadata"), "of one")
    a = get("/api/v1/nodes")
    t.ok([n for n, _ in fields(unwrap(a.raw)[2]) if n == 1] == [1], "lists of few", a.raw)
    a = get("/api/v1/events", PB)
    b = get("/apis/events.k8s.io/v1/events", PB)
    n = lambda x: len([1 for k, _ in fields(unwrap(x.raw)[2]) if k == 2])
    t.ok(n(a) == n(b) > 0 and unwrap(b.raw)[0] == "events.k8s.io/v1", "of another version than the stored", (n(a), n(b)))


def negotiation():
    one = CM + "/l1"
    for accept, want in (
            (PB, PB), (PB + ",application/json", PB), ("application/json," + PB, "application/json"), (PB + ", */*", PB), ("*/*", "application/json"),
            ("*/*," + PB, PB), (PB + ";q=0.1,application/json;q=0.2", "application/json"), (PB + ";q=0.2,application/yaml;q=0.1", PB),
            (PB + TABLE + "," + PB, PB), (PB + TABLE + ",application/json", "application/json"), (PB + ";stream=watch", PB),
            ("image/png, " + PB, PB), (PB.upper(), PB)):
        a = get(one, accept)
        t.eq((a.status, a.headers["Content-Type"]), (200, want), accept)
    a = get(one, PB + TABLE + ",application/json" + TABLE)
    t.eq(what(a), (200, "application/json", "Table"), "tables are JSON")
    a = get(one, "image/png")
    t.ok(a.status == 406 and a.json["reason"] == "NotAcceptable" and a.json["message"] ==
         "only the following media types are accepted: application/json, application/yaml, " + PB, "406", a)
    a = get(one, PB + TABLE)
    t.eq(a.status, 406, "a table in protobuf is not to be had")
    a = get(CM + "?watch=1", "application/yaml")
    t.ok(a.status == 406 and "only the following media types are accepted: application/json;stream=watch, " + PB + ";stream=watch" in a.text,
         "nor a watch in YAML", a)
    a = get(one, PB + ";q=0")
    t.eq(a.status, 406, "nor what is not wanted at all")
    a = api.get(one + "?pretty=1", {"Accept": PB})
    t.ok(unwrap(a.raw)[1] == "ConfigMap", "pretty means nothing here")


def errors():
    a = get(CM + "/none")
    v, k, raw = unwrap(a.raw)
    t.ok(what(a) == (404, PB, "Status") and field(raw, 6) == 404 and field(raw, 4) == b"NotFound" and field(raw, 5, 1) == b"none", "404", a.raw)
    a = api.post(CM, config_map("Bad_"), headers={"Accept": PB})
    v, k, raw = unwrap(a.raw)
    t.ok(what(a) == (422, PB, "Status") and field(raw, 5, 4, 3) == b"metadata.name", "422 with its causes", a.raw)
    a = get("/apis/none.example/v1/x")
    t.eq(what(a), (404, PB, "Status"), "of what is not served")
    who = Api(d, user=None)
    a = who.get("/api/v1/secrets", {"Accept": PB})
    t.eq(what(a), (403, PB, "Status"), "403")
    who.close()
    a = get(CM, PB + TABLE + ",application/json;q=0.1")
    t.eq(what(a), (200, "application/json", "ConfigMapList"), "the second choice")
    a = api.delete(CM + "/l4", headers={"Accept": PB})
    v, k, raw = unwrap(a.raw)
    t.ok(k == "Status" and field(raw, 2) == b"Success" and field(raw, 5, 1) == b"l4", "what a deletion says", a.raw)


def embedded():
    """A struct inside a struct inside a struct, which are one object in JSON: each is a message of its own."""
    raw = unwrap(get("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/proto-validatingadmissionpolicies").raw)[2]
    rule = fields(field(raw, 2, 2, 3))
    t.eq((rule[:2], [n for n, _ in rule]), ([(1, b"a"), (1, b"b")], [1, 1, 2]), "the outer one")
    rule = fields(rule[2][1])
    t.eq((rule[0], [n for n, _ in rule]), ((1, b"CREATE"), [1, 2]), "the one in it")
    t.eq(fields(rule[1][1]), [(1, b"none.example"), (2, b"v1"), (2, b"v2"), (3, b"*"), (4, b"Cluster")], "and the one in that")


def subresources():
    scale = "/apis/apps/v1" + NS + "/deployments/proto-deployments/scale"
    a = get(scale)
    t.eq(unwrap(a.raw)[:2], ("autoscaling/v1", "Scale"), "a scale")
    b = api.put(scale, a.raw, type=PB, headers={"Accept": PB})
    t.eq(what(b), (200, PB, "Scale"), "written back")
    a = api.post("/api/v1" + NS + "/serviceaccounts/default/token", {"spec": {"expirationSeconds": 3600}}, headers={"Accept": PB})
    t.ok(what(a) == (201, PB, "TokenRequest") and field(unwrap(a.raw)[2], 3, 1).count(b".") == 2, "a token", a.raw)
    # SelfSubjectAccessReview {spec {resourceAttributes {verb "get", resource "pods"}}}
    msg = lambda n, b: bytes([n << 3 | 2, len(b)]) + b
    body = b"k8s\0" + msg(1, msg(1, b"authorization.k8s.io/v1") + msg(2, b"SelfSubjectAccessReview")) + \
        msg(2, msg(1, b"") + msg(2, msg(1, msg(2, b"get") + msg(5, b"pods"))))
    a = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, type=PB, headers={"Accept": PB})
    t.ok(what(a) == (201, PB, "SelfSubjectAccessReview") and field(unwrap(a.raw)[2], 3, 1) == 1, "a review, both ways", a.raw)
    body = b"k8s\0" + msg(1, msg(1, b"v1") + msg(2, b"DeleteOptions")) + msg(2, msg(4, b"Orphan") + msg(5, b"All"))
    a = api("DELETE", CM + "/l3", body, headers={"Accept": PB}, type=PB)
    t.ok(a.status == 200 and api.get(CM + "/l3").status == 200, "options of a deletion: a dry run", a)
    a = api("PATCH", CM + "/l3", {"data": {"k": "p"}}, type="application/merge-patch+json", headers={"Accept": PB})
    t.eq(what(a), (200, PB, "ConfigMap"), "a patch is JSON, its answer is not")


def frame(w):
    head = w.resp.read(4)
    if len(head) < 4:
        return None
    b = w.resp.read(struct.unpack(">I", head)[0])
    obj = field(b, 2, 1)
    return (field(b, 1).decode(),) + unwrap(obj)


def watches():
    rv = api.get(CM).rv
    w = api.watch(CM + "?watch=1&allowWatchBookmarks=1&resourceVersion=" + rv, {"Accept": PB})
    t.eq((w.status, w.resp.headers["Content-Type"]), (200, PB + ";stream=watch"), "a watch")
    m = api.watch(CM + "?watch=1&resourceVersion=" + rv, {"Accept": PB + META + ",application/json"})
    s = api.watch(CM + "?watch=1&labelSelector=w%3Dyes&resourceVersion=" + rv, {"Accept": PB + ";stream=watch"})
    api.post(CM, config_map("w", {"k": "v"}, labels={"w": "yes"}))
    api.patch(CM + "/w", {"metadata": {"labels": {"w": "no"}}})
    api.delete(CM + "/w")
    got = [frame(w) for _ in range(3)]
    t.eq([(x[0], x[2], field(x[3], 1, 1)) for x in got],
         [(x, "ConfigMap", b"w") for x in ("ADDED", "MODIFIED", "DELETED")], "its events")
    t.eq(field(got[0][3], 2, 2), b"v", "with the object")
    got = [frame(m) for _ in range(3)]
    t.eq([(x[0], x[1], x[2], [n for n, _ in fields(x[3])]) for x in got],
         [(x, "meta.k8s.io/v1", "PartialObjectMetadata", [1]) for x in ("ADDED", "MODIFIED", "DELETED")], "metadata alone")
    got = [frame(s) for _ in range(2)]
    t.ok([x[0] for x in got] == ["ADDED", "DELETED"] and int(field(got[1][3], 1, 6)) > int(field(got[0][3], 1, 6)), "what leaves a selection", got)
    for x in (w, m, s):
        x.close()
    w = api.watch(CM + "?watch=1&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=1", {"Accept": PB})
    got = [frame(w)]
    while got[-1] and got[-1][0] == "ADDED":
        got.append(frame(w))
    t.ok(got[-1][0] == "BOOKMARK" and b"initial-events-end" in got[-1][3] and len(got) > 3, "initial events end with a bookmark", got[-1])
    w.close()
    w = api.watch(CM + "?watch=1&resourceVersion=1", {"Accept": PB})
    e = frame(w) if w.status == 200 else ("ERROR",) + unwrap(w.answer.raw)
    t.ok(e[0] in ("ERROR", "ADDED"), "from the beginning of time", e)
    w.close()


def custom():
    path = "/apis/proto.example/v1" + NS + "/cows"
    api.post(path, {"apiVersion": "proto.example/v1", "kind": "Cow", "metadata": {"name": "c"}, "spec": {"n": 8}})
    a = get(path + "/c", PB + ",application/json")
    t.ok(what(a) == (200, "application/json", "Cow"), "custom objects are JSON", a)
    a = get(path, PB)
    t.ok(what(a) == (406, PB, "Status") and field(unwrap(a.raw)[2], 6) == 406, "or 406", a.raw)
    a = get(path + "/none", PB + ",application/json")
    t.eq(what(a), (404, PB, "Status"), "their errors are not")
    a = get(path + "/c", PB + META)
    t.ok(unwrap(a.raw)[1] == "PartialObjectMetadata" and field(unwrap(a.raw)[2], 1, 1) == b"c", "nor their metadata", a.raw)
    a = get(path, PB + METAS)
    t.ok(unwrap(a.raw)[1] == "PartialObjectMetadataList" and field(unwrap(a.raw)[2], 2, 1, 1) == b"c", "in lists", a.raw)
    w = api.watch(path + "?watch=1", {"Accept": PB + META})
    e = frame(w)
    t.ok(e[0] == "ADDED" and e[2] == "PartialObjectMetadata", "and watches", e)
    w.close()
    w = api.watch(path + "?watch=1", {"Accept": PB + ",application/json"})
    t.ok(w.resp.headers["Content-Type"] == "application/json" and w.next()["type"] == "ADDED", "a watch of them is JSON")
    w.close()


def documents():
    for path, kind in (("/apis", "APIGroupList"), ("/apis/apps", "APIGroup"), ("/apis/apps/v1", "APIResourceList"), ("/api/v1", "APIResourceList")):
        a = get(path)
        t.eq(what(a), (200, PB, kind), path)
    res = [x for n, x in fields(unwrap(get("/apis/apps/v1").raw)[2]) if n == 2]
    j = api.get("/apis/apps/v1").json["resources"]
    t.eq([(field(x, 1).decode(), [v.decode() for _, v in fields(field(x, 4))]) for x in res], [(x["name"], x["verbs"]) for x in j], "the same verbs")


for g in (every_kind, objects_and_lists, negotiation, errors, embedded, subresources, watches, custom, documents):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
