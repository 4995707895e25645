#!/usr/bin/env -S python3 -B
# run: timeout=120
"""What is refused of kinds and fields that came after 1.20, with which upstream's answers cannot be compared: its facts."""
import copy
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import Api, Daemon, Tap    # noqa: E402

I, R, N, F, M, D = ("FieldValue" + x for x in ("Invalid", "Required", "NotSupported", "Forbidden", "TooMany", "Duplicate"))
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
BY_VALUE = {"type": "AverageValue", "averageValue": "5"}

HPA = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h"}, "spec": {
    "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "minReplicas": 2, "maxReplicas": 5,
    "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
        {"type": "Pods", "pods": {"metric": {"name": "x"}, "target": BY_VALUE}},
        {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                                      "metric": {"name": "x"}, "target": {"type": "Value", "value": "5"}}},
        {"type": "External", "external": {"metric": {"name": "x", "selector": {"matchLabels": {"a": "b"}}}, "target": BY_VALUE}},
        {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 50}}}],
    "behavior": {"scaleUp": {"stabilizationWindowSeconds": 10, "selectPolicy": "Max",
                             "policies": [{"type": "Pods", "value": 1, "periodSeconds": 10}]},
                 "scaleDown": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 10}]}}}}
METRIC, UP = "spec.metrics.%d.", "spec.behavior.scaleUp."

JOB = {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": "j"}, "spec": {
    "parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "maxFailedIndexes": 2,
    "podReplacementPolicy": "Failed", "template": POD,
    "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]},
    "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2]}},
                                   {"action": "Ignore", "onPodConditions": [{"type": "x", "status": "True"}]}]}}}
FIRST, SECOND = "spec.podFailurePolicy.rules.0.", "spec.podFailurePolicy.rules.1."

# path of the kind, an object that is allowed, and what is wrong with it: (field, value, where it is said or None, reason)
CASES = [
    ("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", HPA, [
        ("spec.minReplicas", 0, "spec.minReplicas", I), ("spec.maxReplicas", 0, "spec.maxReplicas", I), ("spec.maxReplicas", 1, "", I),
        ("spec.scaleTargetRef.kind", "", "", R), ("spec.scaleTargetRef.name", "", "", R),
        ("spec.scaleTargetRef.name", "a/b", "", I), ("spec.scaleTargetRef.kind", "..", "", I),
        (METRIC % 0 + "type", "", "", R), (METRIC % 0 + "type", "x", "", N), (METRIC % 0 + "type", "Pods", METRIC % 0 + "pods", R),
        (METRIC % 0 + "pods", {"metric": {"name": "x"}, "target": BY_VALUE}, "", F),
        (METRIC % 0 + "resource.name", "", "", R), (METRIC % 0 + "resource.target.type", "", "", R),
        (METRIC % 0 + "resource.target.type", "x", "", N), (METRIC % 0 + "resource.target.averageUtilization", 0, "", I),
        (METRIC % 0 + "resource.target.averageUtilization", None, "", R), (METRIC % 0 + "resource.target.averageValue", "5", "", F),
        (METRIC % 1 + "pods.metric.name", "", "", R), (METRIC % 1 + "pods.metric.name", "a/b", "", I),
        (METRIC % 1 + "pods.target.averageValue", "0", "", I), (METRIC % 1 + "pods.target.averageValue", None, "", R),
        (METRIC % 2 + "object.describedObject.kind", "", "", R),
        (METRIC % 2 + "object.target.value", None, METRIC % 2 + "object.target.averageValue", R),
        (METRIC % 2 + "object.target.value", "-1", "", I), (METRIC % 3 + "external.target.value", "5", "", F),
        (METRIC % 3 + "external.target.averageValue", None, "", R), (METRIC % 4 + "containerResource.container", "", "", R),
        (UP + "stabilizationWindowSeconds", -1, "", I), (UP + "stabilizationWindowSeconds", 3601, "", I),
        (UP + "policies.0.type", "x", "", N), (UP + "policies.0.value", 0, "", I), (UP + "policies.0.periodSeconds", 0, "", I),
        (UP + "policies.0.periodSeconds", 1801, "", I), (UP + "selectPolicy", "x", "", N)]),
    ("/apis/networking.k8s.io/v1/ipaddresses", {
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "10.0.0.1"},
        "spec": {"parentRef": {"resource": "services", "namespace": "x", "name": "s"}}}, [
            ("metadata.name", "x", "", I), ("metadata.name", "10.0.0.01", "", I), ("spec.parentRef", None, "", R),
            ("spec.parentRef", {}, "spec.parentRef.resource", R), ("spec.parentRef.name", "", "", R),
            ("spec.parentRef.name", "a/b", "", I), ("spec.parentRef.group", "A_b", "", I),
            ("spec.parentRef.resource", "a/b", "", I), ("spec.parentRef.namespace", "a/b", "", I)]),
    ("/apis/networking.k8s.io/v1/servicecidrs", {
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "c"},
        "spec": {"cidrs": ["10.10.0.0/16", "fd00::/64"]}}, [
            ("spec.cidrs", [], "", R), ("spec.cidrs.0", "10.10.0.1/16", "", I), ("spec.cidrs.0", "x", "", I),
            ("spec.cidrs.1", "10.11.0.0/16", "spec.cidrs", I), ("spec.cidrs", ["10.10.0.0/16", "fd00::/64", "fd01::/64"], "", I)]),
    ("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", {
        "kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "n"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}}, [
            ("spec.ingress.0.ports.0.endPort", 70, "", I), ("spec.ingress.0.ports.0.endPort", 70000, "", I),
            ("spec.ingress.0.ports.0.port", "http", "spec.ingress.0.ports.0.endPort", I),
            ("spec.ingress.0.ports.0.port", None, "spec.ingress.0.ports.0.endPort", I)]),
    ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"name": "e"}, "addressType": "IPv4",
        "ports": [{"name": "a", "port": 80}],
        "endpoints": [{"addresses": ["1.2.3.4"], "nodeName": "n", "zone": "z", "hints": {"forZones": [{"name": "z"}]}}]}, [
            ("endpoints.0.hints.forZones", [{"name": "z%d" % i} for i in range(9)], "", M),
            ("endpoints.0.hints.forZones", [{"name": "z"}] * 2, "endpoints.0.hints.forZones.1.name", D),
            ("endpoints.0.hints.forZones.0.name", "a b", "", I),
            ("endpoints.0.hints.forNodes", [{"name": "A B"}], "endpoints.0.hints.forNodes.0.name", I),
            ("endpoints.0.nodeName", "A B", "", I), ("endpoints.0.addresses", [], "", R)]),
    ("/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities", {
        "kind": "CSIStorageCapacity", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "c"}, "storageClassName": "s",
        "capacity": "1Gi", "maximumVolumeSize": "1Gi", "nodeTopology": {"matchLabels": {"a": "b"}}}, [
            ("storageClassName", "", "", R), ("storageClassName", "A_", "", I), ("capacity", "-1", "", I),
            ("maximumVolumeSize", "-1", "", I)]),
    ("/apis/storage.k8s.io/v1/volumeattributesclasses", {
        "kind": "VolumeAttributesClass", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "c"}, "driverName": "d.e",
        "parameters": {"a": "b"}}, [
            ("driverName", "", "", R), ("driverName", "A B", "", I), ("parameters", {}, "", R), ("parameters", {"": "b"}, "", I)]),
    ("/apis/storage.k8s.io/v1/csidrivers", {
        "kind": "CSIDriver", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "d.e"}, "spec": {
            "tokenRequests": [{"audience": "a", "expirationSeconds": 600}], "nodeAllocatableUpdatePeriodSeconds": 10}}, [
                ("spec.tokenRequests.0.expirationSeconds", 599, "", I),
                ("spec.tokenRequests.0.expirationSeconds", 1 << 33, "", I), ("spec.fsGroupPolicy", "x", "", N),
                ("spec.tokenRequests", [{"audience": "a"}] * 2, "spec.tokenRequests.1.audience", D),
                ("spec.nodeAllocatableUpdatePeriodSeconds", 9, "", I)]),
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets", {
        "kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "metadata": {"name": "p"},
        "spec": {"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}, [
            ("spec.unhealthyPodEvictionPolicy", "x", "", N)]),
    ("/apis/batch/v1/namespaces/default/cronjobs", {
        "kind": "CronJob", "apiVersion": "batch/v1", "metadata": {"name": "c"}, "spec": {
            "schedule": "@every 1h", "timeZone": "Etc/UTC", "jobTemplate": {"spec": {"template": POD}}}}, [
                ("spec.timeZone", "Local", "", I), ("spec.timeZone", "", "", I), ("spec.timeZone", "../x", "", I),
                ("spec.schedule", "TZ=UTC * * * * *", "", I), ("spec.schedule", "@nope", "", I),
                ("spec.schedule", "61 * * * *", "", I)]),
    ("/apis/batch/v1/namespaces/default/jobs", JOB, [
        ("spec.completionMode", "x", "", N), ("spec.completions", None, "", R), ("spec.maxFailedIndexes", 5, "", I),
        ("spec.backoffLimitPerIndex", None, "", R), ("spec.backoffLimitPerIndex", -1, "", I), ("spec.maxFailedIndexes", -1, "", I),
        ("spec.podReplacementPolicy", "TerminatingOrFailed", "", N), ("spec.podReplacementPolicy", "x", "", N),
        ("spec.managedBy", "a", "", I), ("spec.successPolicy.rules", [], "", R), ("spec.parallelism", 100001, "", I),
        ("spec.successPolicy.rules.0.succeededIndexes", "3-1", "", I), ("spec.successPolicy.rules.0.succeededIndexes", "9", "", I),
        ("spec.successPolicy.rules.0.succeededCount", 5, "", I), ("spec.successPolicy.rules.0", {}, "", R),
        ("spec.podFailurePolicy.rules", JOB["spec"]["podFailurePolicy"]["rules"] * 11, "", M),
        (FIRST + "action", "x", "", N), (FIRST + "onExitCodes.operator", "x", "", N), (FIRST + "onExitCodes.values", [], "", I),
        (FIRST + "onExitCodes.values", [0], FIRST + "onExitCodes.values.0", I), (FIRST + "onExitCodes.values", [2, 1], "", I),
        (FIRST + "onExitCodes.values", [1, 1], FIRST + "onExitCodes.values.1", D),
        (FIRST + "onExitCodes.containerName", "zz", "", I),
        (FIRST + "onPodConditions", [{"type": "x", "status": "True"}], FIRST[:-1], I),
        (SECOND + "onPodConditions.0.status", "x", "", N), (SECOND + "onPodConditions.0.type", "a b", "", I)]),
]


def put(obj, path, value):
    words = path.split(".")
    for w in words[:-1]:
        obj = obj[int(w)] if isinstance(obj, list) else obj.setdefault(w, {})
    last = int(words[-1]) if isinstance(obj, list) else words[-1]
    if value is None:
        del obj[last]
    else:
        obj[last] = value


def places(answer):
    """(field, reason) of each cause, the fields with dots all through."""
    causes = (json.loads(answer.text).get("details") or {}).get("causes") or ()
    return {(c.get("field", "").replace("[", ".").replace("]", ""), c["reason"]) for c in causes}


def main():
    tap = Tap()
    daemon = Daemon().start()
    api = Api(daemon)
    for path, obj, wrong in CASES:
        a = api("POST", path + "?dryRun=All", json.dumps(obj))
        tap.ok(a.status == 201, "%s is allowed" % obj["kind"], a.text)
        for field, value, where, reason in wrong:
            other = copy.deepcopy(obj)
            put(other, field, value)
            a = api("POST", path + "?dryRun=All", json.dumps(other))
            tap.ok(a.status == 422 and (where or field, reason) in places(a),
                   "%s: %s = %s" % (obj["kind"], field, json.dumps(value)[:60]), a.text)
    tap.ok(daemon.alive() and daemon.stop() == 0, "the daemon ends well")
    tap.done()


if __name__ == "__main__":
    main()
