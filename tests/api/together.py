#!/usr/bin/env -S python3 -B
# run: timeout=150
"""What no part is tested for alone: webhooks, quotas, roles, definitions, apply and bindings over the same objects, and after kill -9."""
import base64
import json

from rig import CM, Api, Daemon, Tap, config_map, group, hook_server, until

t = Tap()
d = Daemon(modules=("controllers/resourcequota", "controllers/namespace", "controllers/garbage-collector")).start()
api = Api(d)
G = "/apis/admissionregistration.k8s.io/v1/"
RB = "/apis/rbac.authorization.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEF = "/api/v1/namespaces/default"
W = "/apis/example.com/%s/namespaces/%s/widgets"
d.pki.issue("hook", "/CN=hook", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n")
CA = base64.b64encode(open(d.pki.ca, "rb").read()).decode()


def behave(path, review):
    q = review["request"]
    r = {"uid": q["uid"], "allowed": True}
    if path == "/deny":
        r.update(allowed=False, status={"message": "no", "code": 403})
    elif path.startswith("/patch/"):
        r.update(patchType="JSONPatch", patch=path[len("/patch/"):])
    return 200, {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": r}, {}


srv = hook_server(d, behave)


def patch(*ops):
    return "/patch/" + base64.urlsafe_b64encode(json.dumps(ops).encode()).decode().replace("-", "+").replace("_", "/")


def add(path, value):
    return {"op": "add", "path": path, "value": value}


class Asked:
    """One webhook of a kind, asked about RULE at PATH, for as long as the block; seen() is what it was asked."""

    def __init__(self, kind, path, groups, resources, versions="v1", ops="*", **more):
        self.at = G + kind.lower() + "webhookconfigurations"
        self.name = "test-" + kind.lower()
        self.path = path
        self.body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind + "WebhookConfiguration",
                     "metadata": {"name": self.name}, "webhooks": [dict({
                         "name": "a.hook.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                         "clientConfig": {"url": "https://127.0.0.1:%d%s" % (srv.server_port, path), "caBundle": CA},
                         "rules": [{"operations": ops.split(","), "apiGroups": groups.split(","), "apiVersions": versions.split(","),
                                    "resources": resources.split(",")}]}, **more)]}

    def __enter__(self):
        a = api.post(self.at, self.body)
        assert a.status == 201, a
        with srv.lock:
            del srv.seen[:]
        return self

    def __exit__(self, *args):
        api.delete(self.at + "/" + self.name)

    def seen(self):
        with srv.lock:
            return [r["request"] for p, r in srv.seen if p.split("?")[0] == self.path]


def says(a, code, message, name):
    t.ok(a.status == code and message in a.json.get("message", ""), name, "%s\nwant %d %s" % (a, code, message))


def namespace(name):
    a = api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert a.status == 201, a
    a = api.post("/api/v1/namespaces/%s/serviceaccounts" % name, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    assert a.status == 201, a
    return "/api/v1/namespaces/" + name


def quota(n, hard):
    a = api.post(n + "/resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}})
    assert a.status == 201, a
    until("the quota is counted", lambda: set(api.get(n + "/resourcequotas/q").json.get("status", {}).get("used", {})) >= set(hard))


def used(n, what):
    return api.get(n + "/resourcequotas/q").json["status"]["used"][what]


def pod(name, requests=None, **meta):
    c = {"name": "c", "image": "i"}
    if requests:
        c["resources"] = {"requests": requests}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": dict({"name": name}, **meta), "spec": {"containers": [c]}}


def widget(name, v="v1", **spec):
    m = {"generateName": name} if name.endswith("-") else {"name": name}
    return {"apiVersion": "example.com/" + v, "kind": "Widget", "metadata": m, "spec": dict({"color": "red"}, **spec)}


def define():
    def version(name, storage):
        return {"name": name, "served": True, "storage": storage, "subresources": {
            "status": {}, "scale": {"specReplicasPath": ".spec.size.n", "statusReplicasPath": ".status.n"}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["color"], "properties": {
                    "color": {"type": "string", "enum": ["red", "green"]}, "n": {"type": "integer", "default": 7},
                    "size": {"type": "object", "properties": {"n": {"type": "integer"}}}}},
                "status": {"type": "object", "properties": {"n": {"type": "integer"}, "phase": {"type": "string"}}}}}}}
    a = api.post(CRDS, {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
                        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                                 "versions": [version("v1", True), version("v1beta1", False)]}})
    t.eq(a.status, 201, "a definition")
    until("it is served", lambda: api.get(W % ("v1", "default")).status == 200)


def custom_hooks():
    with Asked("Mutating", patch(add("/spec/color", "green"), add("/spec/nix", 1), add("/metadata/labels", {"a": "b"})), "example.com", "widgets") as h:
        a = api.post(W % ("v1", "default"), widget("m"))
        t.eq((a.status, a.json.get("spec"), a.json["metadata"].get("labels")), (201, {"color": "green", "n": 7}, {"a": "b"}),
             "a custom object is changed, pruned and defaulted")
        t.eq(api.get(W % ("v1", "default") + "/m").json["spec"], {"color": "green", "n": 7}, "stored so")
        a = api.post(W % ("v1beta1", "default"), widget("m2", "v1beta1"))
        q = h.seen()[-1]
        t.eq((a.status, a.json["apiVersion"], a.json["spec"]["color"], q["kind"], q["requestKind"], q["object"]["apiVersion"]),
             (201, "example.com/v1beta1", "green", {"group": "example.com", "version": "v1", "kind": "Widget"},
              {"group": "example.com", "version": "v1beta1", "kind": "Widget"}, "example.com/v1"), "asked in the version of its rule")
    with Asked("Validating", "/deny", "example.com", "widgets", versions="v1beta1") as h:
        says(api.post(W % ("v1", "default"), widget("v")), 403, 'admission webhook "a.hook.example" denied the request: no',
             "nobody gets past a rule by another version")
        t.eq((h.seen()[0]["object"]["apiVersion"], h.seen()[0]["resource"]["version"]), ("example.com/v1beta1", "v1beta1"), "which it sees")
        says(api.patch(W % ("v1beta1", "default") + "/m", {"spec": {"n": 8}}), 403, "denied", "nor by a patch")
        q = h.seen()[-1]
        t.eq((q["oldObject"]["spec"]["n"], q["object"]["spec"]["n"], q["oldObject"]["apiVersion"]), (7, 8, "example.com/v1beta1"), "old and new")
        says(api.delete(W % ("v1", "default") + "/m"), 403, "denied", "nor by a delete")
        says(api.delete(W % ("v1", "default")), 403, "denied", "nor by deleting all")
        t.eq(api.get(W % ("v1", "default") + "/m").status, 200, "it is there")
    with Asked("Mutating", patch(add("/spec/color", "blue")), "*", "*/*", namespaceSelector={"matchLabels": {
            "kubernetes.io/metadata.name": "default"}}):
        a = api.post(W % ("v1", "default"), widget("x"))
        t.ok(a.status == 422 and a.json["details"]["causes"][0]["field"] == "spec.color", "what they make of it is checked", a)
    api.put(W % ("v1", "default") + "/m/status", dict(api.get(W % ("v1", "default") + "/m").json, status={"phase": "new"}))
    with Asked("Mutating", patch(add("/status", {"phase": "theirs"}), add("/spec/color", "red")), "example.com", "widgets,widgets/status"):
        a = api.patch(W % ("v1", "default") + "/m", {"spec": {"n": 1}})
        t.eq((a.status, a.json.get("status"), a.json["spec"]["color"]), (200, {"phase": "new"}, "red"), "a write of the spec writes no status")
        a = api.patch(W % ("v1", "default") + "/m/status", {"status": {"phase": "mine"}})
        t.eq((a.status, a.json["status"]["phase"], a.json["spec"]["n"]), (200, "theirs", 1), "a write of the status does")
        api.patch(W % ("v1", "default") + "/m", {"spec": {"color": "green"}})
        before = api.get(W % ("v1", "default") + "/m").json["spec"]
        t.eq(api.patch(W % ("v1", "default") + "/m/status", {"status": {"n": 4}}).json["spec"], before, "and nothing else")
    a = api.patch(W % ("v1", "default") + "/m/scale", {"spec": {"replicas": 3}})
    t.eq((a.status, a.json["spec"].get("replicas"), api.get(W % ("v1", "default") + "/m").json["spec"]["size"]), (200, 3, {"n": 3}),
         "scale by a longer path")


def custom_quota():
    n, w = namespace("cq"), W % ("v1", "cq")
    quota(n, {"count/widgets.example.com": "2"})
    t.eq(api.post(w, widget("a")).status, 201, "one custom object")
    t.eq(used(n, "count/widgets.example.com"), "1", "is charged")
    a = api.post(w + "?dryRun=All", widget("b"))
    t.eq((a.status, used(n, "count/widgets.example.com")), (201, "1"), "a dry run is not")
    t.eq(api.post(W % ("v1beta1", "cq"), widget("g-", "v1beta1")).status, 201, "another, by another version, with a generated name")
    want = 'is forbidden: exceeded quota: q, requested: count/widgets.example.com=1, used: count/widgets.example.com=2, limited: count/widgets.example.com=2'
    says(api.post(w, widget("c")), 403, 'widgets.example.com "c" ' + want, "the third is one too many")
    says(api.post(w + "?dryRun=All", widget("c")), 403, want, "in a dry run too")
    says(api.patch(w + "/c?fieldManager=f", widget("c"), kind="apply"), 403, want, "applied too")
    t.eq(api.patch(w + "/a", {"spec": {"n": 2}}).status, 200, "changes cost nothing")
    api.delete(w + "/a")
    until("it is counted off", lambda: used(n, "count/widgets.example.com") == "1")
    t.eq(api.patch(w + "/c?fieldManager=f", widget("c"), kind="apply").status, 201, "one gone makes room")


def roles():
    d.pki.client("ann", "/O=dev/CN=ann")
    ann, w = Api(d, "ann"), W % ("v1", "default")
    api.post(w, widget("one"))
    t.eq(ann.get(w).status, 403, "nobody has given ann anything")
    api.post(RB + "/namespaces/default/rolebindings", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "ann-views"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]})
    t.eq((ann.get(CM).status, ann.get(w).status), (200, 403), "view has no custom objects")
    api.post(RB + "/clusterroles", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "widgets-view", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get", "list", "watch"]},
                  {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["update", "patch"], "resourceNames": ["one"]}]})
    until("view is filled", lambda: ann.get(w).status == 200)
    t.eq((ann.patch(w + "/one", {"spec": {"n": 9}}).status, ann.patch(w + "/m", {"spec": {"n": 9}}).status,
          ann.patch(w + "/one/status", {"status": {"n": 9}}).status, ann.post(w, widget("two")).status), (200, 403, 403, 403),
         "one name, not its status, nothing new")
    says(ann.patch(w + "/two?fieldManager=f", widget("two"), kind="apply"), 403, 'cannot patch resource "widgets"', "nor applied")
    says(ann.patch("/apis/example.com/v1beta1/namespaces/default/widgets/two", {}), 403,
         'widgets.example.com "two" is forbidden: User "ann" cannot patch resource "widgets" in API group "example.com" in the namespace "default"',
         "nor by another version")
    says(ann.post(DEF + "/pods/p/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}}), 403,
         'cannot create resource "pods/binding"', "nor may ann bind pods")
    ann.close()


def order():
    n = namespace("order")
    quota(n, {"pods": "1", "requests.cpu": "1"})
    says(api.post(n + "/pods", pod("p")), 403, "failed quota: q: must specify requests.cpu for: c", "a pod that says too little")
    with Asked("Mutating", patch(add("/spec/containers/0/resources", {"requests": {"cpu": "1"}})), "", "pods", ops="CREATE"):
        a = api.post(n + "/pods?dryRun=All", pod("p"))
        t.eq((a.status, used(n, "pods")), (201, "0"), "what a webhook says for it counts; dry")
        with Asked("Validating", "/deny", "", "pods") as v:
            says(api.post(n + "/pods", pod("p")), 403, "denied the request: no", "who is refused")
            t.eq((used(n, "pods"), v.seen()[0]["object"]["spec"]["containers"][0]["resources"]["requests"]["cpu"], v.seen()[0]["dryRun"]),
                 ("0", "1", False), "costs nothing, and the last word is about what was made of it")
        t.eq(api.post(n + "/pods", pod("p")).status, 201, "in earnest")
        with Asked("Validating", "/ok", "", "pods") as v:
            says(api.post(n + "/pods", pod("p2")), 403, "exceeded quota: q, requested: pods=1,requests.cpu=1, used: pods=1,requests.cpu=1", "the quota")
            t.eq(len(v.seen()), 1, "comes last")
    with Asked("Mutating", patch(add("/spec/containers/0/image", "")), "", "pods", ops="CREATE"), \
            Asked("Validating", "/ok", "", "pods") as v:
        t.eq((api.post(n + "/pods", pod("p3")).status, len(v.seen())), (422, 0), "the schema before those that only look")
    t.eq((used(n, "pods"), used(n, "requests.cpu")), ("1", "1"), "and only what is there is charged")


def nodes():
    d.pki.client("n1", "/O=system:nodes/CN=system:node:n1")
    n1, n = Api(d, "n1"), namespace("nodes")
    uid = n1.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}).json["metadata"]["uid"]
    quota(n, {"pods": "1"})
    p = pod("a", annotations={"kubernetes.io/config.mirror": "x"},
            ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}])
    p["spec"]["nodeName"] = "n1"
    says(n1.post(n + "/pods", pod("z")), 403, "can only create mirror pods", "a node is restricted")
    t.eq(used(n, "pods"), "0", "before anything is charged")
    t.eq((n1.post(n + "/pods", p).status, used(n, "pods")), (201, "1"), "its mirror pods are charged")
    p["metadata"]["name"] = "b"
    says(n1.post(n + "/pods", p), 403, "exceeded quota: q", "and refused")
    n1.close()


def applied():
    cm = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": "v"}}
    with Asked("Mutating", patch(add("/data/theirs", "1"), add("/metadata/labels", {"a": "b"})), "", "configmaps"):
        a = api.patch(CM + "/applied?fieldManager=me", cm, kind="apply")
        t.eq((a.status, a.json["data"]), (201, {"k": "v", "theirs": "1"}), "an apply is changed")
        mf = a.json["metadata"]["managedFields"]
        t.eq([(m["manager"], m["operation"], m["fieldsV1"]) for m in mf], [("me", "Apply", {"f:data": {"f:k": {}}})],
             "who applies owns what is in the configuration")
        b = api.patch(CM + "/applied?fieldManager=me", cm, kind="apply")
        t.eq((b.status, b.rv), (200, a.rv), "the same again is no change")
        b = api.patch(CM + "/applied?fieldManager=me", dict(cm, data={"l": "w"}), kind="apply")
        t.eq((b.status, b.json["data"]), (200, {"l": "w", "theirs": "1"}), "what is left out goes, theirs stays")
    w = W % ("v1", "default")
    with Asked("Mutating", patch(add("/spec/color", "green")), "example.com", "widgets"):
        a = api.patch(w + "/applied?fieldManager=me", {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "applied"}, "spec": {"color": "red"}}, kind="apply")
        t.eq((a.status, a.json["spec"]["color"]), (201, "green"), "an applied custom object too")
        b = api.patch(w + "/applied?fieldManager=me", {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "applied"}, "spec": {"color": "red"}}, kind="apply")
        t.eq((b.status, b.rv), (200, a.rv), "and again")


def names():
    with Asked("Mutating", patch(add("/data", {"seen": "yes"})), "", "configmaps") as m, Asked("Validating", "/ok", "", "configmaps") as v:
        a = api.post(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}})
        q = m.seen()[0]
        t.eq((a.status, q.get("name"), q["object"]["metadata"].get("name"), q["object"]["metadata"]["generateName"]), (201, None, None, "gen-"),
             "who changes an object sees no name that is not made yet")
        q = v.seen()[0]
        t.eq((q["name"], q["object"]["metadata"]["name"], a.json["data"]), (a.json["metadata"]["name"],) * 2 + ({"seen": "yes"},),
             "who judges it sees the name it gets")


def bodies():
    api.post(DEF + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    for name in ("b1", "b2", "b3"):
        t.eq(api.post(DEF + "/pods", pod(name)).status, 201, "a pod " + name)

    def bind(name, node="n1"):
        return api.post(DEF + "/pods/%s/binding" % name, {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}})

    def node(name):
        return api.get(DEF + "/pods/" + name).json["spec"].get("nodeName")
    with Asked("Validating", "/deny", "", "pods/binding") as h:
        says(bind("b1"), 403, 'admission webhook "a.hook.example" denied the request: no', "a binding is refused")
        q = h.seen()[0]
        t.eq((q["kind"], q["resource"]["resource"], q["subResource"], q["operation"], q["name"], q["object"]["target"]["name"], q["oldObject"]),
             ({"group": "", "version": "v1", "kind": "Binding"}, "pods", "binding", "CREATE", "b1", "n1", None), "it was about the Binding")
        t.eq(node("b1"), None, "and the pod has no node")
    with Asked("Validating", "/deny", "", "pods"):
        t.eq((bind("b1").status, node("b1")), (201, "n1"), "who asks about pods is not asked about bindings")
    with Asked("Mutating", patch(add("/target/name", "n2")), "", "pods/*") as h:
        t.eq((bind("b2").status, node("b2")), (201, "n2"), "a binding is changed")
    with Asked("Validating", "/deny", "", "bindings"):
        a = api.post(DEF + "/bindings", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "b3"}, "target": {"name": "n1"}})
        says(a, 403, "denied", "by the other way too")
    ev = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b3"}}
    with Asked("Validating", "/deny", "*", "pods/eviction") as h:
        says(api.post(DEF + "/pods/b3/eviction", ev), 403, "denied", "an eviction is refused")
        t.eq(h.seen()[0]["kind"], {"group": "policy", "version": "v1", "kind": "Eviction"}, "it was about the Eviction")
    with Asked("Validating", "/deny", "*", "pods"):
        t.eq(api.post(DEF + "/pods/b3/eviction", ev).status, 201, "who asks about pods is not asked about evictions")
    with Asked("Validating", "/deny", "*", "serviceaccounts/token"):
        says(api.post(DEF + "/serviceaccounts/default/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}), 403,
             "denied", "a token is refused")


def definitions_asked():
    o = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gears.example.com"},
         "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "gears", "kind": "Gear"}, "versions": [{
             "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                 "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
    gears = "/apis/example.com/v1/gears"
    with Asked("Mutating", patch(add("/metadata/annotations", {"a": "b"})), "apiextensions.k8s.io", "*/*") as h:
        t.eq(api.post(CRDS, o).status, 201, "a definition that webhooks are asked about")
        until("it is served", lambda: api.get(gears).status == 200)
        t.ok([q for q in h.seen() if q.get("subResource") == "status" and q["userInfo"]["username"] == "system:apiserver"],
             "also when the server writes its status")
    for i in range(3):
        api.post(gears, {"apiVersion": "example.com/v1", "kind": "Gear", "metadata": {"name": "g%d" % i}, "teeth": i})
    with Asked("Validating", "/deny", "example.com", "gears", ops="DELETE") as h:
        t.eq(api.delete(CRDS + "/gears.example.com").status, 200, "its end")
        until("its objects are to go", lambda: len(h.seen()) >= 3)
        t.eq((api.get(gears + "/g2").status, api.get(CRDS + "/gears.example.com").status), (200, 200), "waits for those that may not go")
    until("all is gone", lambda: api.get(CRDS + "/gears.example.com").status == 404)
    t.eq(api.get(gears).status, 404, "and comes")


def the_end():
    n, w = namespace("end"), W % ("v1", "end")
    owner = api.post(w, widget("owner")).json["metadata"]["uid"]
    api.post(n + "/configmaps", config_map("owned", ownerReferences=[{"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner}]))
    with Asked("Validating", "/deny", "example.com", "widgets", ops="DELETE") as h:
        says(api.delete(w + "/owner"), 403, "denied", "an owner that may not go")
        t.eq(api.get(n + "/configmaps/owned").status, 200, "keeps what it owns")
        quota(n, {"count/widgets.example.com": "1"})
        api.delete(n)
        until("the namespace's controller asks", lambda: [q for q in h.seen() if q["userInfo"]["username"].startswith("system:")])
        t.eq((api.get(n).json["status"]["phase"], api.get(w + "/owner").status), ("Terminating", 200), "nor with its namespace")
        says(api.post(w, widget("late")), 403, "because it is being terminated", "where nothing is made any more")
    until("the namespace is gone", lambda: api.get(n).status == 404, 60)
    t.ok(True, "until they let it")
    n, w = namespace("end2"), W % ("v1", "end2")
    owner = api.post(w, widget("owner")).json["metadata"]["uid"]
    api.post(n + "/configmaps", config_map("owned", ownerReferences=[{"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner}]))
    quota(n, {"count/configmaps": "1"})
    t.eq(api.delete(w + "/owner").status, 200, "an owner that may")
    until("what it owned is gone", lambda: api.get(n + "/configmaps/owned").status == 404)
    until("and is counted off", lambda: used(n, "count/configmaps") == "0")
    t.ok(True, "takes it along")


def killed():
    n, w = namespace("kill"), W % ("v1", "kill")
    quota(n, {"count/widgets.example.com": "2", "count/configmaps": "1"})
    api.post(w, widget("a"))
    before = api.get(CRDS + "/widgets.example.com").json

    def simple(plural, kind):
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": plural + ".example.com"},
                "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": plural, "kind": kind}, "versions": [{
                    "name": "v1", "served": True, "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
    half = simple("halves", "Half")
    api.post(CRDS, simple("gone", "Gone"))
    until("it is served", lambda: api.get("/apis/example.com/v1/gone").status == 200)
    for i in range(40):
        api.post("/apis/example.com/v1/gone", {"apiVersion": "example.com/v1", "kind": "Gone", "metadata": {"name": "g%d" % i}})
    role = api.get(RB + "/clusterroles/view").json
    with Asked("Validating", "/deny", "", "secrets"):
        api.post(CRDS, half)
        api.delete(CRDS + "/gone.example.com")
        d.kill9()
        d.start()
        api.close()
        t.eq(api.get(CRDS + "/widgets.example.com").json, before, "the definition is as it was")
        t.eq(api.get(w + "/a").json["spec"]["color"], "red", "its objects are served from the first answer on")
        t.eq(used(n, "count/widgets.example.com"), "1", "the quota knows its use")
        t.eq(api.post(w, widget("b")).status, 201, "there is room for one")
        says(api.post(w, widget("c")), 403, "exceeded quota: q", "and no more")
        says(api.post(n + "/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}), 403, "denied", "webhooks are asked")
    until("a definition that was just made is served", lambda: api.get("/apis/example.com/v1/halves").status == 200)
    until("one that was going goes", lambda: api.get(CRDS + "/gone.example.com").status == 404)
    t.eq(api.post(CRDS, simple("gone", "Gone")).status, 201, "its name is free")
    until("it is served again", lambda: api.get("/apis/example.com/v1/gone").status == 200)
    t.eq(api.get("/apis/example.com/v1/gone").json["items"], [], "and has nothing left")
    api.delete(w + "/a")
    until("what goes is counted off", lambda: used(n, "count/widgets.example.com") == "1")
    t.eq(api.get(RB + "/clusterroles/view").json, role, "roles are as they were")
    ann = Api(d, "ann")
    t.eq((ann.get(W % ("v1", "default")).status, ann.post(W % ("v1", "default"), widget("q")).status), (200, 403), "and so are rights")
    ann.close()


for g in (define, custom_hooks, custom_quota, roles, order, nodes, applied, names, bodies, definitions_asked, the_end, killed):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
