#!/usr/bin/env -S python3 -B
# run: timeout=120
"""What a write does to an object beside what it says: versions, generations, owners of fields, nothing on a dry run."""
import re

from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
DEP = "/apis/apps/v1/namespaces/default/deployments"
POD = "/api/v1/namespaces/default/pods"
SVC = "/api/v1/namespaces/default/services"


def deployment(name, replicas=1):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"l": "1"}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                     "template": {"metadata": {"labels": {"a": "b"}},
                                  "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "E", "value": "1"}]}]}}}}


def managed(o):
    return {(m["manager"], m["operation"], m.get("subresource", "")): m for m in o["metadata"].get("managedFields", [])}


def fields_of_managers():
    one, two = Api(d, agent="one/1.0 (linux)"), Api(d, agent="two/2.0")
    a = one.post(DEP, deployment("mf"))
    m = managed(a.json)
    t.ok(list(m) == [("one", "Update", "")], "create: the manager is the user agent's first word", a)
    e = m.get(("one", "Update", ""), {})
    t.ok(e.get("apiVersion") == "apps/v1" and e.get("fieldsType") == "FieldsV1" and
         re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", e.get("time", "")), "its entry is complete", e)
    f = e.get("fieldsV1", {})
    spec = f.get("f:spec", {}).get("f:template", {}).get("f:spec", {}).get("f:containers", {})
    t.ok("f:l" in f.get("f:metadata", {}).get("f:labels", {}) and 'k:{"name":"c"}' in spec and
         "f:image" in spec['k:{"name":"c"}'] and "." in spec['k:{"name":"c"}'], "fields as a trie", f)
    t.ok('k:{"name":"E"}' in spec.get('k:{"name":"c"}', {}).get("f:env", {}), "lists by their keys", f)
    t.ok("f:name" not in f.get("f:metadata", {}) and "f:resourceVersion" not in f.get("f:metadata", {}),
         "what belongs to nobody is not in it", f)
    a = two.patch(DEP + "/mf", {"spec": {"replicas": 3}})
    m = managed(a.json)
    t.ok(set(m) == {("one", "Update", ""), ("two", "Update", "")}, "patch: another manager", a)
    t.eq(m[("two", "Update", "")]["fieldsV1"], {"f:spec": {"f:replicas": {}}}, "owns what it changed")
    t.ok("f:replicas" not in m[("one", "Update", "")]["fieldsV1"]["f:spec"], "which the first no longer does", m)
    o = a.json
    o["metadata"]["labels"]["m"] = "2"
    a = two.put(DEP + "/mf?fieldManager=named", o)
    m = managed(a.json)
    t.eq(m.get(("named", "Update", ""), {}).get("fieldsV1"), {"f:metadata": {"f:labels": {"f:m": {}}}},
         "update: fieldManager names the owner")
    o = a.json
    o["status"] = {"replicas": 2, "observedGeneration": 1}
    a = one.put(DEP + "/mf/status", o)
    m = managed(a.json)
    t.ok(("one", "Update", "status") in m and "f:status" in m[("one", "Update", "status")]["fieldsV1"],
         "status: an entry of its own", m)
    rv = a.rv
    a = two.patch(DEP + "/mf", {"metadata": {"labels": {"m": None}}})
    m = managed(a.json)
    t.ok(("named", "Update", "") not in m, "an owner of nothing leaves", m)
    o = a.json
    o["metadata"]["managedFields"] = [{}]
    a = one.put(DEP + "/mf", o)
    t.ok(a.status == 200 and not [x for x in managed(a.json) if x[0] == "two"], "an empty entry resets them", a)
    t.ok(int(a.rv) > int(rv), "versions grow")
    for kind, path, body in (("ConfigMap", CM, config_map("mfc", {"k": "v"})),):
        a = one.post(path, body)
        t.eq(managed(a.json).get(("one", "Update", ""), {}).get("fieldsV1"), {"f:data": {".": {}, "f:k": {}}}, kind)
        t.ok("managedFields" in api.get(path + "/mfc").json["metadata"], "get shows them")
        a = api.get(path + "?fieldSelector=metadata.name=mfc")
        t.ok("managedFields" in a.json["items"][0]["metadata"], "lists show them", a)


def young_events():
    """Events are acknowledged before they are committed; whoever changes one at once finds it nevertheless."""
    path = "/api/v1/namespaces/default/events"
    bad = []
    for i in range(20):
        o = {"metadata": {"name": "young%d" % i}, "involvedObject": {"namespace": "default", "kind": "Pod", "name": "p"}, "reason": "r"}
        api.post(path, o)
        a = api.patch("%s/young%d" % (path, i), {"count": 2}) if i % 2 else api.delete("%s/young%d" % (path, i))
        bad += [a] if a.status != 200 else []
    t.ok(not bad, "patched and deleted right after they were made", bad)


def bound_pods():
    api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    before = api.post(POD, {"metadata": {"name": "bound"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    a = api.post(POD + "/bound/binding", {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n"}})
    now = api.get(POD + "/bound")
    t.ok(a.status == 201 and now.json["spec"]["nodeName"] == "n", "a binding", now)
    t.eq(managed(now.json), managed(before.json), "nobody owns where a pod is")
    f = managed(now.json)[("rig", "Update", "")]["fieldsV1"]["f:spec"]
    t.ok("f:serviceAccountName" not in f and "f:tolerations" not in f and "f:volumes" not in f, "nor what admission added", f)


def nothing_changed():
    a = api.post(DEP, deployment("same"))
    o, rv = a.json, a.rv
    t.eq(api.put(DEP + "/same", o).rv, rv, "update with the same: same version")
    t.eq(api.put(DEP + "/same", deployment("same")).rv, rv, "or with what defaults make the same")
    t.eq(api.patch(DEP + "/same", {}).rv, rv, "an empty patch")
    t.eq(api.patch(DEP + "/same", {"spec": {"replicas": 1}}, "strategic").rv, rv, "a patch to the same value")
    t.eq(Api(d, agent="another").patch(DEP + "/same", {"spec": {"replicas": 1}}).rv, rv, "by another manager")
    w = api.watch(DEP + "?watch=1&resourceVersion=%s&fieldSelector=metadata.name%%3Dsame" % rv)
    rv2 = api.patch(DEP + "/same", {"spec": {"replicas": 2}}).rv
    e = w.next()
    t.ok(e["type"] == "MODIFIED" and e["object"]["metadata"]["resourceVersion"] == rv2, "and nothing was heard of it", e)
    w.close()


def generations():
    g = lambda a: a.json["metadata"].get("generation")
    body = deployment("gen")
    body["metadata"].update({"generation": 100, "uid": "mine", "resourceVersion": "", "creationTimestamp": "2001-01-01T00:00:00Z",
                             "selfLink": "/x"})
    body["status"] = {"replicas": 9}
    a = api.post(DEP, body)
    m = a.json["metadata"]
    t.ok(g(a) == 1 and m["uid"] != "mine" and m["creationTimestamp"] > "2020", "create sets what is the server's", a)
    t.eq(a.json["status"], {}, "and drops the status")
    t.eq(g(api.patch(DEP + "/gen", {"metadata": {"labels": {"x": "y"}}})), 1, "labels are no new generation")
    t.eq(g(api.patch(DEP + "/gen", {"spec": {"replicas": 5}})), 2, "the spec is")
    a = api.patch(DEP + "/gen/status", {"status": {"replicas": 5}, "spec": {"replicas": 50}})
    t.ok(g(a) == 2 and a.json["spec"]["replicas"] == 5 and a.json["status"]["replicas"] == 5, "status changes status alone", a)
    a = api.patch(DEP + "/gen", {"status": {"replicas": 7}})
    t.ok(a.json["status"]["replicas"] == 5, "and the object leaves it", a)
    a = api.patch(DEP + "/gen", {"metadata": {"generation": 77, "uid": m["uid"]}})
    t.eq(g(a), 2, "a client cannot set it")
    a = api.patch(DEP + "/gen", {"metadata": {"finalizers": ["example.com/a"]}})
    a = api.delete(DEP + "/gen")
    t.eq(g(a), 3, "nor miss that it is being deleted")
    o = api.get(DEP + "/gen").json
    o["metadata"]["finalizers"].append("example.com/b")
    a = api.put(DEP + "/gen", o)
    t.ok(a.status == 422 and "finalizers" in a.text, "no new finalizer then", a)
    o["metadata"]["finalizers"] = []
    t.eq(api.put(DEP + "/gen", o).status, 200, "the last finalizer goes")
    t.eq(api.get(DEP + "/gen").status, 404, "and the object")
    t.ok("generation" not in api.post(CM, config_map("nogen")).json["metadata"], "a ConfigMap has none")
    a = api.get("/apis/apps/v1/namespaces/default/deployments/same/scale")
    t.ok(a.status == 200 and a.json["kind"] == "Scale" and a.json["spec"]["replicas"] == 2 and
         a.json["status"]["selector"] == "a=b", "scale", a)
    o = a.json
    o["spec"]["replicas"] = 4
    a = api.put(DEP + "/same/scale", o)
    t.ok(a.status == 200 and a.json["spec"]["replicas"] == 4, "put scale", a)
    t.eq(api.get(DEP + "/same").json["metadata"]["generation"], 3, "is a new generation")
    o["metadata"]["resourceVersion"] = "1"
    t.eq(api.put(DEP + "/same/scale", o).status, 409, "of an old version")
    t.eq(api.patch(DEP + "/same/scale", {"spec": {"replicas": 6}}).json["spec"]["replicas"], 6, "patch scale")


def dry_runs():
    before = api.get("/api/v1/configmaps").rv
    a = api.post(CM + "?dryRun=All", config_map("dry", {"a": "1"}))
    m = a.json["metadata"]
    t.ok(a.status == 201 and m.get("uid") and m.get("creationTimestamp") and not m.get("resourceVersion"), "create", a)
    t.eq(api.get(CM + "/dry").status, 404, "made nothing")
    a = api.post(SVC + "?dryRun=All", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dry"},
                                       "spec": {"ports": [{"port": 1}]}})
    t.ok(a.status == 201 and a.json["spec"].get("clusterIP"), "a Service gets an address", a)
    ip = a.json["spec"]["clusterIP"]
    api.post(CM, config_map("wet", {"a": "1"}))
    rv = api.get(CM + "/wet").rv
    a = api.put(CM + "/wet?dryRun=All", config_map("wet", {"a": "2"}))
    t.ok(a.status == 200 and a.json["data"]["a"] == "2", "update answers as if", a)
    a = api.patch(CM + "/wet?dryRun=All", {"data": {"a": "3"}})
    t.ok(a.json["data"]["a"] == "3", "patch too", a)
    t.eq(api.delete(CM + "/wet?dryRun=All").status, 200, "delete in the query")
    t.eq(api.delete(CM + "/wet", {"dryRun": ["All"]}).status, 200, "delete in the body")
    t.eq(api.delete(CM + "?dryRun=All").status, 200, "the whole collection")
    a = api.get(CM + "/wet")
    t.ok(a.status == 200 and a.rv == rv and a.json["data"]["a"] == "1", "nothing has happened", a)
    t.eq(api.post(CM + "?dryRun=All", config_map("wet")).status, 409, "a conflict is one")
    a = api.post(SVC + "?dryRun=All", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dry"},
                                       "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 1}]}})
    t.eq(a.status, 422, "and an address that is taken")
    t.eq(api.post(CM + "?dryRun=All", config_map("Bad_")).status, 422, "and a mistake one")
    a = api.get("/api/v1/services")
    t.ok(ip not in [s["spec"].get("clusterIP") for s in a.json["items"]] and int(api.get(CM).rv) == int(before) + 1,
         "one version for one real write", "%s %s" % (before, api.get(CM).rv))


def names():
    made = {api.post(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}}).json["metadata"]["name"]
            for _ in range(20)}
    t.ok(len(made) == 20 and all(re.fullmatch("g-[bcdfghjklmnpqrstvwxz2456789]{5}", n) for n in made), "generateName", made)
    long = "x" * 70
    a = api.post(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": long}})
    t.ok(len(a.json["metadata"]["name"]) == 63, "is cut", a)


def deletions():
    api.post(CM, config_map("del"))
    a = api.delete(CM + "/del")
    s = a.json
    t.ok(a.status == 200 and s["kind"] == "Status" and s["status"] == "Success" and
         s["details"]["name"] == "del" and s["details"]["kind"] == "configmaps" and s["details"]["uid"], "a Status", a)
    api.post("/api/v1/namespaces/default/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
           "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    a = api.post(POD, pod)
    t.ok(a.status == 201 and a.json["status"]["phase"] == "Pending" and a.json["status"].get("qosClass") == "BestEffort", "a Pod", a)
    t.ok(a.json["spec"].get("volumes", [{}])[0].get("projected"), "gets its token mounted", a)
    a = api.delete(POD + "/p")
    t.ok(a.status == 200 and a.json["metadata"].get("deletionGracePeriodSeconds") == 30 and
         a.json["metadata"].get("deletionTimestamp"), "goes with grace", a)
    a = api.delete(POD + "/p", {"gracePeriodSeconds": 5})
    t.eq(a.json["metadata"].get("deletionGracePeriodSeconds"), 5, "which can be shortened")
    a = api.delete(POD + "/p", {"gracePeriodSeconds": 20})
    t.eq(a.json["metadata"].get("deletionGracePeriodSeconds"), 5, "but not made longer")
    t.eq(api.get(POD + "/p").status, 200, "it is still there")
    t.eq(api.delete(POD + "/p?gracePeriodSeconds=0").status, 200, "at once")
    t.eq(api.get(POD + "/p").status, 404, "gone")
    for i in range(5):
        api.post(CM, config_map("many-%d" % i, labels={"m": str(i % 2)}))
    a = api.delete(CM + "?labelSelector=m%3D1")
    t.ok(a.status == 200, "deletecollection by label", a)
    left = [x["metadata"]["name"] for x in api.get(CM + "?labelSelector=m").json["items"]]
    t.eq(left, ["many-0", "many-2", "many-4"], "left the others")
    for policy, fin in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        a = api.post(CM, config_map("pp"))
        a = api.delete(CM + "/pp", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy})
        t.ok(a.status == 200 and fin in a.json["metadata"].get("finalizers", []), "propagation " + policy, a)
        api.patch(CM + "/pp", {"metadata": {"finalizers": None}})
        t.eq(api.get(CM + "/pp").status, 404, "and gone")
    a = api.delete(CM + "/many-0", {"propagationPolicy": "Sideways"})
    t.ok(a.status == 422, "an unknown policy", a)


def patches():
    api.post(DEP, deployment("pt"))
    sp = lambda b: api.patch(DEP + "/pt", b, "strategic")
    cs = lambda a: a.json["spec"]["template"]["spec"]["containers"]
    tp = lambda **kw: {"spec": {"template": {"spec": kw}}}
    a = sp(tp(containers=[{"name": "c", "env": [{"name": "F", "value": "2"}]}]))
    t.eq([e["name"] for e in cs(a)[0]["env"]], ["F", "E"], "strategic: items of keyed lists come in front")
    a = sp(tp(containers=[{"name": "c", "env": [{"name": "E", "$patch": "delete"}]}]))
    t.eq([e["name"] for e in cs(a)[0]["env"]], ["F"], "$patch: delete")
    a = sp(tp(containers=[{"name": "n", "image": "n"}], **{"$setElementOrder/containers": [{"name": "c"}, {"name": "n"}]}))
    t.eq([c["name"] for c in cs(a)], ["c", "n"], "$setElementOrder")
    a = sp(tp(containers=[{"$patch": "replace"}, {"name": "z", "image": "z"}]))
    t.eq([c["name"] for c in cs(a)], ["z"], "$patch: replace")
    a = sp({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    t.eq(a.json["spec"]["strategy"], {"type": "Recreate"}, "$retainKeys")
    a = api.patch(DEP + "/pt", {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}, "strategic")
    a = api.patch(DEP + "/pt", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}, "strategic")
    t.eq(a.json["metadata"].get("finalizers"), ["example.com/b"], "$deleteFromPrimitiveList")
    a = api.patch(DEP + "/pt", {"metadata": {"finalizers": None, "labels": None}})
    t.ok("finalizers" not in a.json["metadata"] and "labels" not in a.json["metadata"], "merge: null removes", a)
    ops = [{"op": "add", "path": "/metadata/labels", "value": {"a~b/c": "1"}},
           {"op": "copy", "from": "/metadata/labels/a~0b~1c", "path": "/metadata/labels/d"},
           {"op": "remove", "path": "/metadata/labels/a~0b~1c"},
           {"op": "replace", "path": "/spec/replicas", "value": 9},
           {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "last", "image": "l"}}]
    a = api.patch(DEP + "/pt", ops, "json")
    t.ok(a.status == 200 and a.json["metadata"]["labels"] == {"d": "1"} and a.json["spec"]["replicas"] == 9 and
         cs(a)[-1]["name"] == "last", "json: six operations", a)
    a = api.patch(DEP + "/pt", [{"op": "test", "path": "/metadata/name", "value": "pt"}] * 10001, "json")
    t.ok(a.status == 413 or a.status == 422, "not ten thousand of them", a.status)


def services():
    s = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fix"},
         "spec": {"clusterIP": "10.96.77.77", "ports": [{"port": 80}]}}
    a = api.post(SVC, s)
    t.ok(a.status == 201 and a.json["spec"]["clusterIPs"] == ["10.96.77.77"], "an address of one's own choice", a)
    s["metadata"]["name"] = "fix2"
    a = api.post(SVC, s)
    t.ok(a.status == 422 and "already allocated" in a.text, "is given once", a)
    s["spec"]["clusterIP"] = "192.168.3.3"
    a = api.post(SVC, s)
    t.ok(a.status == 422, "and of the range", a)
    api.delete(SVC + "/fix")
    s["spec"]["clusterIP"] = "10.96.77.77"
    t.eq(api.post(SVC, s).status, 201, "and is free again")


def times():
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    for given, want in (("0001-01-01T00:00:02.5Z", "0001-01-01T00:00:02.500000Z"), ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
                        ("1969-12-31T23:59:59.999999Z", None), ("2000-02-29T01:00:00.000001+01:00", "2000-02-29T00:00:00.000001Z"),
                        ("2300-06-01T00:00:00.000000Z", None), ("1600-02-29T12:00:00.000000Z", None), ("0000-01-01T00:00:00.000000Z", None)):
        a = api.post(path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"generateName": "t-"}, "spec": {"renewTime": given}})
        t.ok(a.status == 201 and a.json["spec"]["renewTime"] == (want or given), "the time " + given, a)
    for bad in ("0000-01-01T00:00:00+01:00", "2001-02-29T00:00:00Z", "2001-01-01", "now", 5):
        a = api.post(path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"generateName": "t-"}, "spec": {"renewTime": bad}})
        t.eq(a.status, 400, "no time: %s" % bad)


for g in (times, fields_of_managers, young_events, bound_pods, nothing_changed, generations, dry_runs, names, deletions, patches, services):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
