#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Server-side apply and the owners of fields, as upstream answers the same requests (oracle.py)."""
import json

from oracle import compare
from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
NS = "/api/v1/namespaces/ns-of-test"
CM = NS + "/configmaps"
TPL = NS + "/podtemplates"
SVC = NS + "/services"
DEP = "/apis/apps/v1/namespaces/ns-of-test/deployments"
AP = {"type": "apply"}


def by(manager, force=False, **more):
    q = "?fieldManager=" + manager + ("&force=true" if force else "")
    for k, v in more.items():
        q += "&%s=%s" % (k, v)
    return q


def cm(name, data=None, **meta):
    o = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": dict({"name": name, "namespace": "ns-of-test"}, **meta)}
    if data is not None:
        o["data"] = data
    return o


def tpl(name, containers, **spec):
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": dict({"containers": containers}, **spec)}}


def svc(name, ports, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": dict({"ports": ports}, **spec)}


def dep(name, replicas=None, image="i", **spec):
    o = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
         "spec": {"selector": {"matchLabels": {"a": "b"}},
                  "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}}
    if replicas is not None:
        o["spec"]["replicas"] = replicas
    o["spec"].update(spec)
    return o


C = lambda name, **k: dict({"name": name, "image": "i"}, **k)

config_maps = [
    ("its namespace", "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns-of-test"}},
     {"ours": lambda a: a["status"] == 201}),
    ("apply creates", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "1", "l": "2"}, labels={"x": "1"}), AP),
    ("the same again changes nothing", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "1", "l": "2"}, labels={"x": "1"}), AP),
    ("a field left out goes", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "1"}, labels={"x": "1"}), AP),
    ("another owns the same value", "PATCH", CM + "/a" + by("two"), cm("a", {"k": "1", "m": "3"}), AP),
    ("the first may leave it to him", "PATCH", CM + "/a" + by("one"), cm("a", None, labels={"x": "1"}), AP),
    ("a conflict", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "9"}, labels={"x": "1"}), AP),
    ("two conflicts", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "9", "m": "9"}, labels={"x": "1"}), AP),
    ("forced", "PATCH", CM + "/a" + by("one", True), cm("a", {"k": "9"}, labels={"x": "1"}), AP),
    ("an update takes", "PUT", CM + "/a?fieldManager=upd", cm("a", {"k": "u", "m": "3"}, labels={"x": "1"})),
    ("a conflict with an update", "PATCH", CM + "/a" + by("one"), cm("a", {"k": "9"}, labels={"x": "1"}), AP),
    ("conflicts with both", "PATCH", CM + "/a" + by("three"), cm("a", {"k": "7", "m": "7"}, labels={"x": "7"}), AP),
    ("a merge patch by the name of an applier", "PATCH", CM + "/a" + by("one"), {"data": {"n": "1"}}, {"type": "merge"}),
    ("an empty configuration", "PATCH", CM + "/a" + by("two"), cm("a"), AP),
    ("a value of null", "PATCH", CM + "/a" + by("four"), cm("a", {"z": None}), AP),
    ("YAML", "PATCH", CM + "/yy" + by("one"),
     "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yy\ndata:\n  a: |\n    text\n  b: 'yes'\n", AP),
    ("an entry cleared by a user", "PATCH", CM + "/yy" + by("one"), {"metadata": {"managedFields": [{}]}}, {"type": "merge"}),
    ("untracked objects stay so under updates", "PATCH", CM + "/y?fieldManager=upd", {"data": {"c": "1"}}, {"type": "merge"}),
    ("until they are applied", "PATCH", CM + "/yy" + by("one"), cm("yy", {"b": "yes"}), AP),
    ("what was there before has an owner", "PATCH", CM + "/yy" + by("two"), cm("yy", {"b": "no"}), AP),
    ("entries cleared by an empty list", "PATCH", CM + "/yy" + by("one"),
     [{"op": "replace", "path": "/metadata/managedFields", "value": []}], {"type": "json"}),
    ("finalizers are a set", "PATCH", CM + "/f" + by("one"), cm("f", None, finalizers=["e.x/a", "e.x/b"]), AP),
    ("another's too", "PATCH", CM + "/f" + by("two"), cm("f", None, finalizers=["e.x/c", "e.x/b"]), AP),
    ("the first gives one up", "PATCH", CM + "/f" + by("one"), cm("f", None, finalizers=["e.x/b"]), AP),
    ("and all", "PATCH", CM + "/f" + by("one"), cm("f"), AP),
    ("dry run", "PATCH", CM + "/f" + by("two", dryRun="All"), cm("f", {"a": "1"}), AP),
    ("of a creation", "PATCH", CM + "/none" + by("two", dryRun="All"), cm("none", {"a": "1"}), AP),
    ("which left nothing", "GET", CM + "/none", None),
]

refusals = [
    ("no manager", "PATCH", CM + "/r", cm("r"), AP),
    ("force without apply", "PATCH", CM + "/a?force=true", {}, {"type": "merge"}),
    ("another name", "PATCH", CM + "/r" + by("one"), cm("s"), AP),
    ("no name", "PATCH", CM + "/r" + by("one"), {"apiVersion": "v1", "kind": "ConfigMap"}, AP),
    ("managedFields", "PATCH", CM + "/r" + by("one"), cm("r", managedFields=[]), AP),
    ("managedFields with an entry", "PATCH", CM + "/r" + by("one"), cm("r", managedFields=[{"manager": "m"}]), AP),
    ("an old version", "PATCH", CM + "/a" + by("one", True), cm("a", {"k": "x"}, resourceVersion="1"), AP),
    ("another uid", "PATCH", CM + "/a" + by("one", True), cm("a", {"k": "x"}, uid="1"), AP),
    ("an unknown field", "PATCH", CM + "/r" + by("one"), dict(cm("r"), foo=1), AP),
    ("an unknown field below", "PATCH", TPL + "/r" + by("one"), tpl("r", [C("c", foo=1)]), AP),
    ("two of them", "PATCH", TPL + "/r" + by("one"), tpl("r", [C("c", foo=1), C("d", bar=1)]), AP),
    ("a number for a text", "PATCH", CM + "/r" + by("one"), cm("r", {"a": 1}), AP),
    ("a truth for a text", "PATCH", CM + "/r" + by("one"), cm("r", {"a": True}), AP),
    ("a text for a truth", "PATCH", TPL + "/r" + by("one"), tpl("r", [C("c")], hostNetwork="x"), AP),
    ("a list for a map", "PATCH", CM + "/r" + by("one"), dict(cm("r"), data=["a"]), AP),
    ("a text for a map", "PATCH", CM + "/r" + by("one"), dict(cm("r"), data="a"), AP),
    ("a map for a list", "PATCH", TPL + "/r" + by("one"), tpl("r", {"a": "b"}), AP),
    ("doubles", "PATCH", TPL + "/r" + by("one"), tpl("r", [C("c"), C("c")]), AP),
    ("no key", "PATCH", TPL + "/r" + by("one"), tpl("r", [{"image": "i"}]), AP),
    ("a null element", "PATCH", TPL + "/r" + by("one"), tpl("r", [None]), AP),
    ("a text as element", "PATCH", TPL + "/r" + by("one"), tpl("r", ["c"]), AP),
    ("no YAML", "PATCH", CM + "/r" + by("one"), "{a: [", AP),
    ("a text", "PATCH", CM + "/r" + by("one"), '"x"', AP),
    ("a list", "PATCH", CM + "/r" + by("one"), "[]", AP),
    ("invalid as ever", "PATCH", CM + "/r" + by("one"), cm("r", {"a b": "1"}), AP),
]

lists = [
    ("containers", "PATCH", TPL + "/l" + by("one"), tpl("l", [C("b", ports=[{"containerPort": 80}]), C("a")]), AP),
    ("another adds between", "PATCH", TPL + "/l" + by("two"), tpl("l", [C("b"), C("n", image="j"), C("a")]), AP),
    ("another's order", "PATCH", TPL + "/l" + by("three"), tpl("l", [C("a"), C("z"), C("b")]), AP),
    ("a port with a default key", "PATCH", TPL + "/l" + by("two"),
     tpl("l", [C("b", ports=[{"containerPort": 80, "name": "web"}]), C("n", image="j"), C("a")]), AP),
    ("and another protocol", "PATCH", TPL + "/l" + by("two"),
     tpl("l", [C("b", ports=[{"containerPort": 80, "name": "web"}, {"containerPort": 80, "protocol": "UDP"}]), C("n", image="j"), C("a")]), AP),
    ("an element given up stays for its other owner", "PATCH", TPL + "/l" + by("two"), tpl("l", [C("n", image="j")]), AP),
    ("an element given up by its last owner goes", "PATCH", TPL + "/l" + by("three"), tpl("l", [C("a"), C("b")]), AP),
    ("a conflict in an element", "PATCH", TPL + "/l" + by("two"),
     tpl("l", [C("n", image="j"), C("b", image="other", ports=[{"containerPort": 80, "hostIP": "1.2.3.4"}])]), AP),
    ("quantities as they are written", "PATCH", TPL + "/l" + by("four"),
     tpl("l", [C("a", resources={"limits": {"cpu": "1000m"}})]), AP),
    ("and in other words", "PATCH", TPL + "/l" + by("four"), tpl("l", [C("a", resources={"limits": {"cpu": "1"}})]), AP),
    ("ports of a service", "PATCH", SVC + "/s" + by("one"),
     svc("s", [{"port": 80, "protocol": "TCP", "targetPort": 8080}, {"port": 53, "protocol": "UDP", "name": "dns"}], clusterIP="None"), AP),
    ("its ports need names", "PATCH", SVC + "/s" + by("one"),
     svc("s", [{"port": 80, "protocol": "TCP", "targetPort": 8080, "name": "w"}, {"port": 53, "protocol": "UDP", "name": "dns"}], clusterIP="None"), AP),
    ("another's port", "PATCH", SVC + "/s" + by("two"), svc("s", [{"port": 443, "protocol": "TCP", "name": "tls", "targetPort": "https"}]), AP),
]

def owns(manager, *path):
    """That the answer's entry of @manager has this path as a leaf."""
    def look(a):
        for e in a["body"].get("metadata", {}).get("managedFields", []):
            f = e["fieldsV1"] if e["manager"] == manager else None
            for p in path:
                f = f.get(p) if f is not None else None
            if f == {}:
                return True
        return False
    return {"type": "apply", "ours": look}


def says(status, text, *fields):
    """That the answer is this error, about these fields."""
    def look(a):
        causes = a["body"].get("details", {}).get("causes", [])
        return a["status"] == status and text in a["body"].get("message", "") and \
            (not fields or sorted(fields) == sorted(c["field"] for c in causes))
    return {"type": "apply", "ours": look}


# where 1.36 is another than the 1.20 that was asked: lists and maps that are atomic now, keys with defaults, empty maps,
# kinds that are checked first, the names of objects in messages
SPEC = ("f:template", "f:spec")
newer = [
    ("to begin with", "PATCH", TPL + "/n" + by("one"), tpl("n", [C("a"), C("b")], nodeSelector={"a": "b"}), owns("one", *SPEC, "f:nodeSelector")),
    ("an atomic map", "PATCH", TPL + "/n" + by("two"), tpl("n", [C("a")], nodeSelector={"a": "b", "c": "d"}),
     says(409, 'Apply failed with 1 conflict: conflict with "one": .template.spec.nodeSelector', ".template.spec.nodeSelector")),
    ("an atomic list", "PATCH", TPL + "/n" + by("two"), tpl("n", [C("a", args=["1", "2"])]),
     owns("two", *SPEC, "f:containers", 'k:{"name":"a"}', "f:args")),
    ("as a whole", "PATCH", TPL + "/n" + by("one"), tpl("n", [C("a", args=["1"]), C("b")], nodeSelector={"a": "b"}),
     says(409, '.template.spec.containers[name="a"].args', '.template.spec.containers[name="a"].args')),
    ("an empty map is a value", "PATCH", TPL + "/n" + by("six"), tpl("n", [C("a", resources={})], securityContext={}),
     owns("six", *SPEC, "f:securityContext")),
    ("that of a volume, too", "PATCH", TPL + "/n" + by("five"), tpl("n", [C("a")], volumes=[{"name": "v", "emptyDir": {}}]),
     owns("five", *SPEC, "f:volumes", 'k:{"name":"v"}', "f:emptyDir")),
    ("null is one", "PATCH", CM + "/n" + by("four"), dict(cm("n"), data=None), owns("four", "f:data")),
    ("owners of objects", "PATCH", CM + "/n" + by("one"),
     cm("n", None, ownerReferences=[{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u-1"}]),
     owns("one", "f:metadata", "f:ownerReferences", 'k:{"uid":"u-1"}')),
    ("are atomic elements", "PATCH", CM + "/n" + by("two"),
     cm("n", None, ownerReferences=[{"apiVersion": "v1", "kind": "X", "name": "y", "uid": "u-1"}]),
     says(409, "", '.metadata.ownerReferences[uid="u-1"]')),
    ("a selector", "PATCH", SVC + "/n" + by("two"), svc("n", [{"port": 80}], clusterIP="None", selector={"a": "b"}),
     owns("two", "f:spec", "f:selector")),
    ("a port without a protocol", "PATCH", SVC + "/n" + by("one"), svc("n", [{"port": 80}], clusterIP="None"),
     owns("one", "f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:port")),
    ("a text for a number", "PATCH", SVC + "/r" + by("one"), svc("r", [{"port": "x"}]),
     says(500, "failed to create typed patch object: .spec.ports[port=\"x\",protocol=\"TCP\"].port: expected numeric (int or float), got string")),
    ("another kind", "PATCH", CM + "/r" + by("one"), dict(cm("r"), kind="Secret"), says(400, "invalid object type: /v1, Kind=Secret")),
    ("another version", "PATCH", DEP + "/r" + by("one"), dict(dep("r"), apiVersion="apps/v2"), says(400, "invalid object type: apps/v2, Kind=Deployment")),
    ("no kind", "PATCH", CM + "/r" + by("one"), {"apiVersion": "v1", "metadata": {"name": "r"}}, says(400, "invalid object type: /v1, Kind=")),
    ("another namespace", "PATCH", CM + "/r" + by("one"), cm("r", namespace="other"),
     says(400, "the namespace of the provided object does not match the namespace sent on the request")),
    ("a manager's name", "PATCH", CM + "/r" + by("x" * 129), cm("r"), says(422, "Too long: may not be more than 128 bytes", "fieldManager")),
    ("a uid of nothing", "PATCH", CM + "/nothing" + by("one"), cm("nothing", uid="5"), says(409, "uid mismatch: the provided object specified uid 5, and no existing object was found")),
    ("keys doubled", "PATCH", CM + "/d" + by("one", fieldValidation="Strict"), "kind: ConfigMap\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n",
     says(400, 'error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 3: key "kind" already set in map')),
    ("status of a deployment", "PATCH", DEP + "/s" + by("one"), dep("s", 2), owns("one", "f:spec", "f:replicas")),
    ("its status", "PATCH", DEP + "/s/status" + by("stat"),
     {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "s"}, "spec": {"replicas": 7}, "status": {"replicas": 1}},
     owns("stat", "f:status", "f:replicas")),
    ("its scale", "PATCH", DEP + "/s/scale" + by("hpa", True),
     {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "s"}, "spec": {"replicas": 5}},
     {"type": "apply", "ours": lambda a: a["status"] == 200 and a["body"]["spec"]["replicas"] == 5}),
    ("which its first owner has lost", "PATCH", DEP + "/s" + by("one"), dep("s", 2),
     says(409, 'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale": .spec.replicas', ".spec.replicas")),
]

LAST = "kubectl.kubernetes.io/last-applied-configuration"
client = cm("c", {"k": "1", "l": "2"})
kubectl = [
    ("as client-side apply creates", "POST", CM + "?fieldManager=kubectl-client-side-apply",
     cm("c", {"k": "1", "l": "2"}, annotations={LAST: json.dumps(client) + "\n"})),
    ("kubectl takes over without a conflict", "PATCH", CM + "/c" + by("kubectl"), cm("c", {"k": "3", "l": "2"}), AP),
    ("another may not", "PATCH", CM + "/c" + by("other"), cm("c", {"k": "4", "l": "5"}), AP),
    ("a second one", "POST", CM + "?fieldManager=kubectl-client-side-apply",
     cm("c2", {"k": "1", "l": "2"}, annotations={LAST: json.dumps(cm("c2", {"k": "1", "l": "2"})) + "\n"})),
    ("which somebody changed", "PATCH", CM + "/c2" + by("somebody"), {"data": {"l": "9", "m": "9"}}, {"type": "merge"}),
    ("that is a conflict for kubectl, too", "PATCH", CM + "/c2" + by("kubectl"), cm("c2", {"k": "3", "l": "4", "m": "5"}), AP),
]


def main_tests():
    compare(t, "apply-config-maps", api, config_maps, ns="ns-of-test")
    compare(t, "apply-refusals", api, refusals, ns="ns-of-test")
    compare(t, "apply-lists", api, lists, ("internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"), ns="ns-of-test")
    compare(t, None, api, newer)
    compare(t, "apply-kubectl", api, kubectl, ns="ns-of-test")


group(t, main_tests)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
