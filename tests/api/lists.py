#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Lists: selectors, pages of one snapshot while others write, versions asked for, the forms of an answer."""
import json
import threading

from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
NS = "/api/v1/namespaces/lists/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PART = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
PARTS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


def names(a):
    return [x["metadata"]["name"] for x in a.json["items"]]


def fill():
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lists"}})
    for i in range(50):
        api.post(NS, config_map("o-%02d" % i, {"i": str(i)}, labels={"even": str(i % 2 == 0).lower(), "n": str(i)}))
    a = api.get(NS)
    t.ok(names(a) == ["o-%02d" % i for i in range(50)], "all, in order", a)
    t.ok(a.json["kind"] == "ConfigMapList" and a.json["apiVersion"] == "v1" and "kind" not in a.json["items"][0] and
         "continue" not in a.json["metadata"], "as a list of its kind, items without", a)
    a = api.get("/api/v1/namespaces/kube-public/endpoints")
    t.ok('"items":[]' in a.text, "an empty one has items", a)


def selectors():
    for q, want in (("labelSelector=even%3Dtrue", 25), ("labelSelector=even%3D%3Dfalse,n%21%3D1", 24),
                    ("labelSelector=n+in+(1,2,3)", 3), ("labelSelector=n+notin+(1,2,3)", 47), ("labelSelector=even", 50),
                    ("labelSelector=%21even", 0), ("labelSelector=n%3E47", 2), ("labelSelector=n%3C3", 3),
                    ("labelSelector=x+notin+(1)", 50), ("labelSelector=", 50),
                    ("fieldSelector=metadata.name%3Do-07", 1), ("fieldSelector=metadata.name%21%3Do-07", 49),
                    ("fieldSelector=metadata.name%3Do-07,metadata.namespace%3Dlists", 1),
                    ("fieldSelector=metadata.name%3Do-07&labelSelector=even%3Dtrue", 0)):
        a = api.get(NS + "?" + q)
        t.ok(a.status == 200 and len(names(a)) == want, q, a)
    a = api.get("/api/v1/configmaps?fieldSelector=metadata.namespace%3Dlists")
    t.eq(len(names(a)), 50, "of one namespace among all")
    pods = api.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,status.phase%21%3DRunning,spec.restartPolicy%3DAlways")
    t.eq(pods.status, 200, "what Pods can be selected by")
    ev = api.get("/api/v1/events?fieldSelector=involvedObject.name%3Dx,reason%3Dy,type%3DNormal")
    t.eq(ev.status, 200, "and Events")
    a = api.post("/apis/events.k8s.io/v1/namespaces/lists/events", {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "me", "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal", "note": "n",
        "regarding": {"kind": "Pod", "namespace": "lists", "name": "p"}})
    t.eq(a.status, 201, "an Event")
    for q in ("v1/namespaces/lists/events?fieldSelector=source%3Dme", "v1/namespaces/lists/events?fieldSelector=reportingComponent%3Dme",
              "v1/events?fieldSelector=involvedObject.name%3Dp"):
        t.eq(len(names(api.get("/api/" + q))), 1, "is found by " + q)
    a = api.get("/apis/events.k8s.io/v1/events?fieldSelector=reportingController%3Dme,regarding.name%3Dp")
    t.eq(len(a.json["items"]), 1, "and in its own group")


def pages():
    a = api.get(NS + "?limit=20")
    m = a.json["metadata"]
    t.ok(len(names(a)) == 20 and m.get("continue") and m.get("remainingItemCount") == 30, "the first page", a)
    first_rv = m["resourceVersion"]
    # between the pages everything changes
    for i in range(20, 50, 2):
        api.delete(NS + "/o-%02d" % i)
    for i in range(21, 50, 2):
        api.patch(NS + "/o-%02d" % i, {"data": {"new": "x"}})
    api.post(NS, config_map("o-99"))
    got = names(a)
    changed = False
    while m.get("continue"):
        a = api.get(NS + "?limit=20&continue=" + m["continue"])
        m = a.json["metadata"]
        got += names(a)
        changed = changed or any("new" in (x.get("data") or {}) for x in a.json["items"])
        t.ok(m["resourceVersion"] == first_rv, "the next page is of the same version", m)
    t.ok(got == ["o-%02d" % i for i in range(50)] and not changed, "together they are what was there", got)
    a = api.get(NS + "?resourceVersion=%s&resourceVersionMatch=Exact" % first_rv)
    t.ok(len(names(a)) == 50 and a.rv == first_rv, "that version, exactly", a)
    a = api.get(NS + "?resourceVersion=%s&resourceVersionMatch=Exact&limit=7&labelSelector=even%%3Dtrue" % first_rv)
    t.ok(len(names(a)) == 7 and "remainingItemCount" not in a.json["metadata"] and a.json["metadata"]["continue"],
         "with a selector and a limit", a)
    a = api.get(NS + "?resourceVersion=%s&resourceVersionMatch=NotOlderThan" % first_rv)
    t.ok(len(names(a)) == 36 and int(a.rv) > int(first_rv), "not older than it", a)
    a = api.get(NS + "?resourceVersion=0")
    t.eq(len(names(a)), 36, "whatever there is")
    a = api.get(NS + "?limit=10&labelSelector=even%3Dfalse")
    t.ok(len(names(a)) == 10 and a.json["metadata"]["continue"] and "remainingItemCount" not in a.json["metadata"],
         "pages of a selection", a)
    a = api.get(NS + "?limit=500")
    t.ok("continue" not in a.json["metadata"], "a page with room has no next", a)
    a = api.get("/api/v1/configmaps?limit=1")
    b = api.get("/api/v1/configmaps?limit=1000&continue=" + a.json["metadata"]["continue"])
    both = [(x["metadata"]["namespace"], x["metadata"]["name"]) for x in a.json["items"] + b.json["items"]]
    t.ok(both == sorted(both) and len(set(both)) == len(both), "pages over namespaces", both)


def odd_names():
    """Names of roles have characters that are escaped in a token."""
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    want = ['page"3', "page<1>", "page<2>"]
    for n in want:
        assert api.post(roles, {"metadata": {"name": n, "labels": {"page": "x"}}}).status == 201
    got, more = [], ""
    while len(got) < 4:
        a = api.get(roles + "?labelSelector=page%3Dx&limit=1" + more)
        got += [o["metadata"]["name"] for o in a.json.get("items", [a])]
        if not a.json["metadata"].get("continue"):
            break
        more = "&continue=" + a.json["metadata"]["continue"]
    t.eq(got, want, "the pages of odd names")


def snapshots():
    """Two ConfigMaps always written together in one order: no list may show the second ahead of the first."""
    api.post(NS, config_map("pair-a", {"v": "0"}))
    api.post(NS, config_map("pair-b", {"v": "0"}))
    stop = threading.Event()
    written = [0]

    def writer():
        mine = Api(d)
        while not stop.is_set():
            written[0] += 1
            for n in ("pair-a", "pair-b"):
                mine.patch(NS + "/" + n, {"data": {"v": str(written[0])}})
    w = threading.Thread(target=writer)
    w.start()
    bad, rvs, n = [], [], 0
    try:
        while w.is_alive() and (n < 100 or written[0] < 100):
            n += 1
            a = api.get(NS + "?labelSelector=%21even" + ("&limit=3" if n % 2 else ""))
            j = a.json
            rest = j["items"]
            if j["metadata"].get("continue"):
                rest += api.get(NS + "?labelSelector=%21even&continue=" + j["metadata"]["continue"]).json["items"]
            v = {x["metadata"]["name"]: int(x["data"]["v"]) for x in rest if x["metadata"]["name"].startswith("pair")}
            if v["pair-a"] - v["pair-b"] not in (0, 1):
                bad.append(v)
            if any(int(x["metadata"]["resourceVersion"]) > int(j["metadata"]["resourceVersion"]) for x in rest):
                bad.append("an item newer than its list")
            rvs.append(int(j["metadata"]["resourceVersion"]))
    finally:
        stop.set()
        w.join()
    t.ok(not bad and n >= 100 and written[0] >= 100, "lists are snapshots while others write (%d lists, %d writes)" % (n, written[0]), bad[:5])
    t.ok(rvs == sorted(rvs), "and never go back")


def forms():
    a = api.get(NS + "?limit=2", {"Accept": TABLE})
    j = a.json
    t.ok(j["kind"] == "Table" and j["apiVersion"] == "meta.k8s.io/v1" and j["metadata"].get("continue") and
         j["metadata"]["resourceVersion"], "a list as a Table", a)
    t.eq([c["name"] for c in j["columnDefinitions"]], ["Name", "Data", "Age"], "its columns")
    r = j["rows"][0]
    t.ok(r["cells"][0] == "o-00" and r["cells"][1] == 1 and r["object"]["kind"] == "PartialObjectMetadata" and
         r["object"]["metadata"]["name"] == "o-00", "its rows with metadata", r)
    t.ok(api.get(NS + "?limit=1&includeObject=None", {"Accept": TABLE}).json["rows"][0].get("object") is None, "without objects")
    r = api.get(NS + "?limit=1&includeObject=Object", {"Accept": TABLE}).json["rows"][0]
    t.ok(r["object"]["kind"] == "ConfigMap" and r["object"]["data"] == {"i": "0"}, "with whole objects", r)
    a = api.get(NS + "/o-00", {"Accept": TABLE})
    t.ok(a.json["kind"] == "Table" and len(a.json["rows"]) == 1, "one object as a Table", a)
    a = api.get("/api/v1/namespaces/kube-public/endpoints", {"Accept": TABLE})
    t.ok('"rows":[]' in a.text and a.json["columnDefinitions"], "an empty Table", a)
    a = api.get(NS + "/nope", {"Accept": TABLE})
    t.ok(a.status == 404 and a.json["kind"] == "Status", "an error is a Status all the same", a)
    a = api.get(NS + "/o-00", {"Accept": PART})
    t.ok(a.json["kind"] == "PartialObjectMetadata" and a.json["apiVersion"] == "meta.k8s.io/v1" and
         a.json["metadata"]["labels"]["n"] == "0" and "data" not in a.json, "one object's metadata", a)
    a = api.get(NS + "?limit=2", {"Accept": PARTS})
    t.ok(a.json["kind"] == "PartialObjectMetadataList" and len(a.json["items"]) == 2 and "data" not in a.json["items"][0] and
         a.json["metadata"]["continue"], "of a list", a)
    a = api("PATCH", NS + "/o-01", '{"metadata":{"labels":{"p":"q"}}}', headers={"Accept": PART}, type="application/merge-patch+json")
    t.ok(a.json["kind"] == "PartialObjectMetadata", "of what was written", a)
    for path in ("/api/v1/nodes", "/api/v1/pods", "/api/v1/services", "/api/v1/namespaces", "/api/v1/secrets", "/api/v1/events",
                 "/api/v1/serviceaccounts", "/api/v1/endpoints", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets",
                 "/apis/apps/v1/controllerrevisions", "/apis/discovery.k8s.io/v1/endpointslices",
                 "/apis/coordination.k8s.io/v1/leases", "/apis/events.k8s.io/v1/events"):
        a = api.get(path, {"Accept": TABLE})
        t.ok(a.status == 200 and a.json["kind"] == "Table" and len(a.json["columnDefinitions"]) > 1, "Table of " + path, a)


def encodings():
    big = "y" * 200000
    api.post(NS, config_map("big", {"y": big}))
    a = api.get(NS + "/big", {"Accept-Encoding": "gzip"})
    t.ok(a.headers.get("Content-Encoding") == "gzip" and len(a.raw) < 10000 and a.json["data"]["y"] == big, "gzip of what is big", a.headers)
    a = api.get(NS + "/o-01", {"Accept-Encoding": "gzip"})
    t.ok(a.headers.get("Content-Encoding") is None, "not of what is small", a.headers)
    a = api.get(NS + "/big")
    t.ok(a.headers.get("Content-Encoding") is None and len(a.raw) > 200000, "nor unasked", a.headers)
    a = api("HEAD", NS + "/o-01")
    t.eq((a.status, a.raw), (405, b""), "HEAD is a method of proxies alone")
    t.eq(Api(d, token="token-of-jane")("HEAD", NS + "/o-01").status, 403, "and nobody's who may not GET")
    a = api.get(NS + "/o-01?pretty=true")
    t.ok('{\n  "kind": "ConfigMap",\n' in a.text and json.loads(a.text), "pretty", a)
    a = api.get(NS + "/o-01", {"User-Agent": "curl/8.0"})
    t.ok("\n  " in a.text, "for people with curl", a)
    a = api.get(NS + "/o-01", {"Accept": "application/yaml"})
    t.ok(a.headers["Content-Type"] == "application/yaml" and "\nkind: ConfigMap\n" in "\n" + a.text and "  name: o-01\n" in a.text, "YAML", a)
    a = api.get(NS + "?limit=2", {"Accept": "application/yaml"})
    t.ok("\nkind: ConfigMapList\n" in "\n" + a.text, "a list in YAML", a)
    a = api.post(NS, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fromyaml\ndata:\n  a: |\n    x\n    y\n  b: 'true'\n",
                 type="application/yaml")
    t.ok(a.status == 201 and a.json["data"] == {"a": "x\ny\n", "b": "true"}, "a body in YAML", a)
    a = api.post(NS, "a: [", type="application/yaml")
    t.eq(a.status, 400, "broken YAML")
    a = api.get(NS + "/o-01")
    h = a.headers
    t.ok(h.get("Audit-Id") and h.get("Cache-Control") == "no-cache, private" and h.get("Date") and
         h.get("Content-Type") == "application/json" and h.get("X-Kubernetes-Pf-Flowschema-Uid"), "headers of every answer", h)
    text = {"k": "ä\u2028\"\\\n\t\u0001😀<>&"}
    a = api.post(NS, config_map("text", text))
    t.ok(a.json["data"] == text and api.get(NS + "/text").json["data"] == text, "any text comes back", a)
    # the binary form, as client-go sends it: a Namespace {metadata{name: "proto"}}
    inner = b"\x0a\x07\x0a\x05proto"
    body = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12" + bytes([len(inner)]) + inner
    a = api("POST", "/api/v1/namespaces", body, type="application/vnd.kubernetes.protobuf")
    t.ok(a.status == 201 and a.json["metadata"]["name"] == "proto", "a body in protobuf", a)


for g in (fill, selectors, pages, odd_names, snapshots, forms, encodings):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
