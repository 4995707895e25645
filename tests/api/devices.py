#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Devices (resource.k8s.io): what is defaulted, refused and kept, with upstream's reasons and fields; claims' status; tables."""
from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
R = "/apis/resource.k8s.io/v1"
CLAIMS, TEMPLATES = (R + "/namespaces/default/" + x for x in ("resourceclaims", "resourceclaimtemplates"))
SLICES, CLASSES = R + "/resourceslices", R + "/deviceclasses"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
INVALID, REQUIRED, UNSUPPORTED = "FieldValueInvalid", "FieldValueRequired", "FieldValueNotSupported"
TOO_MANY, TOO_LONG, DUPLICATE, FORBIDDEN = "FieldValueTooMany", "FieldValueTooLong", "FieldValueDuplicate", "FieldValueForbidden"


def obj(kind, name, spec):
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def causes(a):
    return sorted((c["field"], c["reason"]) for c in a.json["details"]["causes"]) if a.status == 422 else (a.status, a.text[:300])


def refused(path, kind, spec, want, why):
    t.eq(causes(api.post(path + "?dryRun=All", obj(kind, "x", spec))), sorted(want), why)


def claim(*requests, **more):
    return {"devices": dict({"requests": list(requests)}, **more)}


def exactly(name="a", **more):
    return {"name": name, "exactly": dict({"deviceClassName": "c.example"}, **more)}


def claims():
    a = api.post(CLAIMS, obj("ResourceClaim", "c1", claim(
        exactly(tolerations=[{"key": "k"}]), {"name": "b", "firstAvailable": [
            {"name": "x", "deviceClassName": "c"}, {"name": "y", "deviceClassName": "c", "allocationMode": "All"}]},
        constraints=[{"requests": ["a", "b/x"], "matchAttribute": "d.example/model"}],
        config=[{"requests": ["b"], "opaque": {"driver": "d.example", "parameters": {"kind": "K", "n": 1}}}])))
    q = a.json["spec"]["devices"]
    t.eq((a.status, q["requests"][0]["exactly"]["allocationMode"], q["requests"][0]["exactly"]["count"]), (201, "ExactCount", 1), "one device, if nothing is said")
    t.eq(q["requests"][0]["exactly"]["tolerations"], [{"key": "k", "operator": "Equal"}], "tolerations compare")
    t.eq(["count" in x for x in q["requests"][1]["firstAvailable"]], [True, False], "all has no count")
    t.eq(q["config"][0]["opaque"]["parameters"], {"kind": "K", "n": 1}, "parameters are kept as they are")
    t.ok("generation" not in a.json["metadata"], "claims have no generation")
    a = api.patch(CLAIMS + "/c1", {"spec": {"devices": {"requests": [exactly("z")]}}})
    t.ok(("spec", INVALID) in causes(a), "what is asked for does not change", a)
    t.eq(api.patch(CLAIMS + "/c1", {"metadata": {"labels": {"l": "m"}}}).status, 200, "labels may")
    p = "spec.devices."
    bad = [
        (claim({"name": "a"}), [(p + "requests[0]", REQUIRED)], "a request for nothing"),
        (claim(dict(exactly(), firstAvailable=[{"name": "x", "deviceClassName": "c"}])), [(p + "requests[0]", INVALID)], "a request in two ways"),
        (claim(exactly(), exactly()), [(p + "requests[1].name", DUPLICATE)], "two of one name"),
        (claim(exactly("A_b")), [(p + "requests[0].name", INVALID)], "a name that is none"),
        (claim({"name": "a", "exactly": {}}), [(p + "requests[0].exactly.deviceClassName", REQUIRED)], "no class"),
        (claim(exactly(allocationMode="Some")), [(p + "requests[0].exactly.allocationMode", UNSUPPORTED)], "an unknown mode"),
        (claim(exactly(allocationMode="All", count=2)), [(p + "requests[0].exactly.count", INVALID)], "a count of all"),
        (claim(exactly(count=-1)), [(p + "requests[0].exactly.count", INVALID)], "less than nothing"),
        (claim(exactly(selectors=[{}])), [(p + "requests[0].exactly.selectors[0].cel", REQUIRED)], "an empty selector"),
        (claim(exactly(selectors=[{"cel": {"expression": "x" * 10241}}])), [(p + "requests[0].exactly.selectors[0].cel.expression", TOO_LONG)], "a long expression"),
        (claim(exactly(tolerations=[{"key": "k", "operator": "Like", "effect": "Never"}])),
         [(p + "requests[0].exactly.tolerations[0].operator", UNSUPPORTED), (p + "requests[0].exactly.tolerations[0].effect", UNSUPPORTED)], "odd tolerations"),
        (claim(*[exactly("a%d" % i) for i in range(33)]), [(p + "requests", TOO_MANY)], "33 requests"),
        (claim(exactly(), constraints=[{"requests": ["b"], "matchAttribute": "model"}]),
         [(p + "constraints[0].requests[0]", INVALID), (p + "constraints[0].matchAttribute", INVALID)], "a constraint of others, without a domain"),
        (claim(exactly(), constraints=[{"requests": ["a", "a"]}]),
         [(p + "constraints[0]", REQUIRED), (p + "constraints[0].requests[1]", DUPLICATE)], "a constraint that says nothing, twice"),
        (claim(exactly(), constraints=[{"requests": ["a/x"], "matchAttribute": "d.example/9"}]),
         [(p + "constraints[0].requests[0]", INVALID), (p + "constraints[0].matchAttribute", INVALID)], "a subrequest that is not there"),
        (claim(exactly(), config=[{}]), [(p + "config[0].opaque", REQUIRED)], "a configuration of nothing"),
        (claim(exactly(), config=[{"opaque": {"driver": "", "parameters": [1]}}]),
         [(p + "config[0].opaque.driver", REQUIRED), (p + "config[0].opaque.parameters", INVALID)], "parameters that are no object, for nobody"),
    ]
    for spec, want, why in bad:
        refused(CLAIMS, "ResourceClaim", spec, want, why)
    a = api.post(CLAIMS, obj("ResourceClaim", "admin", claim(exactly(adminAccess=True))))
    t.eq(causes(a), [(p + "requests[0].exactly.adminAccess", FORBIDDEN)], "devices of others are for namespaces with a label")
    api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}})
    t.eq(api.post(CLAIMS, obj("ResourceClaim", "admin", claim(exactly(adminAccess=True)))).status, 201, "which this one has now")


def status():
    given = {"devices": {"results": [{"request": "a", "driver": "d.example", "pool": "p", "device": "gpu-0"}]}}
    user = {"resource": "pods", "name": "p", "uid": "u-1"}
    path = CLAIMS + "/c1/status"
    t.eq(api.patch(CLAIMS + "/c1", {"status": {"allocation": given}}).json["status"], {}, "status is not for those who write claims")
    t.eq(causes(api.patch(path, {"status": {"reservedFor": [user]}})), [("status.reservedFor", FORBIDDEN)], "nobody uses what nobody has")
    a = api.patch(path, {"status": {"allocation": {"devices": {"results": [
        {"request": "q", "driver": "d.example", "pool": "P", "device": "x"}]}}}})
    t.eq(causes(a), [("status.allocation.devices.results[0].pool", INVALID), ("status.allocation.devices.results[0].request", INVALID)],
         "what was given was asked for")
    a = api.patch(path, {"status": {"allocation": given, "reservedFor": [user]}})
    t.eq((a.status, a.json["status"].get("reservedFor")), (200, [user]), "given, and in use")
    other = {"devices": {"results": [dict(given["devices"]["results"][0], device="gpu-1")]}}
    t.eq(causes(api.patch(path, {"status": {"allocation": other}})), [("status.allocation", INVALID)], "what was given is not exchanged")
    t.eq(causes(api.patch(path, {"status": {"reservedFor": [user, dict(user, name="q")]}})), [("status.reservedFor[1].uid", DUPLICATE)], "one user counts once")
    t.eq(causes(api.patch(path, {"status": {"devices": [{"driver": "d.example", "pool": "p", "device": "gpu-7"}]}})), [("status.devices[0]", INVALID)],
         "drivers tell of what was given")
    a = api.patch(path, {"status": {"devices": [{"driver": "d.example", "pool": "p", "device": "gpu-0", "networkData": {"interfaceName": "e0", "ips": ["192.0.2.1/24"]}}]}})
    t.eq((a.status, a.json["status"].get("devices", [{}])[0].get("networkData")), (200, {"interfaceName": "e0", "ips": ["192.0.2.1/24"]}), "and may")
    rows = {r["cells"][0]: r["cells"][1] for r in api.get(CLAIMS, headers=TABLE).json["rows"]}
    t.eq(rows, {"c1": "allocated,reserved", "admin": "pending"}, "a table of claims")
    api.patch(CLAIMS + "/c1", {"metadata": {"finalizers": ["e.example/f"]}})
    api.delete(CLAIMS + "/c1")
    a = api.patch(path, {"status": {"reservedFor": [user, {"resource": "pods", "name": "q", "uid": "u-2"}]}})
    t.eq(causes(a), [("status.reservedFor", FORBIDDEN)], "nobody new while it goes")
    t.eq(api.get(CLAIMS + "?fieldSelector=metadata.name=c1", headers=TABLE).json["rows"][0]["cells"][1], "deleted,allocated,reserved", "the table says that it does")
    t.eq(api.patch(path, {"status": {"allocation": None, "reservedFor": None, "devices": None}}).status, 200, "taken back")


def templates():
    a = api.post(TEMPLATES, obj("ResourceClaimTemplate", "t", {"metadata": {"labels": {"a": "b"}}, "spec": claim(exactly())}))
    t.eq((a.status, a.json["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"]), (201, 1), "a template has the defaults of a claim")
    a = api.patch(TEMPLATES + "/t", {"spec": {"metadata": {"labels": {"a": "c"}}}})
    t.ok(("spec", INVALID) in causes(a), "it does not change", a)
    refused(TEMPLATES, "ResourceClaimTemplate", {"spec": claim({"name": "a"})}, [("spec.spec.devices.requests[0]", REQUIRED)], "it is checked as a claim")
    a = api.post(CLASSES, obj("DeviceClass", "c.example", {"selectors": [{"cel": {"expression": "device.driver == 'd.example'"}}], "extendedResourceName": "e.example/gpu"}))
    t.eq((a.status, a.json["metadata"]["generation"]), (201, 1), "a class")
    a = api.patch(CLASSES + "/c.example", {"spec": {"extendedResourceName": "e.example/other"}})
    t.eq((a.status, a.json["metadata"]["generation"]), (200, 2), "may change")
    refused(CLASSES, "DeviceClass", {"extendedResourceName": "kubernetes.io/gpu"}, [("spec.extendedResourceName", INVALID)], "not into what is Kubernetes' own")


def slices():
    pool = {"name": "p", "resourceSliceCount": 1, "generation": 1}
    good = {"driver": "d.example", "pool": pool, "nodeName": "n1", "devices": [
        {"name": "gpu-0", "attributes": {"model": {"string": "x"}, "d.example/ver": {"version": "1.2.3-rc.1+b"}, "n": {"int": 0}},
         "capacity": {"memory": {"value": "8Gi"}}, "taints": [{"key": "k", "effect": "NoSchedule"}]}]}
    a = api.post(SLICES, obj("ResourceSlice", "s1", good))
    dev = a.json["spec"]["devices"][0]
    t.eq((a.status, a.json["metadata"]["generation"], dev["attributes"], dev["capacity"]),
         (201, 1, good["devices"][0]["attributes"], {"memory": {"value": "8Gi"}}), "a slice is kept as it is")
    t.ok(dev["taints"][0].get("timeAdded"), "a taint knows since when")
    t.eq(api.get(SLICES, headers=TABLE).json["rows"][0]["cells"][:4], ["s1", "n1", "d.example", "p"], "a table of slices")
    names = lambda q: [x["metadata"]["name"] for x in api.get(SLICES + "?fieldSelector=" + q).json["items"]]
    t.eq((names("spec.nodeName=n1"), names("spec.nodeName=n2"), names("spec.driver=d.example")), (["s1"], [], ["s1"]), "by node and driver")
    for field, new, at in (("nodeName", "n2", "spec.nodeName"), ("driver", "e.example", "spec.driver"), ("pool", {"name": "q"}, "spec.pool.name")):
        t.eq(causes(api.patch(SLICES + "/s1", {"spec": {field: new}})), [(at, INVALID)], at + " stays")
    bad = [
        (dict(good, nodeName=None), [("spec", REQUIRED)], "devices of nowhere"),
        (dict(good, allNodes=True), [("spec", INVALID)], "of two places"),
        (dict(good, allNodes=False), [("spec.allNodes", INVALID)], "not of all nodes, said in so many words"),
        (dict(good, pool={"name": "p/Q", "resourceSliceCount": 0, "generation": -1}),
         [("spec.pool.name", INVALID), ("spec.pool.resourceSliceCount", INVALID), ("spec.pool.generation", INVALID)], "a pool that is none"),
        (dict(good, nodeName=None, nodeSelector={"nodeSelectorTerms": [{}, {}]}), [("spec.nodeSelector.nodeSelectorTerms", INVALID)], "two terms"),
        (dict(good, devices=[{"name": "a"}, {"name": "a"}]), [("spec.devices[1].name", DUPLICATE)], "one device twice"),
        (dict(good, devices=[{"name": "a%d" % i} for i in range(129)]), [("spec.devices", TOO_MANY)], "129 devices"),
        (dict(good, devices=[{"name": "a%d" % i, "taints": [{"key": "k", "effect": "NoExecute"}]} for i in range(65)]), [("spec.devices", TOO_MANY)], "65 with taints"),
        (dict(good, devices=[{"name": "a", "attributes": {"9x": {"int": 1}, "two": {"int": 1, "bool": True}, "none": {}, "v": {"version": "01.2.3"}, "long": {"string": "x" * 65}}}]),
         [("spec.devices[0].attributes[9x]", INVALID), ("spec.devices[0].attributes[two]", INVALID), ("spec.devices[0].attributes[none]", REQUIRED),
          ("spec.devices[0].attributes[v].version", INVALID), ("spec.devices[0].attributes[long].string", TOO_LONG)], "attributes that are none"),
        (dict(good, devices=[{"name": "a", "attributes": {"a%d" % i: {"int": 1} for i in range(33)}}]), [("spec.devices[0]", INVALID)], "33 attributes"),
        (dict(good, devices=[{"name": "a", "taints": [{"key": "", "effect": "Odd"}]}]),
         [("spec.devices[0].taints[0].key", REQUIRED), ("spec.devices[0].taints[0].effect", UNSUPPORTED)], "taints that are none"),
    ]
    for spec, want, why in bad:
        refused(SLICES, "ResourceSlice", {k: v for k, v in spec.items() if v is not None}, want, why)


for g in (claims, status, templates, slices):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
