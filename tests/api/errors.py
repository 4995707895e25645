#!/usr/bin/env -S python3 -B
# run: timeout=120
"""What is wrong with a request is said as upstream says it: code, reason, details, causes."""
from rig import Api, CM, Daemon, Tap, config_map, group, in_threads

t = Tap()
d = Daemon().start()
api = Api(d)
DEP = "/apis/apps/v1/namespaces/default/deployments"


def deployment(name, **spec):
    s = {"selector": {"matchLabels": {"a": "b"}},
         "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    s.update(spec)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": s}


def status(a, code, reason, name, *texts):
    """One point: a Status with this code and reason whose message has the texts. The Status, or {}."""
    try:
        s = a.json
        good = (a.status == code and s["kind"] == "Status" and s["apiVersion"] == "v1" and s["code"] == code and
                s["status"] == "Failure" and s.get("reason", "") == reason and s["metadata"] is not None and
                all(x in s["message"] for x in texts))
    except (ValueError, KeyError):
        s, good = {}, False
    t.ok(good, name, "wanted %d %s %s, got %s" % (code, reason, texts, a))
    return s if good else {}


def missing():
    s = status(api.get(CM + "/nope"), 404, "NotFound", "an object that is not there", 'configmaps "nope" not found')
    t.eq(s.get("details"), {"name": "nope", "kind": "configmaps"}, "details name it by its plural")
    s = status(api.get(DEP + "/nope"), 404, "NotFound", "with a group", 'deployments.apps "nope" not found')
    t.eq(s.get("details"), {"name": "nope", "group": "apps", "kind": "deployments"}, "details have the group")
    status(api.get("/api/v1/namespaces/default/unheards"), 404, "NotFound", "a resource that is not there",
           "the server could not find the requested resource")
    status(api.get("/apis/none.example/v1/things"), 404, "NotFound", "a group that is not there")
    status(api.get("/apis/apps/v2/deployments"), 404, "NotFound", "a version that is not there")
    status(api.get(CM + "/x/nosub"), 404, "NotFound", "a subresource that is not there")
    a = api.get("/nothing/here")
    t.ok(a.status == 404 and a.text.startswith("404 page not found"), "a path outside of the API", a)
    status(api.put(CM + "/nope", config_map("nope")), 404, "NotFound", "update of nothing")
    status(api.patch(CM + "/nope", {"data": {}}), 404, "NotFound", "patch of nothing")
    status(api.delete(CM + "/nope"), 404, "NotFound", "delete of nothing")
    status(api.post("/api/v1/namespaces/nowhere/configmaps", config_map("x")), 404, "NotFound",
           "create in a namespace that is not there", 'namespaces "nowhere" not found')
    a = api.get("/api/v1/namespaces/nowhere/configmaps")
    t.ok(a.status == 200 and a.json["items"] == [], "a list there is empty", a)


def conflicts():
    t.eq(api.post(CM, config_map("c")).status, 201, "create is 201")
    s = status(api.post(CM, config_map("c")), 409, "AlreadyExists", "create again", 'configmaps "c" already exists')
    t.eq(s.get("details"), {"name": "c", "kind": "configmaps"}, "says which")
    rv = api.get(CM + "/c").rv
    t.eq(api.put(CM + "/c", config_map("c", {"a": "1"}, resourceVersion=rv)).status, 200, "update with its version")
    s = status(api.put(CM + "/c", config_map("c", {"a": "2"}, resourceVersion=rv)), 409, "Conflict",
               "update with an old one", 'Operation cannot be fulfilled on configmaps "c": the object has been modified')
    t.eq(s.get("details"), {"name": "c", "kind": "configmaps"}, "says which")
    status(api.put(CM + "/c", config_map("c", uid="not-this-one")), 409, "Conflict", "update with another uid",
           "Precondition failed: UID in precondition: not-this-one, UID in object meta: ")
    status(api.delete(CM + "/c", {"preconditions": {"uid": "other"}}), 409, "Conflict", "delete with another uid")
    status(api.delete(CM + "/c", {"preconditions": {"resourceVersion": rv}}), 409, "Conflict", "delete of an old version")
    status(api.patch(CM + "/c", {"metadata": {"resourceVersion": rv}, "data": {"z": "1"}}), 409, "Conflict",
           "patch of an old version")
    status(api.put(CM + "/c", config_map("other")), 400, "BadRequest", "another name in the body",
           "the name of the object (other) does not match the name on the URL (c)")
    status(api.post(CM, config_map("x", namespace="kube-system")), 400, "BadRequest", "another namespace in the body",
           "the namespace of the provided object does not match the namespace sent on the request")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    t.eq(api.post(path, lease).status, 201, "a Lease")
    a = api.put(path + "/l", lease)
    t.ok(a.status in (409, 422), "is not updated without a version", a)


def invalid():
    def causes(a, name):
        s = status(a, 422, "Invalid", name)
        return {(c.get("field", ""), c["reason"]): c["message"] for c in s.get("details", {}).get("causes", [])}, s

    c, s = causes(api.post(CM, config_map("Not_Valid")), "a bad name")
    t.ok(("metadata.name", "FieldValueInvalid") in c, "cause: metadata.name", c)
    t.ok(s.get("details", {}).get("kind") == "ConfigMap" and s["message"].startswith(
        'ConfigMap "Not_Valid" is invalid: metadata.name: Invalid value: "Not_Valid": '), "words and kind", s)
    c, s = causes(api.post(DEP, deployment("d", replicas=-1, selector={"matchLabels": {"x": "y"}})), "several causes")
    t.ok(("spec.replicas", "FieldValueInvalid") in c and ("spec.template.metadata.labels", "FieldValueInvalid") in c,
         "each with its field", c)
    t.ok("is invalid: [" in s.get("message", "") and s["details"]["group"] == "apps", "in one message", s)
    c, _ = causes(api.post(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}), "no name")
    t.ok(("metadata.name", "FieldValueRequired") in c, "is required", c)
    d1 = deployment("d1")
    t.eq(api.post(DEP, d1).status, 201, "a Deployment")
    d1["spec"]["selector"] = {"matchLabels": {"n": "ew"}}
    d1["spec"]["template"]["metadata"]["labels"] = {"n": "ew"}
    c, s = causes(api.put(DEP + "/d1", d1), "its selector never changes")
    t.ok("field is immutable" in str(c), "as is said", c)
    svc = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
           "spec": {"type": "Sometimes", "ports": [{"port": 70000}]}}
    c, _ = causes(api.post("/api/v1/namespaces/default/services", svc), "a Service")
    t.ok(("spec.type", "FieldValueNotSupported") in c and ("spec.ports[0].port", "FieldValueInvalid") in c, "causes", c)
    s = status(api.patch(CM + "/c", [{"op": "test", "path": "/data/a", "value": "x"}], "json"), 422, "Invalid",
               "a JSON patch whose test fails")
    status(api.patch(CM + "/c", [{"op": "remove", "path": "/data/none"}], "json"), 422, "Invalid",
           "removes what is not there")
    big = config_map("big", {"k": "x" * (1024 * 1024 + 10)})
    c, _ = causes(api.post(CM, big), "a ConfigMap above 1 MiB")
    t.ok("Too long" in str(c) or "TooLong" in str(c), "is too long", c)


def malformed():
    status(api.post(CM, "{"), 400, "BadRequest", "no JSON")
    status(api.post(CM, ""), 400, "BadRequest", "no body")
    status(api.post(CM, "[]"), 400, "BadRequest", "an array")
    status(api.post(CM, "null"), 422, "Invalid", "null is an object without members")
    status(api.post(CM, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}} trailing'), 400, "BadRequest",
           "text behind the object")
    status(api.post(CM, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}), 400, "BadRequest",
           "another kind", "ConfigMap")
    status(api.post(CM, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}), 400, "BadRequest",
           "another version")
    for what, data in (("a number for text", {"a": 1}), ("an object for text", {"a": {}}), ("a list for a map", ["a"])):
        status(api.post(CM, config_map("x", data)), 400, "BadRequest", what)
    status(api.post(DEP, deployment("x", replicas="3")), 400, "BadRequest", "text for a number", "spec.replicas")
    status(api.post(DEP, deployment("x", replicas=1.5)), 400, "BadRequest", "a fraction for an integer")
    status(api.post(DEP, deployment("x", replicas=3000000000)), 400, "BadRequest", "beyond 32 bits")
    cpu = deployment("x")
    cpu["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "lots"}}
    status(api.post(DEP, cpu), 400, "BadRequest", "no quantity", "quantities must match")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "%%%"}}
    status(api.post("/api/v1/namespaces/default/secrets", secret), 400, "BadRequest", "no base64", "illegal base64 data")
    status(api.patch(CM + "/c", "[", "json"), 400, "BadRequest", "a patch that is no JSON")
    status(api.patch(CM + "/c", [{"op": "fly", "path": "/data"}], "json"), 422, "Invalid", "an operation unknown")
    status(api.patch(CM + "/c", "[]", "merge"), 400, "BadRequest", "a merge patch that is a list")
    a = api.patch(CM + "/c", {"data": {"a": {"b": 1}}})
    t.ok(a.status in (400, 422), "a patch of the wrong type", a)
    for q in ("labelSelector=a%3D%3D%3Db", "labelSelector=a+in+(b", "labelSelector=!!a", "fieldSelector=data.a%3Db",
              "fieldSelector=metadata.name", "limit=x", "resourceVersion=abc", "continue=garbage", "timeoutSeconds=x",
              "resourceVersionMatch=Exact", "resourceVersionMatch=Sometimes&resourceVersion=1"):
        a = api.get(CM + "?" + q)
        t.ok(a.status in (400, 422) and a.json["reason"] in ("BadRequest", "Invalid"), "query " + q, a)
    for q in ("dryRun=Some", "fieldValidation=Maybe", "fieldManager=" + "m" * 129, "fieldManager=a%0Ab"):
        a = api.post(CM + "?" + q, config_map("q"))
        t.ok(a.status in (400, 422), "query " + q[:30], a)


def strict():
    extra = deployment("strict", foo=1)
    extra["spec"]["template"]["spec"]["contrainers"] = []
    extra["bar"] = 2
    s = status(api.post(DEP + "?fieldValidation=Strict", extra), 400, "BadRequest", "unknown fields, strictly",
               "strict decoding error: ", 'unknown field "bar"', 'unknown field "spec.foo"',
               'unknown field "spec.template.spec.contrainers"')
    double = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup"},"data":{"a":"1","a":"2"}}'
    status(api.post(CM + "?fieldValidation=Strict", double), 400, "BadRequest", "a field twice", 'duplicate field "data.a"')
    a = api.post(DEP + "?fieldValidation=Warn", extra)
    w = a.headers.get_all("Warning") or []
    t.ok(a.status == 201 and any('unknown field \\"spec.foo\\"' in x and x.startswith("299 - ") for x in w),
         "as warnings", "%s %s" % (a, w))
    t.ok("foo" not in a.json["spec"], "and dropped", a)
    api.delete(DEP + "/strict")
    a = api.post(DEP + "?fieldValidation=Ignore", extra)
    t.ok(a.status == 201 and not a.headers.get_all("Warning"), "or not looked at", a)
    api.delete(DEP + "/strict")
    a = api.post(DEP, extra)
    t.ok(a.status == 201 and a.headers.get_all("Warning"), "the default is to warn", a)
    a = api.patch(DEP + "/strict?fieldValidation=Strict", {"spec": {"foo": 2}})
    t.ok(a.status in (400, 422) and 'unknown field "spec.foo"' in a.json["message"], "in a patch too", a)
    a = api.post(DEP + "?fieldValidation=Strict", deployment("case", Replicas=2))
    status(a, 400, "BadRequest", "in names of fields", 'unknown field "spec.Replicas"')


def methods():
    status(api.post(CM + "/c", config_map("c")), 405, "MethodNotAllowed", "POST to an object")
    status(api.put(CM, config_map("c")), 405, "MethodNotAllowed", "PUT to a collection")
    status(api("PATCH", CM, "{}", type="application/merge-patch+json"), 405, "MethodNotAllowed", "PATCH to a collection")
    a = api("BREW", CM)
    t.ok(a.status in (405, 501, 400), "an unknown method", a)
    status(api.get("/api/v1/namespaces/default/bindings"), 405, "MethodNotAllowed", "GET where there is only POST")
    status(api.post("/api/v1/configmaps", config_map("c")), 405, "MethodNotAllowed", "create without a namespace")
    status(api.get(CM, {"Accept": "image/png"}), 406, "NotAcceptable", "an answer that we cannot give")
    t.eq(api.get(CM, {"Accept": "image/png, */*;q=0.1"}).status, 200, "unless anything will do")
    status(api.post(CM, "x", type="text/plain"), 415, "UnsupportedMediaType", "a body that we cannot read")
    status(api("PATCH", CM + "/c", "{}", type="application/json"), 415, "UnsupportedMediaType", "a patch of no known type")
    status(api("PATCH", CM + "/c?fieldManager=m", "{}", type="application/apply-patch+cbor"), 415, "UnsupportedMediaType", "apply in CBOR")
    a = api.post(CM, b"x" * (3 * 1024 * 1024 + 10))
    status(a, 413, "RequestEntityTooLarge", "a body above 3 MiB")
    t.eq(api.get(CM + "/c").status, 200, "the next request is served")


def versions():
    rv = api.get(CM).rv
    far = str(int(rv) + 1000000)
    answers = {}
    paths = (CM + "?resourceVersion=" + far, CM + "/c?resourceVersion=" + far, CM + "?watch=1&resourceVersion=" + far)
    ts, _ = in_threads(3, lambda i: answers.update({i: Api(d).get(paths[i])}))    # each waits for a while first
    for x in ts:
        x.join()
    s = status(answers[0], 504, "Timeout", "a version of the future", "Too large resource version")
    det = s.get("details", {})
    t.ok(det.get("causes") == [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}] and
         det.get("retryAfterSeconds") == 1, "with its cause", s)
    status(answers[1], 504, "Timeout", "of one object")
    status(answers[2], 504, "Timeout", "of a watch")
    t.eq(api.get(CM + "?resourceVersion=" + rv).status, 200, "not older than now")
    a = api.get(CM + "?resourceVersion=1&resourceVersionMatch=Exact")
    t.ok(a.status in (200, 410), "the first version, exactly", a)


def terminating():
    ns = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ending"}}
    t.eq(api.post("/api/v1/namespaces", ns).status, 201, "a namespace")
    a = api.post("/api/v1/namespaces/ending/configmaps", config_map("early"))
    t.eq(a.status, 201, "takes objects")
    a = api.delete("/api/v1/namespaces/ending")
    t.ok(a.status == 200 and a.json["status"]["phase"] == "Terminating" and a.json["metadata"]["deletionTimestamp"],
         "is ending", a)
    s = status(api.post("/api/v1/namespaces/ending/configmaps", config_map("late")), 403, "Forbidden", "takes none then",
               'configmaps "late" is forbidden: unable to create new content in namespace ending because it is being terminated')
    c = s.get("details", {}).get("causes", [{}])
    t.eq(c[0].get("reason"), "NamespaceTerminating", "with its cause")
    t.eq(api.patch("/api/v1/namespaces/ending/configmaps/early", {"data": {"a": "1"}}).status, 200, "changes still go")
    t.eq(api.delete("/api/v1/namespaces/ending/configmaps/early").status, 200, "and deletions")
    a = api.delete("/api/v1/namespaces/ending")
    t.ok(a.status in (200, 409), "ending twice", a)
    ns = api.get("/api/v1/namespaces/ending").json
    ns["spec"]["finalizers"] = []
    a = api.put("/api/v1/namespaces/ending/finalize", ns)
    t.eq(a.status, 200, "finalize")
    status(api.get("/api/v1/namespaces/ending"), 404, "NotFound", "gone")
    status(api.delete("/api/v1/namespaces/kube-system"), 403, "Forbidden", "a namespace of the system stays",
           "this namespace may not be deleted")


for g in (missing, conflicts, invalid, malformed, strict, methods, versions, terminating):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
