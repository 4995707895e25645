#!/usr/bin/env -S python3 -B
# run: timeout=120
"""CustomResourceDefinitions: the kind, what it makes of its objects, and their end."""
import http.client
import json
import threading

from oracle import TYPES
from rig import Api, Daemon, Tap, group, until

t = Tap()
d = Daemon()
with open(d.conf) as f:
    conf = f.read()
with open(d.conf, "w") as f:     # who clears namespaces and follows owners
    f.write(conf.replace("; }\n);\n", "; },\n { module = \"controllers/namespace\"; }, { module = \"controllers/garbage-collector\"; }\n);\n"))
d.start()
api = Api(d)
other = Api(d)      # a connection of its own: another shard may have it
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NS = "/apis/example.com/v1/namespaces/default/widgets"

SPEC = {
    "type": "object", "required": ["color"],
    "properties": {
        "color": {"type": "string", "enum": ["red", "green"]},
        "replicas": {"type": "integer", "minimum": 0, "default": 1, "maximum": 10},
        "name": {"type": "string", "pattern": "^[a-z]+(-\\d+)?$", "maxLength": 8, "minLength": 2},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "when": {"type": "string", "format": "date-time"},
        "maybe": {"type": "string", "nullable": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}, "maxItems": 3},
        "inner": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                  "items": {"type": "object", "required": ["name"],
                            "properties": {"name": {"type": "string"}, "n": {"type": "integer", "default": 7}}}},
    },
}


def version(name, storage=True, spec=SPEC, **more):
    return dict({"name": name, "served": True, "storage": storage, "subresources": {
        "status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": spec, "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "conditions": {"type": "array", "items": {
                    "type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}}}}}}}}, **more)


def crd(plural="widgets", kind="Widget", group="example.com", scope="Namespaced", versions=None, **names):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": plural + "." + group},
            "spec": {"group": group, "scope": scope, "names": dict({"plural": plural, "kind": kind}, **names),
                     "versions": versions or [version("v1")]}}


def widget(name, v="v1", **spec):
    return {"apiVersion": "example.com/" + v, "kind": "Widget", "metadata": {"name": name}, "spec": dict({"color": "red"}, **spec)}


def condition(name, what):
    o = api("GET", CRDS + "/" + name).json
    return next((c for c in (o.get("status", {}).get("conditions") or []) if c["type"] == what), {})


def established(name):
    until(name + " is established", lambda: condition(name, "Established").get("status") == "True")


def causes(a):
    return [(c["reason"], c["field"], c["message"]) for c in a.json.get("details", {}).get("causes", [])]


def the_kind():
    a = api("POST", CRDS, crd(shortNames=["wd"], categories=["all"]))
    t.eq(a.status, 201, "a definition is created")
    names = a.json["spec"]["names"]
    t.eq((names["singular"], names["listKind"]), ("widget", "WidgetList"), "names have defaults")
    t.eq(a.json["spec"]["conversion"], {"strategy": "None"}, "conversion has a default")
    t.eq(a.json["status"]["storedVersions"], ["v1"], "the stored version is written down")
    t.eq(a.json["status"]["conditions"], [], "its conditions are a list, as kubectl wait wants")
    established("widgets.example.com")
    c = condition("widgets.example.com", "NamesAccepted")
    t.eq((c["status"], c["reason"], c["message"]), ("True", "NoConflicts", "no conflicts found"), "its names are accepted")
    a = api("PATCH", CRDS + "/widgets.example.com/status?fieldValidation=Strict", {"status": {"observedGeneration": 1, "conditions": [dict(c, observedGeneration=1)]}},
            type="application/merge-patch+json")
    t.ok(a.status == 200 and "observedGeneration" not in str(a.json["status"]), "which generation that is about is a field that is known, and not kept", a)
    established("widgets.example.com")
    a = api("POST", CRDS, crd("gadgets", "Widget", shortNames=["wd"]))
    t.eq(a.status, 201, "another definition wants the same kind")
    until("the conflict is seen", lambda: condition("gadgets.example.com", "NamesAccepted").get("status") == "False")
    c = condition("gadgets.example.com", "NamesAccepted")
    t.ok("already in use" in c["message"] and c["reason"].endswith("Conflict"), "and does not get it", c)
    t.eq(condition("gadgets.example.com", "Established")["status"], "False", "so it is not served")
    t.eq(api("GET", "/apis/example.com/v1/gadgets").status, 404, "nor found")
    api("DELETE", CRDS + "/gadgets.example.com")
    until("it is gone", lambda: api("GET", CRDS + "/gadgets.example.com").status == 404)


def at_once():
    """Who sees that a definition is established can make objects of it, and find them."""
    bad = []
    for i in range(20):
        plural = "things%d" % i
        path = "/apis/example.com/v1/namespaces/default/" + plural
        w = api.watch(CRDS + "?watch=1&fieldSelector=metadata.name%%3D%s.example.com" % plural)
        api("POST", CRDS, crd(plural, "Thing%d" % i))
        while True:
            e = w.next()
            if any(c["type"] == "Established" for c in e["object"]["status"]["conditions"]):
                break
        made = other("POST", path, dict(widget("w"), kind="Thing%d" % i))
        found = other("GET", path + "/w")
        if (made.status, found.status) != (201, 200):
            bad.append((plural, str(made), str(found)))
        api("DELETE", CRDS + "/%s.example.com" % plural)
        w.close()
        until(plural + " are gone", lambda: api("GET", CRDS + "/%s.example.com" % plural).status == 404)
    t.eq(bad, [], "an object made the moment its definition is established is found")


def wrong_definitions():
    def bad(name, change, field):
        o = crd("wrongs", "Wrong")
        change(o)
        a = api("POST", CRDS, o)
        t.ok(a.status == 422 and any(c[1] == field for c in causes(a)), name, (a.status, causes(a)))
    v = lambda o: o["spec"]["versions"][0]
    s = lambda o: v(o)["schema"]["openAPIV3Schema"]
    at = "spec.validation.openAPIV3Schema"         # of a schema that all versions have
    bad("the name is plural and group", lambda o: o["metadata"].update(name="x.example.com"), "metadata.name")
    bad("the group has a dot", lambda o: (o["spec"].update(group="example"), o["metadata"].update(name="wrongs.example")), "spec.group")
    bad("the scope is one of two", lambda o: o["spec"].update(scope="Galaxy"), "spec.scope")
    bad("one version is stored", lambda o: v(o).update(storage=False), "spec.versions")
    bad("a schema is required", lambda o: v(o).pop("schema"), "spec.versions[0].schema.openAPIV3Schema")
    bad("the root is an object", lambda o: s(o).update(type="array"), at + ".type")
    bad("every field has a type", lambda o: s(o)["properties"].update(x={}), at + ".properties[x].type")
    bad("patterns can be read", lambda o: s(o)["properties"].update(x={"type": "string", "pattern": "("}), at + ".properties[x].pattern")
    bad("no references", lambda o: s(o)["properties"].update(x={"type": "object", "$ref": "#"}), at + ".properties[x].$ref")
    bad("defaults are valid", lambda o: s(o)["properties"].update(x={"type": "integer", "default": "a"}), at + ".properties[x].default")
    bad("map lists have keys", lambda o: s(o)["properties"].update(
        x={"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}), at + ".properties[x].x-kubernetes-list-map-keys")
    o = crd("rules", "Rule")
    s(o)["x-kubernetes-validations"] = [{"rule": "self.spec.replicas > 1"}]
    a = api("POST", CRDS, o)
    t.ok(a.status == 201 and "self.spec.replicas > 1" in str(a.headers), "a CEL rule is taken with a warning that names it", a.headers)
    api("DELETE", CRDS + "/rules.example.com")


def objects():
    a = api("POST", NS, widget("a", parts=[{"name": "x"}], free={"any": {"thing": 1}}, port="http", maybe=None, bogus=1))
    t.eq(a.status, 201, "an object is created")
    s = a.json["spec"]
    t.ok("bogus" not in s, "what the schema does not know goes")
    t.eq((s["replicas"], s["parts"][0]["n"]), (1, 7), "defaults are filled in, in lists too")
    t.eq((s["free"], s["maybe"]), ({"any": {"thing": 1}}, None), "what may be anything, or null, stays")
    t.eq(a.json["metadata"]["generation"], 1, "its generation is 1")
    t.ok("unknown field" in str(a.headers), "with a warning", a.headers)
    a = api("POST", NS + "?fieldValidation=Strict", widget("b", bogus=1))
    t.ok(a.status == 400 and 'unknown field "spec.bogus"' in a.json["message"], "strictly it is refused", a.json)

    def bad(what, want, **spec):
        o = widget("bad")
        o["spec"].update(spec)
        a = api("POST", NS, o)
        t.ok(a.status == 422 and want in causes(a), what, (a.status, causes(a)))
    bad("enum", ("FieldValueNotSupported", "spec.color", 'Unsupported value: "blue": supported values: "red", "green"'), color="blue")
    bad("minimum", ("FieldValueInvalid", "spec.replicas",
                    "Invalid value: -1: spec.replicas in body should be greater than or equal to 0"), replicas=-1)
    bad("type", ("FieldValueTypeInvalid", "spec.replicas",
                 'Invalid value: "string": spec.replicas in body must be of type integer: "string"'), replicas="1")
    bad("pattern", ("FieldValueInvalid", "spec.name",
                    "Invalid value: \"A\": spec.name in body should match '^[a-z]+(-\\d+)?$'"), name="A")
    inner = lambda **o: dict({"apiVersion": "v1", "kind": "Pod"}, **o)
    t.eq(api("POST", NS + "?dryRun=All", widget("in", inner=inner(metadata={"name": "p", "labels": {"a": "b"}}, spec={}))).status, 201, "an object in an object")
    for what, want, o in (("its version", ("FieldValueRequired", "spec.inner.apiVersion", "Required value: must not be empty"), {"kind": "Pod"}),
                          ("its kind", ("FieldValueInvalid", "spec.inner.kind", 'Invalid value: "": must not be empty'), inner(kind="")),
                          ("a version's form", ("FieldValueInvalid", "spec.inner.apiVersion", 'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'), inner(apiVersion="a/b/c")),
                          ("its name", ("FieldValueInvalid", "spec.inner.metadata.name", "Invalid value: \"a/b\": may not contain '/'"), inner(metadata={"name": "a/b"}))):
        bad(what, want, inner=o)
    bad("length", ("FieldValueTooLong", "spec.name", "Too long: may not be more than 8 bytes"), name="abcdefghi")
    bad("format", ("FieldValueInvalid", "spec.when",
                   'Invalid value: "now": spec.when in body must be of type date-time: "now"'), when="now")
    bad("items", ("FieldValueTooMany", "spec.tags", "Too many: 4: must have at most 3 items"), tags=["a", "b", "c", "d"])
    bad("sets", ("FieldValueDuplicate", "spec.tags[1]", 'Duplicate value: "a"'), tags=["a", "a"])
    bad("maps", ("FieldValueDuplicate", "spec.parts[1]", 'Duplicate value: map[string]interface {}{"name":"a"}'),
        parts=[{"name": "a"}, {"name": "a"}])
    bad("required", ("FieldValueRequired", "spec.parts[0].name", "Required value"), parts=[{"n": 1}])
    bad("oneOf", ("FieldValueInvalid", "spec.one",
                  'Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid'), one={})
    bad("int or string", ("FieldValueTypeInvalid", "spec.port",
                          'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'), port=True)


def writes():
    a = api("PATCH", NS + "/a", {"spec": {"replicas": 2}}, type=TYPES["merge"])
    t.eq((a.status, a.json["spec"]["replicas"], a.json["metadata"]["generation"]), (200, 2, 2), "merge patch, and the generation counts")
    a = api("PATCH", NS + "/a", [{"op": "replace", "path": "/spec/color", "value": "green"}], type=TYPES["json"])
    t.eq((a.status, a.json["spec"]["color"]), (200, "green"), "JSON patch")
    t.eq(api("PATCH", NS + "/a", {"spec": {}}, type=TYPES["strategic"]).status, 415, "no strategic merge patch")
    a = api("PATCH", NS + "/a?fieldManager=m", {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"parts": [{"name": "y", "n": 1}]}},
            type=TYPES["apply"])
    t.eq((a.status, [p["name"] for p in a.json["spec"]["parts"]]), (200, ["x", "y"]), "apply merges a list by its key")
    a = api("PATCH", NS + "/a?fieldManager=m", {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"color": "red"}}, type=TYPES["apply"])
    t.eq(a.status, 409, "and knows conflicts")
    gen = api("GET", NS + "/a").json["metadata"]["generation"]
    a = api("PATCH", NS + "/a/status", {"status": {"replicas": 2, "conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"color": "red"}},
            type=TYPES["merge"])
    t.eq((a.status, a.json["status"]["replicas"], a.json["spec"]["color"], a.json["metadata"]["generation"]), (200, 2, "green", gen),
         "status is written apart")
    a = api("GET", NS + "/a/scale")
    t.eq((a.json["kind"], a.json["spec"]["replicas"], a.json["status"]["replicas"]), ("Scale", 2, 2), "scale is read")
    a = api("PATCH", NS + "/a/scale", {"spec": {"replicas": 5}}, type=TYPES["merge"])
    t.eq((a.status, api("GET", NS + "/a").json["spec"]["replicas"]), (200, 5), "and written")
    a = api("GET", NS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    t.eq([c["name"] for c in a.json["columnDefinitions"]], ["Name", "Size", "Ready", "Age"], "its columns")
    t.eq(a.json["rows"][0]["cells"][:3], ["a", 5, "True"], "its cells")
    a = api("GET", NS)
    t.eq((a.json["kind"], a.json["items"][0]["kind"]), ("WidgetList", "Widget"), "items of its list have their kind")


def discovery():
    names = [g["name"] for g in api("GET", "/apis").json["groups"]]
    t.ok("example.com" in names, "its group is listed", names)
    r = {x["name"]: x for x in api("GET", "/apis/example.com/v1").json["resources"]}
    t.eq((r["widgets"]["shortNames"], r["widgets"]["categories"], sorted(r)), (["wd"], ["all"], ["widgets", "widgets/scale", "widgets/status"]),
         "so are its resources")
    a = api("GET", "/openapi/v3/apis/example.com/v1").json
    w = a["components"]["schemas"]["com.example.v1.Widget"]
    t.ok(w["properties"]["spec"]["properties"]["color"]["enum"] == ["red", "green"] and
         w["x-kubernetes-group-version-kind"] == [{"group": "example.com", "kind": "Widget", "version": "v1"}], "OpenAPI has its schema", w)
    a = api("GET", "/openapi/v2")
    v2, tag = a.json, a.headers.get("etag")
    w = v2["definitions"]["com.example.v1.Widget"]
    t.ok(w["properties"]["spec"]["properties"]["color"]["enum"] == ["red", "green"] and
         w["properties"]["metadata"]["$ref"] in ["#/definitions/" + n for n in v2["definitions"]], "OpenAPI v2 too", w)
    p = v2["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    t.eq((p["consumes"], p["x-kubernetes-group-version-kind"]["kind"], "com.example.v1.WidgetList" in v2["definitions"],
          "io.k8s.api.core.v1.Pod" in v2["definitions"]),
         (["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"], "Widget", True, True),
         "its operations and its lists, beside all else")
    a = api("GET", "/openapi/v2", headers={"If-None-Match": tag})
    t.eq(a.status, 304, "and as long as no definition changes, it is the same")
    a = api("GET", "/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
    t.ok(a.status == 200 and b"com.example.v1.Widget" in a.body, "also in protobuf")


def versions():
    o = api("GET", CRDS + "/widgets.example.com").json
    o["spec"]["versions"] = [version("v1", storage=False), version("v2")]
    a = api("PUT", CRDS + "/widgets.example.com", o)
    t.eq((a.status, a.json["status"]["storedVersions"]), (200, ["v1", "v2"]), "a second version, stored from now on")
    a = api("GET", "/apis/example.com/v2/namespaces/default/widgets/a")
    t.eq((a.status, a.json["apiVersion"], a.json["spec"]["replicas"]), (200, "example.com/v2", 5), "old objects in the new version")
    a = api("POST", "/apis/example.com/v2/namespaces/default/widgets", widget("n", "v2"))
    t.eq(a.status, 201, "a new object")
    t.eq(api("GET", NS + "/n").json["apiVersion"], "example.com/v1", "in the old version")
    a = api("PATCH", NS + "/n?fieldManager=m", {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"replicas": 3}}, type=TYPES["apply"])
    t.eq((a.status, a.json.get("code")), (409, 409), "apply in the old version knows who set what in the new one")
    a = api("PATCH", NS + "/n?fieldManager=m&force=true", {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"replicas": 3}},
            type=TYPES["apply"])
    t.eq((a.status, a.json.get("apiVersion"), a.json.get("spec", {}).get("replicas")), (200, "example.com/v1", 3), "and takes it by force")
    o = api("GET", CRDS + "/widgets.example.com").json
    o["spec"]["versions"] = [version("v2")]
    a = api("PUT", CRDS + "/widgets.example.com", o)
    t.ok(a.status == 422 and causes(a)[0][1] == "status.storedVersions[0]", "a version that may be stored is not taken away", causes(a))


def others():
    api("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}})
    there = "/apis/example.com/v1/namespaces/gone/widgets"
    t.eq(api("POST", there, widget("w")).status, 201, "an object in a namespace")
    api("DELETE", "/api/v1/namespaces/gone")
    until("the namespace is gone", lambda: api("GET", "/api/v1/namespaces/gone").status == 404)
    t.eq(api("GET", there + "/w").status, 404, "goes with the namespace")
    o = api("POST", NS, widget("owner")).json
    api("POST", "/api/v1/namespaces/default/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "owned", "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner",
                                              "uid": o["metadata"]["uid"]}]}})
    api("DELETE", NS + "/owner")
    until("what a custom object owned is gone", lambda: api("GET", "/api/v1/namespaces/default/configmaps/owned").status == 404)
    t.ok(True, "what a custom object owns goes with it")


def anything():
    o = crd("anys", "Any", scope="Cluster")
    s = o["spec"]["versions"][0]
    s["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    s.pop("subresources")
    t.eq(api("POST", CRDS, o).status, 201, "a definition of anything")
    established("anys.example.com")
    t.eq(api("GET", "/openapi/v3/apis/example.com/v1").status, 200, "is in OpenAPI too")
    t.eq(api("GET", "/openapi/v2").json["definitions"]["com.example.v1.Any"],
         {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Any", "version": "v1"}]},
         "in v2 without members: kubectl would refuse all others")
    at = "/apis/example.com/v1/anys"
    a = api("POST", at, {"apiVersion": "example.com/v1", "kind": "Any", "metadata": {"name": "a"}, "spec": {"a": [{"b": {}}]}, "status": 1})
    t.eq((a.status, a.json["spec"], a.json["status"]), (201, {"a": [{"b": {}}]}, 1), "its objects are anything")
    a = api("PATCH", at + "/a?fieldManager=m", {"apiVersion": "example.com/v1", "kind": "Any", "spec": {"c": {"d": 1}}}, type=TYPES["apply"])
    t.ok(a.status == 200 and a.json["spec"] == {"a": [{"b": {}}], "c": {"d": 1}}, "and merge by apply", a.json)
    a = api("POST", at, "k8s", headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
    t.eq(a.status, 415, "there is no protobuf of them")


def watching():
    seen = []

    def follow():
        c = Api(d)
        c.conn = http.client.HTTPSConnection("localhost", d.port, context=c.ctx, timeout=c.timeout)
        c.conn.request("GET", NS + "?watch=1&resourceVersion=0", headers=c.headers(None))
        r = c.conn.getresponse()
        ready.set()
        for line in r:
            seen.append(json.loads(line))
    ready = threading.Event()
    th = threading.Thread(target=follow, daemon=True)
    th.start()
    ready.wait(60)
    api("POST", NS, widget("seen"))
    until("the event", lambda: any(e["object"]["metadata"]["name"] == "seen" for e in seen))
    e = next(e for e in seen if e["object"]["metadata"]["name"] == "seen")
    t.eq((e["type"], e["object"]["kind"]), ("ADDED", "Widget"), "a watch tells of objects")
    return th


def the_end():
    th = watching()
    a = api("DELETE", CRDS + "/widgets.example.com")
    t.ok(a.status == 200 and a.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"], "it is deleted after its objects", a.json)
    until("it is gone", lambda: api("GET", CRDS + "/widgets.example.com").status == 404)
    t.eq(api("GET", NS).status, 404, "its resource is not served any more")
    th.join(60)
    t.ok(not th.is_alive(), "its watches have ended")
    api("POST", CRDS, crd())
    established("widgets.example.com")
    t.eq(api("GET", NS).json["items"], [], "defined again it is empty")


for g in (the_kind, at_once, wrong_definitions, objects, writes, discovery, others, anything, versions, the_end):
    group(t, g)
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
