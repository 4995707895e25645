#!/usr/bin/env -S python3 -B
# run: timeout=120
"""HorizontalPodAutoscaler in its two versions: what v1 has no fields for goes through its annotations and comes back."""
import json

from oracle import TYPES
from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
AT = "/apis/autoscaling/%s/namespaces/default/horizontalpodautoscalers"
A = "autoscaling.alpha.kubernetes.io/"
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
OTHERS = [
    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                                  "target": {"type": "Value", "value": "10"}, "metric": {"name": "hits"}}},
    {"type": "Pods", "pods": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
    {"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}, "container": "c"}},
    {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "AverageValue", "averageValue": "3"}}},
]
OLD = [
    {"type": "Object", "object": {"target": {"kind": "Service", "name": "s", "apiVersion": "v1"}, "metricName": "hits", "targetValue": "10"}},
    {"type": "Pods", "pods": {"metricName": "q", "targetAverageValue": "1k", "selector": {"matchLabels": {"a": "b"}}}},
    {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}},
    {"type": "ContainerResource", "containerResource": {"name": "cpu", "targetAverageUtilization": 50, "container": "c"}},
    {"type": "External", "external": {"metricName": "e", "targetAverageValue": "3"}},
]


def hpa(v, name, **spec):
    return {"apiVersion": "autoscaling/" + v, "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": dict({"maxReplicas": 5, "scaleTargetRef": REF}, **spec)}


def of_v1():
    a = api.post(AT % "v1", hpa("v1", "a", targetCPUUtilizationPercentage=60))
    t.eq((a.status, a.json["apiVersion"], a.json["spec"]),
         (201, "autoscaling/v1", {"maxReplicas": 5, "minReplicas": 1, "scaleTargetRef": REF, "targetCPUUtilizationPercentage": 60}), "made in v1")
    t.eq(api.get(AT % "v2" + "/a").json["spec"]["metrics"], [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}], "is a metric of cpu in v2")
    a = api.post(AT % "v1", hpa("v1", "b"))
    t.eq((a.status, a.json["spec"]["targetCPUUtilizationPercentage"]), (201, 80), "which has a default")
    a = api.patch(AT % "v1" + "/a", {"spec": {"targetCPUUtilizationPercentage": 65}})
    t.eq((a.status, a.json["spec"]["targetCPUUtilizationPercentage"], a.json["metadata"].get("annotations")), (200, 65, None), "changed")
    a = api.post(AT % "v1", hpa("v1", "c", maxReplicas=0, targetCPUUtilizationPercentage=0))
    t.eq((a.status, sorted(c["field"] for c in a.json["details"]["causes"])), (422, ["spec.maxReplicas", "spec.maxReplicas", "spec.metrics[0].resource.target.averageUtilization"]),
         "what is wrong is said of the newer version, as upstream does")
    t.eq(["%s %s" % (i.get("kind"), i["spec"]["targetCPUUtilizationPercentage"]) for i in api.get(AT % "v1").json["items"]], ["None 65", "None 80"], "a list")
    rows = api.get(AT % "v1", {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    t.eq((rows["columnDefinitions"][2]["name"], rows["rows"][0]["cells"][:3]), ("Targets", ["a", "Deployment/d", "cpu: <unknown>/65%"]), "a table")


def of_v2():
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 5, "selectPolicy": "Min", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}
    a = api.post(AT % "v2", hpa("v2", "m", metrics=OTHERS + [CPU], behavior=behavior))
    t.eq(a.status, 201, "made in v2", )
    whole = a.json
    o = api.get(AT % "v1" + "/m").json
    notes = o["metadata"]["annotations"]
    t.eq(o["spec"], {"maxReplicas": 5, "minReplicas": 1, "scaleTargetRef": REF, "targetCPUUtilizationPercentage": 70}, "v1 shows cpu")
    t.eq((sorted(notes), notes[A + "metrics"]), ([A + "behavior", A + "metrics"], json.dumps(OLD, separators=(",", ":"))), "and the rest in annotations")
    t.ok(notes[A + "behavior"].startswith('{"ScaleUp":{"StabilizationWindowSeconds":5,"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":4,'
                                          '"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":{'), "as upstream writes them", notes)
    o["metadata"]["labels"] = {"x": "y"}
    a = api.put(AT % "v1" + "/m", o)
    t.eq((a.status, a.json["metadata"]["annotations"]), (200, notes), "written back in v1")
    is_now = api.get(AT % "v2" + "/m").json
    t.eq((is_now["spec"]["metrics"], is_now["spec"]["behavior"], "annotations" in is_now["metadata"]),
         (OTHERS + [CPU], whole["spec"]["behavior"], False), "nothing of it is lost")
    a = api("PATCH", AT % "v1" + "/m?fieldManager=old&force=true", hpa("v1", "m", maxReplicas=9), type=TYPES["apply"])
    t.eq((a.status, a.json["spec"]["maxReplicas"], len(api.get(AT % "v2" + "/m").json["spec"]["metrics"])), (200, 9, 6), "nor when v1 is applied")


def status():
    condition = {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "r", "message": "m"}
    a = api.patch(AT % "v2" + "/m/status", {"status": {"currentReplicas": 2, "desiredReplicas": 3, "conditions": [condition], "currentMetrics": [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "200m"}}}]}})
    t.eq(a.status, 200, "its status is written in v2")
    o = api.get(AT % "v1" + "/m").json
    t.eq(o["status"], {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 40}, "v1 shows its part")
    notes = o["metadata"]["annotations"]
    t.eq((json.loads(notes[A + "conditions"]), notes[A + "current-metrics"]), ([condition], '[{"type":"Resource","resource":{"name":"cpu",'
         '"currentAverageUtilization":40,"currentAverageValue":"200m"}}]'), "the rest is in annotations")
    a = api.patch(AT % "v1" + "/m/status", {"status": {"desiredReplicas": 4}})
    s = api.get(AT % "v2" + "/m").json["status"]
    t.eq((a.status, s["desiredReplicas"], s["conditions"], len(s["currentMetrics"])), (200, 4, [condition], 1), "and is kept by a write in v1")
    o = api.get(AT % "v1" + "/m").json
    del o["metadata"]["annotations"]
    for what, a in (("PATCH", api.patch(AT % "v1" + "/m?fieldValidation=Strict", {"metadata": {"labels": {"l": "1"}}})),
                    ("PUT", api.put(AT % "v1" + "/m?fieldValidation=Strict", dict(o, metadata=dict(o["metadata"], resourceVersion=None))))):
        t.eq((a.status, a.headers.get("Warning")), (200, None), "%s in v1 of all but the status: no fields but those that were sent" % what)
        t.eq(api.get(AT % "v2" + "/m").json["status"], s, "nor does it change the status")


def watching():
    w = api.watch(AT % "v1" + "?watch=1&fieldSelector=metadata.name%3Da")
    e = w.next()
    t.eq((e["type"], e["object"]["apiVersion"], e["object"]["spec"]["targetCPUUtilizationPercentage"]), ("ADDED", "autoscaling/v1", 65), "watched in v1")
    w.close()
    g = api.get("/apis/autoscaling").json
    t.eq(([v["version"] for v in g["versions"]], g["preferredVersion"]["version"]), (["v2", "v1"], "v2"), "discovery prefers v2")


for g in (of_v1, of_v2, status, watching):
    group(t, g)
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
