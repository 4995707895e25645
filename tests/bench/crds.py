#!/usr/bin/env -S python3 -B
"""500 CustomResourceDefinitions: anonymous memory of the API server's process beyond their own bytes, when all are established,
and when every one of them has been asked for on every shard and has an object. The aim: 25 MB."""
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from rig import Api, Daemon, until  # noqa: E402

N = int(os.environ.get("ORLOP_BENCH_CRDS", "500"))
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def condition():
    """metav1.Condition, as code generators write it"""
    return {"type": "array", "description": "Conditions of the resource.", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
            "items": {"type": "object", "required": ["lastTransitionTime", "message", "reason", "status", "type"], "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When it last changed."},
                "message": {"type": "string", "maxLength": 32768, "description": "For people."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {"type": "string", "maxLength": 1024, "minLength": 1, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {"type": "string", "maxLength": 316, "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
                                                                       "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"}}}}


def crd(i):
    """About 6 KB, like those of an operator of middling size"""
    ref = {"type": "object", "description": "A reference to a secret in the same namespace.", "required": ["name"], "properties": {
        "name": {"type": "string", "description": "Name of the secret.", "minLength": 1}, "key": {"type": "string", "description": "Key in it."}}}
    spec = {"type": "object", "description": "The desired state.", "properties": dict(
        [("field%d" % k, {"type": "string", "description": "What field %d of resource %d is for, in a sentence or so." % (k, i)}) for k in range(12)] +
        [("replicas", {"type": "integer", "format": "int32", "minimum": 0, "default": 1}),
         ("mode", {"type": "string", "enum": ["Fast", "Safe", "Off"], "default": "Safe"}),
         ("size", {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+(Ki|Mi|Gi)?$"}),
         ("credentials", ref), ("tls", {"type": "object", "properties": {"ca": ref, "cert": ref, "insecure": {"type": "boolean"}}}),
         ("endpoints", {"type": "array", "items": {"type": "object", "required": ["host"], "properties": {
             "host": {"type": "string"}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "auth": ref}}}),
         ("template", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})])}
    schema = {"type": "object", "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": spec,
                                               "status": {"type": "object", "properties": {"conditions": condition(), "phase": {"type": "string"}}}}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "thing%ds.g%d.example.com" % (i, i % 25)},
            "spec": {"group": "g%d.example.com" % (i % 25), "scope": "Namespaced",
                     "names": {"plural": "thing%ds" % i, "singular": "thing%d" % i, "kind": "Thing%d" % i, "listKind": "Thing%dList" % i},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
                                   "additionalPrinterColumns": [{"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                                                                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]}}


def anonymous(d):
    with open("/proc/%d/smaps_rollup" % d.proc.pid, encoding="utf-8") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("Anonymous:")) * 1024


def say(what, beyond, own):
    print(json.dumps({"bench": "crds", "what": what, "definitions": N, "own_bytes": own, "beyond_bytes": beyond, "beyond_each": beyond // N,
                      "aim_bytes": 25000000 * N // 500, "repeat": "make bench BENCH_SCRIPTS=tests/bench/crds.py bench_programs="}), flush=True)


def ask_all(d, fn):
    """fn(api, i) of each, on several connections: they come to different shards"""
    def run():
        api = Api(d)
        for i in range(N):
            fn(api, i)
        api.close()
    ts = [threading.Thread(target=run) for _ in range(8)]
    for x in ts:
        x.start()
    for x in ts:
        x.join()


def listed(api, i):
    a = api.get("/apis/g%d.example.com/v1/thing%ds" % (i % 25, i))
    if a.status != 200:
        raise SystemExit(a)


def main():
    d = Daemon().start()
    api = Api(d)
    for i in range(20):     # what the first of all costs is not theirs
        api.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c%d" % i}})
    api.get(CRDS)
    before = anonymous(d)
    for i in range(N):
        a = api.post(CRDS, crd(i))
        if a.status != 201:
            raise SystemExit(a)
    names = lambda a: sum(c["type"] == "Established" and c["status"] == "True" for o in a.json["items"] for c in o["status"].get("conditions") or [])
    until("all are established", lambda: names(api.get(CRDS)) == N, 120)
    own = sum(len(json.dumps(o, separators=(",", ":"), ensure_ascii=False).encode()) for o in api.get(CRDS).json["items"])
    say("established", anonymous(d) - before - own, own)
    ask_all(d, listed)
    for i in range(N):
        a = api.post("/apis/g%d.example.com/v1/namespaces/default/thing%ds" % (i % 25, i), {
            "apiVersion": "g%d.example.com/v1" % (i % 25), "kind": "Thing%d" % i, "metadata": {"name": "a"}, "spec": {"field1": "x"}})
        if a.status != 201:
            raise SystemExit(a)
    say("used", anonymous(d) - before - own, own)
    d.stop()


main()
