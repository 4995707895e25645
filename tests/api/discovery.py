#!/usr/bin/env -S python3 -B
# run: timeout=90
"""What is served: every stable resource of Kubernetes 1.36 (resources.tsv), and the older versions that somebody may ask for."""
import os
import re

from rig import Api, Daemon, SRCDIR, Tap, group, until

t = Tap()
KINDS = os.path.join(SRCDIR, "tests", "api", "resources.tsv")
V2 = {"Accept": "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"}
OLD = {"policy": "poddisruptionbudgets", "batch": "cronjobs", "discovery.k8s.io": "endpointslices"}
NS = "/namespaces/default"


def rows():
    with open(KINDS) as f:
        for line in f:
            if not line.startswith("#"):
                v = [None if x == "-" else x for x in line.rstrip("\n").split("\t")]
                yield dict(zip(("group", "version", "kind", "plural", "singular", "short", "categories", "namespaced", "verbs", "subs",
                                "hash", "stability"), v))


def words(text):
    return sorted(text.split(",")) if text else []


def of_row(r):
    """A row as discovery should have it: {name: what it is}."""
    gv = ("" if r["group"] == "core" else r["group"], r["version"])
    out = {r["plural"]: {"kind": r["kind"], "singular": r["singular"], "namespaced": r["namespaced"] == "true", "verbs": words(r["verbs"]),
                         "short": words(r["short"]), "categories": words(r["categories"]), "hash": r["hash"]}}
    for sub in (r["subs"] or "").split(";") if r["subs"] else []:
        name, kind, verbs = sub.split(":")
        group, version, kind = re.match(r"(?:(.*)/(.*)\.)?(.*)$", kind).groups()
        out[r["plural"] + "/" + name] = {"kind": kind or r["kind"], "gv": (group, version) if group else gv, "verbs": words(verbs)}
    return out


def of_answer(doc, plural):
    """The same from a document of discovery."""
    g, _, v = doc["groupVersion"].rpartition("/")
    out = {}
    for r in doc["resources"]:
        if r["name"] == plural:
            out[r["name"]] = {"kind": r["kind"], "singular": r["singularName"], "namespaced": r["namespaced"], "verbs": sorted(r["verbs"]),
                              "short": sorted(r.get("shortNames", [])), "categories": sorted(r.get("categories", [])),
                              "hash": r.get("storageVersionHash")}
        elif r["name"].startswith(plural + "/"):
            out[r["name"]] = {"kind": r["kind"], "gv": (r.get("group", g), r.get("version", v)), "verbs": sorted(r["verbs"])}
    return out


def stable(api):
    docs, n = {}, 0
    for r in rows():
        if r["stability"] != "GA" or not r["plural"]:
            continue
        n += 1
        path = "/api/v1" if r["group"] == "core" else "/apis/%(group)s/%(version)s" % r
        if path not in docs:
            a = api.get(path)
            docs[path] = a.json if a.status == 200 else {"groupVersion": "/", "resources": []}
        got, want = of_answer(docs[path], r["plural"]), of_row(r)
        what = "%(plural)s of %(group)s/%(version)s" % r
        if got and not want[r["plural"]]["hash"]:
            got[r["plural"]]["hash"] = None
        t.eq(got, want, what)
    t.ok(n >= 65, "all of them", n)


def both_forms(api):
    """Legacy and aggregated discovery tell the same groups, versions and resources, in the same order."""
    legacy = [(g["name"], [v["version"] for v in g["versions"]]) for g in api.get("/apis").json["groups"]]
    new = [(g["metadata"]["name"], [v["version"] for v in g["versions"]]) for g in api.get("/apis", headers=V2).json["items"]]
    t.eq(new, legacy, "groups in both forms")
    for g in api.get("/apis", headers=V2).json["items"]:
        for v in g["versions"]:
            flat = []
            for r in v["resources"]:
                flat += [(r["resource"], r["responseKind"]["kind"], tuple(r["verbs"]))]
                flat += [("%s/%s" % (r["resource"], s["subresource"]), s["responseKind"]["kind"], tuple(s["verbs"])) for s in r.get("subresources", [])]
            doc = api.get("/apis/%s/%s" % (g["metadata"]["name"], v["version"])).json
            if flat != [(r["name"], r["kind"], tuple(r["verbs"])) for r in doc["resources"]]:
                t.ok(False, "%s/%s in both forms" % (g["metadata"]["name"], v["version"]), (flat, doc))


def off(api):
    for g, plural in sorted(OLD.items()):
        t.eq(api.get("/apis/%s/v1beta1" % g).status, 404, "%s/v1beta1 is not served unasked" % g)
        t.eq(api.get("/apis/%s/v1beta1%s/%s" % (g, NS, plural)).status, 404, "nor its " + plural)
    t.ok("v1beta1" not in str(api.get("/openapi/v3").json["paths"].keys()).replace("metrics.k8s.io/v1beta1", ""), "nor its OpenAPI")


# ---- parts and registrations ---------------------------------------------------------------------------

def components(api):
    path = "/api/v1/componentstatuses"
    a = api.get(path)
    t.eq((a.status, a.json["kind"], a.headers["Warning"]), (200, "ComponentStatusList", '299 - "v1 ComponentStatus is deprecated in v1.19+"'), "parts")
    got = {x["metadata"]["name"]: (x["conditions"][0]["type"], x["conditions"][0]["status"]) for x in a.json["items"]}
    t.eq(got, {"scheduler": ("Healthy", "False"), "controller-manager": ("Healthy", "False"), "etcd-0": ("Healthy", "True")}, "none but storage is here")
    a = api.get(path + "/etcd-0")
    t.eq((a.status, a.json), (200, {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": "etcd-0"},
                                    "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]}), "one of them")
    a = api.get(path + "/x")
    t.eq((a.status, a.json["message"], a.json.get("reason")), (500, "Component not found: x", None), "one that is not there, in upstream's words")
    rows = api.get(path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json["rows"]
    t.eq([r["cells"] for r in rows if r["cells"][0] == "etcd-0"], [["etcd-0", "Healthy", "ok", ""]], "as a table")
    t.eq(api.get(path, headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}).json["items"][0],
         {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "controller-manager"}}, "as metadata")
    names = lambda q: [x["metadata"]["name"] for x in api.get(path + "?" + q).json["items"]]
    t.eq((names("fieldSelector=metadata.name%3Dscheduler"), len(names("fieldSelector=metadata.name!%3Dscheduler")), names("labelSelector=a%3Db")),
         (["scheduler"], 2, []), "by name; labels they have none")
    a = api("GET", path, headers={"Accept": "application/vnd.kubernetes.protobuf"})
    t.ok(a.status == 200 and a.raw.startswith(b"k8s\0") and b"ComponentStatusList" in a.raw, "in protobuf", a.raw[:80])
    t.eq((api.post(path, {"metadata": {"name": "x"}}).status, api.delete(path + "/etcd-0").status), (405, 405), "nobody writes them")
    api.post("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kube-scheduler"},
        "spec": {"holderIdentity": "h", "leaseDurationSeconds": 86400, "renewTime": api.get("/api/v1/namespaces/kube-system").json["metadata"]["creationTimestamp"].replace("Z", ".000000Z")}})
    t.eq(api.get(path + "/scheduler").json["conditions"][0]["status"], "True", "a scheduler elsewhere is known by its Lease")


def parts(api):
    """Modules of the same process are the parts."""
    want = {"scheduler": "True", "controller-manager": "True", "etcd-0": "True"}
    now = lambda: {x["metadata"]["name"]: x["conditions"][0]["status"] for x in api.get("/api/v1/componentstatuses").json["items"]}
    until("all parts are well", lambda: now() == want)
    t.ok(True, "scheduler and controllers of this process are well")


AS = "/apis/apiregistration.k8s.io/v1/apiservices"
AUTO = "kube-aggregator.kubernetes.io/automanaged"


def registration(name, **spec):
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec}


def registered(api):
    served = ["v1."] + ["%s.%s" % (v["version"], g["name"]) for g in api.get("/apis").json["groups"] for v in g["versions"]
                        if g["name"] != "apiregistration.k8s.io"]
    until("APIServices", lambda: len(api.get(AS).json["items"]) >= len(served))
    items = {x["metadata"]["name"]: x for x in api.get(AS).json["items"]}
    t.eq(sorted(items), sorted(served), "one for each group version but their own")
    x = items["v2.autoscaling"]
    t.eq((x["spec"], x["metadata"]["labels"], x["status"]["conditions"][0]["reason"], x["status"]["conditions"][0]["status"]),
         ({"group": "autoscaling", "version": "v2", "groupPriorityMinimum": 17500, "versionPriority": 30}, {AUTO: "onstart"}, "Local", "True"), "as upstream makes it")
    a = api.get(AS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    t.eq([r["cells"][:3] for r in a["rows"] if r["cells"][0] == "v1."], [["v1.", "Local", "True"]], "as a table")
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "fishes.sea.example"}, "spec": {
        "group": "sea.example", "scope": "Namespaced", "names": {"plural": "fishes", "kind": "Fish"}, "versions": [
            {"name": v, "served": v != "v3", "storage": v == "v1", "schema": {"openAPIV3Schema": {"type": "object"}}} for v in ("v1", "v2", "v3")]}}
    w = api.watch(AS + "?watch=1&resourceVersion=%s" % api.get(AS).rv)
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    t.eq(sorted(w.short(2)), [("ADDED", "v1.sea.example"), ("ADDED", "v2.sea.example")], "custom resources bring theirs")
    x = api.get(AS + "/v1.sea.example").json
    t.eq((x["spec"]["groupPriorityMinimum"], x["spec"]["versionPriority"], x["metadata"]["labels"]), (1000, 100, {AUTO: "true"}), "behind all others")
    api.delete(AS + "/v1.sea.example")
    t.eq(w.short(2), [("DELETED", "v1.sea.example"), ("ADDED", "v1.sea.example")], "which come again")
    api.patch(AS + "/v2.sea.example", {"spec": {"versionPriority": 7}})
    t.eq([w.next()["object"]["spec"]["versionPriority"] for _ in range(2)], [7, 100], "and stay as they are")
    for v in crd["spec"]["versions"]:
        v["served"] = v["name"] != "v2"
    api.patch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/fishes.sea.example", {"spec": {"versions": crd["spec"]["versions"]}})
    t.eq(sorted(w.short(2)), [("ADDED", "v3.sea.example"), ("DELETED", "v2.sea.example")], "they follow what is served")
    api.delete(AS + "/v3.sea.example")
    t.eq(w.short(2), [("DELETED", "v3.sea.example"), ("ADDED", "v3.sea.example")], "whatever was known of them before")
    api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/fishes.sea.example")
    t.eq(sorted(w.short(2)), [("DELETED", "v1.sea.example"), ("DELETED", "v3.sea.example")], "and go with their definition")
    w.close()


def registering(api):
    causes = lambda a: sorted((c["field"], c["reason"]) for c in a.json["details"]["causes"]) if a.status == 422 else a
    S = dict(group="x.example", version="v1", groupPriorityMinimum=1, versionPriority=1)
    service = {"namespace": "default", "name": "s"}
    I, Q = "FieldValueInvalid", "FieldValueRequired"
    for name, spec, want, why in (
            ("v2.x.example", S, [("metadata.name", I)], "another name"),
            ("v2.", dict(S, group="", version="v2"), [("spec.group", Q)], "no group"),
            ("v1.x.example", dict(S, groupPriorityMinimum=0, versionPriority=1001), [("spec.groupPriorityMinimum", I), ("spec.versionPriority", I)], "priorities that are none"),
            ("v1.x.example", dict(S, caBundle="eA==", insecureSkipTLSVerify=True), [("spec.caBundle", I), ("spec.insecureSkipTLSVerify", I)], "trust in nobody"),
            ("v1.x.example", dict(S, service={"port": 70000}), [("spec.service.name", Q), ("spec.service.namespace", Q), ("spec.service.port", I)], "a service that is none"),
            ("v1.x.example", dict(S, service=service, caBundle="eA==", insecureSkipTLSVerify=True), [("spec.insecureSkipTLSVerify", I)], "a bundle for nothing")):
        t.eq(causes(api.post(AS, registration(name, **spec))), want, why)
    a = api.post(AS, registration("v1.x.example", **dict(S, service=service)))
    t.eq((a.status, a.json["spec"]["service"]["port"], a.json["status"]), (201, 443, {}), "a service is kept; nothing is known of it yet")
    a = api.patch(AS + "/v1.x.example/status", {"status": {"conditions": [{"type": "Available", "status": "Maybe"}]}})
    t.eq(causes(a), [("status.conditions[0].status", "FieldValueNotSupported")], "a condition is true, false or unknown")
    until("a look at it", lambda: api.get(AS + "/v1.x.example").json["status"].get("conditions"))
    rows = api.get(AS + "?fieldSelector=metadata.name%3Dv1.x.example", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json["rows"]
    t.eq(rows[0]["cells"][:3], ["v1.x.example", "default/s", "False (ServiceNotFound)"], "as a table")
    a = api.get(AS + "/v1.x.example").json
    del a["metadata"]["resourceVersion"]
    t.eq(api.put(AS + "/v1.x.example", a).status, 422, "nobody writes blindly")
    t.eq(api.delete(AS + "/v1.x.example").status, 200, "gone")


def at_start(d):
    """What a start puts right: built-in ones that are gone or changed; what somebody has taken over stays his."""
    api = Api(d)
    api.delete(AS + "/v1.apps")
    api.patch(AS + "/v1.batch", {"spec": {"groupPriorityMinimum": 5}})
    api.patch(AS + "/v1.policy", {"metadata": {"labels": {AUTO: None}}, "spec": {"groupPriorityMinimum": 5}})
    api.post(AS, dict(registration("v9.gone.example", group="gone.example", version="v9", groupPriorityMinimum=1, versionPriority=1),
                      metadata={"name": "v9.gone.example", "labels": {AUTO: "onstart"}}))
    d.stop()
    d.start()
    api = Api(d)
    until("APIServices", lambda: api.get(AS + "/v1.apps").status == 200 and api.get(AS + "/v9.gone.example").status == 404 and
          api.get(AS + "/v1.batch").json["spec"]["groupPriorityMinimum"] == 17400)
    t.eq(api.get(AS + "/v1.policy").json["spec"]["groupPriorityMinimum"], 5, "a start puts right what is ours alone")


# ---- older versions --------------------------------------------------------------------------------------

def on(api):
    for g in sorted(OLD):
        doc = api.get("/apis/" + g).json
        t.eq(([v["version"] for v in doc["versions"]], doc["preferredVersion"]["version"]), (["v1", "v1beta1"], "v1"), g + " has both")
    hashes = {d["groupVersion"]: [r["storageVersionHash"] for r in d["resources"] if "/" not in r["name"]]
              for d in (api.get("/apis/policy/" + v).json for v in ("v1", "v1beta1"))}
    t.eq(hashes["policy/v1"], hashes["policy/v1beta1"], "what is stored is one")
    t.ok("apis/policy/v1beta1" in api.get("/openapi/v3").json["paths"], "it is in OpenAPI v3")
    t.ok("io.k8s.api.policy.v1beta1.PodDisruptionBudget" in api.get("/openapi/v2").json["definitions"], "and in v2")


def make(api, gv, plural, body):
    a = api.post("/apis/%s%s/%s" % (gv, NS, plural), dict(body, apiVersion=gv))
    return a.json if a.status == 201 else t.ok(False, "%s of %s" % (plural, gv), a)


def budgets(api):
    def spec(version, name):
        return api.get("/apis/policy/%s%s/poddisruptionbudgets/%s" % (version, NS, name)).json["spec"]["selector"]

    def budget(version, name, selector):
        return make(api, "policy/" + version, "poddisruptionbudgets", {
            "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": selector}})

    mark = lambda op: {"matchExpressions": [{"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": op}]}
    budget("v1beta1", "none", {})
    t.eq((spec("v1beta1", "none"), spec("v1", "none")), ({}, mark("Exists")), "an empty selector of v1beta1 selects nothing in v1")
    budget("v1", "all", {})
    t.eq((spec("v1", "all"), spec("v1beta1", "all")), ({}, mark("DoesNotExist")), "one of v1 everything in v1beta1")
    budget("v1beta1", "all-too", mark("DoesNotExist"))
    t.eq(spec("v1", "all-too"), {}, "and so it does the other way")
    budget("v1beta1", "some", {"matchLabels": {"a": "b"}})
    t.eq(spec("v1", "some"), {"matchLabels": {"a": "b"}}, "others are the same")
    a = api.post("/apis/policy/v1beta1%s/poddisruptionbudgets" % NS, {
        "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "bad"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}})
    t.eq((a.status, a.json["details"]["causes"][0]["field"]), (422, "spec"), "what v1 refuses is refused")
    for version in ("v1", "v1beta1"):
        a = api.post("/api/v1%s/pods/nobody/eviction" % NS, {"apiVersion": "policy/" + version, "kind": "Eviction", "metadata": {"name": "nobody"}})
        t.eq((a.status, a.json["message"]), (404, 'pods "nobody" not found'), "an Eviction of %s is one" % version)
    w = api.watch("/apis/policy/v1beta1%s/poddisruptionbudgets?watch=1&fieldSelector=metadata.name=some" % NS)
    e = w.next()
    t.eq((e["object"]["apiVersion"], e["object"]["metadata"]["name"]), ("policy/v1beta1", "some"), "a watch is in the version that was asked for")
    a = api.patch("/apis/policy/v1beta1%s/poddisruptionbudgets/some/status" % NS, {"status": {"disruptionsAllowed": 1}})
    e = w.next()
    t.eq((a.status, e["type"], e["object"]["status"]["disruptionsAllowed"]), (200, "MODIFIED", 1), "status is written by the older version")
    w.close()


def slices(api):
    where = {"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z", "x": "y"}
    make(api, "discovery.k8s.io/v1beta1", "endpointslices", {
        "kind": "EndpointSlice", "metadata": {"name": "a"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "nodeName": "n", "topology": where},
                      {"addresses": ["192.0.2.2"], "nodeName": "m", "topology": {"kubernetes.io/hostname": "other"}}, {"addresses": ["192.0.2.3"]}]})
    ends = lambda v, name: api.get("/apis/discovery.k8s.io/%s%s/endpointslices/%s" % (v, NS, name)).json["endpoints"]
    t.eq(ends("v1", "a"), [
        {"addresses": ["192.0.2.1"], "conditions": {}, "deprecatedTopology": {"x": "y"}, "nodeName": "n", "zone": "z"},
        {"addresses": ["192.0.2.2"], "conditions": {}, "deprecatedTopology": {"kubernetes.io/hostname": "other"}, "nodeName": "m"},
        {"addresses": ["192.0.2.3"], "conditions": {}}], "topology becomes node and zone")
    t.eq(ends("v1beta1", "a")[0]["topology"], where, "and is itself again")
    make(api, "discovery.k8s.io/v1", "endpointslices", {
        "kind": "EndpointSlice", "metadata": {"name": "b"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.4"], "nodeName": "n", "zone": "z"}]})
    e = ends("v1beta1", "b")[0]
    t.eq((e["topology"], e["nodeName"], "zone" in e), ({"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z"}, "n", False), "also of what v1 made")
    a = api.patch("/apis/discovery.k8s.io/v1beta1%s/endpointslices/b" % NS, {"metadata": {"labels": {"l": "m"}}})
    t.eq((a.status, ends("v1", "b")[0].get("deprecatedTopology"), ends("v1", "b")[0]["zone"]), (200, None, "z"), "a patch by the older version leaves no trace of it")


def cron(api):
    body = {"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}
    a, b = make(api, "batch/v1beta1", "cronjobs", body), api.get("/apis/batch/v1%s/cronjobs/c" % NS).json
    t.eq((a["spec"], a["apiVersion"], b["apiVersion"]), (b["spec"], "batch/v1beta1", "batch/v1"), "cron jobs of both versions are the same")
    a = api("GET", "/apis/batch/v1beta1%s/cronjobs" % NS, headers={"Accept": "application/vnd.kubernetes.protobuf"})
    t.ok(a.status == 200 and a.raw.startswith(b"k8s\0") and b"batch/v1beta1" in a.raw, "in protobuf, too", a.raw[:100])
    a = api.patch("/apis/batch/v1beta1%s/cronjobs/c?fieldManager=m&force=true" % NS,
                  {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"suspend": True}}, kind="apply")
    t.eq((a.status, api.get("/apis/batch/v1%s/cronjobs/c" % NS).json["spec"]["suspend"]), (200, True), "applied by the older version")
    a = api.delete("/apis/batch/v1beta1%s/cronjobs/c" % NS)
    t.eq((a.status, api.get("/apis/batch/v1%s/cronjobs/c" % NS).status), (200, 404), "gone in both")


def restarted(d):
    """Objects that were made by an older version are there when it is served no more."""
    d.stop()
    with open(d.conf) as f:
        text = f.read()
    with open(d.conf, "w") as f:
        f.write(text.replace("old_versions = true;", ""))
    d.start()
    api = Api(d)
    a = api.get("/apis/policy/v1%s/poddisruptionbudgets/some" % NS)
    t.eq((a.status, api.get("/apis/policy/v1beta1%s/poddisruptionbudgets/some" % NS).status), (200, 404), "switched off: the same object in v1 alone")
    a = api.patch("/apis/policy/v1%s/poddisruptionbudgets/some?fieldManager=n&force=true" % NS, {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "some"}, "spec": {"minAvailable": 2}}, kind="apply")
    t.eq((a.status, a.json["spec"]["minAvailable"]), (200, 2), "and applied although its managers wrote in a version that is gone")


one = Daemon().start()
group(t, stable, Api(one))
group(t, both_forms, Api(one))
group(t, off, Api(one))
group(t, components, Api(one))
group(t, registered, Api(one))
group(t, registering, Api(one))
group(t, at_start, one)
one.stop()
two = Daemon(params="old_versions = true;", modules=("scheduler/default", "controllers/namespace")).start()
for g in (parts, on, budgets, slices, cron):
    group(t, g, Api(two))
group(t, restarted, two)
t.done()
