#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Fields of custom resources that lists select by: as the object is served, however its definition was when it was stored."""
from rig import Api, Daemon, Tap, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AT = "/apis/example.com/%s/namespaces/default/%s"
AS_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
TEXT, NUMBER, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}


def version(name, props, *fields, storage=True):
    return {"name": name, "served": True, "storage": storage, "selectableFields": [{"jsonPath": f} for f in fields],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": props}}}}}


def crd(plural, *versions):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": plural + ".example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural.capitalize()},
                     "versions": list(versions)}}


def define(plural, *versions):
    a = api.post(CRDS, crd(plural, *versions))
    assert a.status == 201, a
    until("it is established", lambda: any(c["type"] == "Established" and c["status"] == "True" for c in api.get(
        CRDS + "/" + plural + ".example.com").json["status"]["conditions"]))


def redefine(plural, *versions):
    o = api.get(CRDS + "/" + plural + ".example.com").json
    o["spec"]["versions"] = list(versions)
    a = api.put(CRDS + "/" + plural + ".example.com", o)
    assert a.status == 200, a


def make(plural, name, version="v1", **spec):
    a = api.post(AT % (version, plural), {"apiVersion": "example.com/" + version, "kind": plural.capitalize(), "metadata": {"name": name},
                                          "spec": spec})
    assert a.status == 201, a
    return a


def query(selector):
    return "fieldSelector=" + selector.replace("!", "%21").replace("=", "%3D").replace(",", "%2C")


def names(plural, selector, version="v1", more=""):
    a = api.get(AT % (version, plural) + "?" + query(selector) + more)
    return [i["metadata"]["name"] for i in a.json["items"]] if a.status == 200 else (a.status, a.json["message"])


def values():
    props = {"color": TEXT, "n": NUMBER, "on": TRUTH, "size": {"type": "string", "enum": ["S", "M"]}}
    define("values", version("v1", props, ".spec.color", ".spec.n", ".spec.on", ".spec.size"))
    make("values", "a", color="red", n=0, on=False)
    make("values", "b", color='say "hi" / \u00e9', n=-12, on=True, size="M")
    make("values", "c")
    make("values", "d", color="blue", n=7.0, on=True)
    for selector, want in (("spec.color=red", "a"), ("spec.n=0", "a"), ("spec.n=-12", "b"), ("spec.n=7", "d"), ("spec.on=true", "bd"),
                           ("spec.on=false", "a"), ("spec.size=M", "b"), ("spec.size=L", ""), ("spec.on!=false", "bcd"),
                           ("spec.n!=0", "bcd"), ("spec.color!=red", "bcd"), ("spec.color=", "c"), ("spec.n=", "c"), ("spec.on=", "c"),
                           ("spec.on!=", "abd"), ("spec.color=red,spec.on=false,spec.n!=3", "a"), ("spec.color=red,spec.on=true", ""),
                           ("spec.on!=true,metadata.name=c", "c"), ("metadata.namespace=default,spec.n!=0", "bcd"),
                           ("metadata.namespace=x,spec.n=0", "")):
        t.eq(names("values", selector), list(want), selector)
    t.eq(names("values", "spec.color=say%20%22hi%22%20/%20%C3%A9"), ["b"], "text is compared as it is meant")
    t.eq(names("values", "spec.none=x"), (400, "field label not supported: spec.none"), "what is not said to be selectable is not")
    a = api.get(AT % ("v1", "values") + "?" + query("spec.on!=true"), AS_TABLE)
    t.eq([r["cells"][0] for r in a.json["rows"]], ["a", "c"], "a table")
    a = api.get(AT % ("v1", "values") + "?limit=1&" + query("spec.on!=true"))
    page = [i["metadata"]["name"] for i in a.json["items"]]
    t.ok("remainingItemCount" not in a.json["metadata"], "how many are left is not known", a)
    a = api.get(AT % ("v1", "values") + "?limit=1&continue=" + a.json["metadata"]["continue"] + "&" + query("spec.on!=true"))
    t.eq((page, [i["metadata"]["name"] for i in a.json["items"]], a.json["metadata"].get("continue")), (["a"], ["c"], None), "pages")


def redefined():
    """The definition has other fields, in another order, than when the objects were stored."""
    props = {"color": TEXT, "shape": TEXT, "on": TRUTH}
    define("things", version("v1", props))
    make("things", "a", color="red", shape="round")
    make("things", "b", color="blue", shape="flat")
    t.eq(names("things", "spec.color=red"), (400, "field label not supported: spec.color"), "no field yet")
    redefine("things", version("v1", props, ".spec.color"))
    t.eq((names("things", "spec.color=red"), names("things", "spec.color!=red"), names("things", "spec.color=")), (["a"], ["b"], []),
         "objects of before have it too")
    old = api.watch(AT % ("v1", "things") + "?watch=1&" + query("spec.color=red"))
    t.eq(old.short(1), [("ADDED", "a")], "a watch")
    make("things", "c", color="round", shape="red")
    rv = api.get(AT % ("v1", "things")).rv
    redefine("things", version("v1", props, ".spec.shape", ".spec.color"))
    make("things", "d", color="red", shape="round")
    make("things", "e", color="blue", shape="red")
    t.eq((names("things", "spec.color=red"), names("things", "spec.shape=red"), names("things", "spec.shape=round")),
         (["a", "d"], ["c", "e"], ["a", "d"]), "the same by whatever definition they were stored")
    t.eq(names("things", "spec.shape=red", more="&resourceVersionMatch=Exact&resourceVersion=" + rv), ["c"], "and in the past")
    t.eq(old.short(1), [("ADDED", "d")], "a watch of before goes on by what it began with")
    new = api.watch(AT % ("v1", "things") + "?watch=1&resourceVersion=" + rv + "&" + query("spec.shape=red"))
    t.eq(new.short(1), [("ADDED", "e")], "a watch from the past")
    api.patch(AT % ("v1", "things") + "/a", {"spec": {"shape": "red"}})
    api.patch(AT % ("v1", "things") + "/a", {"spec": {"on": True}})
    a = api.patch(AT % ("v1", "things") + "/a", {"spec": {"shape": "flat"}})
    api.delete(AT % ("v1", "things") + "/c")
    got = [new.next() for _ in range(4)]
    t.eq([(e["type"], e["object"]["metadata"]["name"], e["object"]["spec"]["shape"]) for e in got],
         [("ADDED", "a", "red"), ("MODIFIED", "a", "red"), ("DELETED", "a", "red"), ("DELETED", "c", "red")], "what comes into it, and leaves it")
    t.eq(got[2]["object"]["metadata"]["resourceVersion"], a.rv, "who leaves does so at the change")
    for w in (old, new):
        w.close()
    redefine("things", version("v1", props, ".spec.on"))
    t.eq(names("things", "spec.on=true"), ["a"], "all of them are others")
    t.eq(api.delete(AT % ("v1", "things") + "?" + query("spec.on!=true")).status, 200, "a collection is deleted by one")
    t.eq([i["metadata"]["name"] for i in api.get(AT % ("v1", "things")).json["items"]], ["a"], "which leaves the others")


def defaults():
    props = {"color": TEXT, "on": TRUTH}
    define("givens", version("v1", props, ".spec.on", ".spec.color"))
    make("givens", "a")
    make("givens", "b", on=False)
    t.eq((names("givens", "spec.on="), names("givens", "spec.on=true")), (["a"], []), "nothing is nothing")
    redefine("givens", version("v1", dict(props, on=dict(TRUTH, default=True)), ".spec.on", ".spec.color"))
    t.eq((names("givens", "spec.on="), names("givens", "spec.on=true"), names("givens", "spec.on=false")), ([], ["a"], ["b"]),
         "a default is compared, though it came later")
    redefine("givens", version("v1", {"color": TEXT}, ".spec.color"))
    t.eq(names("givens", "spec.on=false"), (400, "field label not supported: spec.on"), "a field that is gone")


def versions():
    """Converted by name alone: each version has fields of its own, and defaults."""
    define("twos", version("v1", {"color": TEXT, "n": NUMBER}, ".spec.color"),
           version("v2", {"color": TEXT, "n": NUMBER, "on": dict(TRUTH, default=True)}, ".spec.n", ".spec.on", storage=False))
    make("twos", "a", color="red", n=1)
    make("twos", "b", "v2", color="blue", n=2, on=False)
    t.eq((names("twos", "spec.color=red"), names("twos", "spec.n=1"), names("twos", "spec.n=1", "v2"), names("twos", "spec.color=red", "v2")),
         (["a"], (400, "field label not supported: spec.n"), ["a"], (400, "field label not supported: spec.color")), "each has its own")
    t.eq((names("twos", "spec.on=true", "v2"), names("twos", "spec.on=false", "v2")), (["a"], ["b"]), "with its defaults")
    w = api.watch(AT % ("v2", "twos") + "?watch=1&" + query("spec.n=3"))
    for n in (3, 4):
        api.patch(AT % ("v1", "twos") + "/a", {"spec": {"n": n}})
    t.eq(w.short(2), [("ADDED", "a"), ("DELETED", "a")], "a watch of it")
    w.close()
    api.delete(AT % ("v2", "twos") + "?" + query("spec.n=2"))
    t.eq([i["metadata"]["name"] for i in api.get(AT % ("v1", "twos")).json["items"]], ["a"], "a collection of it")


def documents():
    define("docs", version("v1", {"color": TEXT, "n": NUMBER}, ".spec.color", ".spec.n"), version("v2", {}, storage=False))
    want = [{"fieldPath": "spec.color"}, {"fieldPath": "spec.n"}]
    key = "x-kubernetes-selectable-fields"
    v3 = {v: api.get("/openapi/v3/apis/example.com/" + v).json["components"]["schemas"] for v in ("v1", "v2")}
    v2 = api.get("/openapi/v2").json["definitions"]
    t.eq([s["com.example.v1.Docs"].get(key) for s in (v3["v1"], v2)], [want, want], "OpenAPI names them")
    t.eq([s["com.example.v2.Docs"].get(key, "none") for s in (v3["v2"], v2)], ["none", "none"], "of each version its own")


def refused():
    a = api.post(CRDS, crd("bads", version("v1", {"list": {"type": "array", "items": TEXT}}, ".spec.list", ".spec.list[0]", ".metadata.name")))
    of = "spec.selectableFields[%d].jsonPath"
    t.eq((a.status, [(c["reason"], c["field"], c["message"]) for c in a.json["details"]["causes"]]), (422, [
        ("FieldValueInvalid", of % 0, 'Invalid value: ".spec.list": must point to a field of type string, boolean or integer. '
         "Enum string fields and strings with formats are allowed."),
        ("FieldValueInvalid", of % 1, 'Invalid value: ".spec.list[0]": is an invalid path: array notation is not allowed'),
        ("FieldValueInvalid", of % 2, 'Invalid value: ".metadata.name": is an invalid path: does not refer to a valid field')]),
        "a definition that selects by what is no text")


for g in (values, redefined, defaults, versions, documents, refused):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
