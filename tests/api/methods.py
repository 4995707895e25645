#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Which methods are served where: 405 where a path has others, 404 where it has none, and neither before who asks may."""
from rig import CM, Api, Daemon, Tap, config_map, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
N = "/api/v1/namespaces/default"
AUTH = "/apis/authorization.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
X = "/apis/x.example/v1"
WIDGETS = X + "/namespaces/default/widgets"
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE BREW".split()
NOT_HERE = (405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})
NOTHING = (404, "NotFound", "the server could not find the requested resource", {})


def said(a):
    return (a.status, a.json["reason"], a.json["message"], a.json.get("details")) if a.raw else (a.status,)


def ask(method, path, who=api):
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    return who(method, path, body, type="application/merge-patch+json" if method == "PATCH" else None)


def refused(path, want, methods):
    """All of @methods are answered so; HEAD has no body."""
    got = {m: said(ask(m, path)) for m in methods}
    t.eq(got, {m: want[:1] if m == "HEAD" else want for m in methods}, "%d: %s" % (want[0], path))


def serves(path, served):
    refused(path, NOT_HERE, [m for m in METHODS if m not in served])
    for m in served:
        a = ask(m, path)
        t.ok(a.status != 405 and (a.status != 404 or said(a) != NOTHING), "%s %s" % (m, path), a)


def setting():
    api.post(N + "/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"schedulerName": "none", "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}}
    t.eq(api.post(N + "/pods", pod).status, 201, "a pod that is nowhere")
    t.eq(api.post("/api/v1/nodes", {"metadata": {"name": "n"}}).status, 201, "a node")
    for plural, scope, kind in (("widgets", "Namespaced", "Widget"), ("things", "Cluster", "Thing")):
        a = api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {"metadata": {"name": plural + ".x.example"}, "spec": {
            "group": "x.example", "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": [
                {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
        t.eq(a.status, 201, "a definition")
    until("both are served", lambda: api.get(WIDGETS).status == 200 and api.get(X + "/things").status == 200)
    t.eq(api.post(WIDGETS, {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "a"}}).status, 201, "a custom resource")


def streams():
    for part in ("exec", "attach", "portforward"):
        path = N + "/pods/p/" + part
        serves(path, ("GET", "POST"))
        refused(path + "?dryRun=All", NOT_HERE, ("PUT",))
        refused(path + "/more", NOTHING, ("GET", "POST", "PUT"))
        refused("/api/v1/pods/p/" + part, NOTHING, METHODS)
    serves(N + "/pods/p/log", ("GET",))
    refused(N + "/pods/p/log/more", NOTHING, ("GET", "PUT"))
    for path in (N + "/pods/p/proxy", N + "/services/s/proxy", "/api/v1/nodes/n/proxy"):
        serves(path + "/x", METHODS[:7])
    refused("/api/v1/pods/p/proxy/x", NOTHING, METHODS)
    a = api.post(N + "/pods/none/exec?command=x", {})
    t.eq(said(a), (404, "NotFound", 'pods "none" not found', {"name": "none", "kind": "pods"}), "which pod there is not")


def parts():
    for path, served in ((N + "/pods/p/binding", ("POST",)), (N + "/pods/p/eviction", ("POST",)), (N + "/serviceaccounts/default/token", ("POST",)),
                         (N + "/pods/p/status", ("GET", "PUT", "PATCH")), (N + "/pods/p/ephemeralcontainers", ("GET", "PUT", "PATCH")),
                         ("/api/v1/namespaces/default/finalize", ("PUT",)), ("/api/v1/nodes/n/status", ("GET", "PUT", "PATCH")),
                         ("/apis/apps/v1/namespaces/default/deployments/d/scale", ("GET", "PUT", "PATCH"))):
        serves(path, served)
        refused(path + "/more", NOTHING, METHODS)
    refused(CM + "/x/status", NOTHING, METHODS)


def things():
    serves(CM, ("GET", "POST", "DELETE"))
    serves(CM + "/x", ("GET", "PUT", "PATCH", "DELETE"))
    serves("/api/v1/configmaps", ("GET",))
    refused("/api/v1/configmaps/x", NOTHING, METHODS)
    serves("/api/v1/namespaces", ("GET", "POST"))
    serves("/api/v1/componentstatuses", ("GET",))
    serves(N + "/bindings", ("POST",))
    serves(AUTH + "/subjectaccessreviews", ("POST",))
    serves(AUTH + "/namespaces/default/localsubjectaccessreviews", ("POST",))
    for path in (N + "/bindings/x", "/api/v1/bindings", AUTH + "/subjectaccessreviews/x", AUTH + "/localsubjectaccessreviews", N + "/nodes", N + "/nodes/n"):
        refused(path, NOTHING, METHODS)


def watched():
    """Below watch/ there are watches and nothing else: nothing is made or deleted there."""
    api.post(CM, config_map("stays"))
    for path in ("/api/v1/watch/configmaps", "/api/v1/watch/namespaces/default/configmaps", "/api/v1/watch/namespaces/default/configmaps/stays"):
        refused(path, NOT_HERE, METHODS[1:])
    a = api.post("/api/v1/watch/namespaces/default/configmaps", config_map("made"))
    t.eq((said(a), api.get(CM + "/made").status, api.get(CM + "/stays").status), (NOT_HERE, 404, 200), "nothing has changed")
    for path in ("configmaps/x", "namespaces/default/pods/p/status", "namespaces/default/bindings", "componentstatuses"):
        refused("/api/v1/watch/" + path, NOTHING, METHODS)


def custom():
    def no(verb, plural):
        return (405, "MethodNotAllowed", '%s is not supported on resources of kind "%s.x.example"' % (verb, plural), {"group": "x.example", "kind": plural})

    for path, plural in ((WIDGETS, "widgets"), (X + "/things", "things")):
        refused(path, (400, "BadRequest", "name must be provided", None), ("PUT", "PATCH"))
        a = api("PATCH", path, b"{}", type="text/plain")
        t.eq(a.status, 415, "first its type is looked at")
        refused(path, no("", plural), ("OPTIONS", "BREW"))
        refused(path + "/a", no("", plural), ("OPTIONS",))
    refused(WIDGETS + "/a", no("create", "widgets"), ("POST",))
    for m, verb in (("POST", "create"), ("DELETE", "delete"), ("TRACE", "")):
        refused(WIDGETS + "/a/status", no(verb, "widgets"), (m,))
    refused(WIDGETS + "/a/scale", (404, "NotFound", 'widgets.x.example "a" not found', {"name": "a", "group": "x.example", "kind": "widgets"}), METHODS)
    for path in (WIDGETS, WIDGETS + "/a", X + "/widgets", WIDGETS + "/a/status"):
        a = api("HEAD", path)
        t.eq((a.status, a.raw), (200, b""), "HEAD is a get: " + path)
    refused(X + "/widgets", NOTHING, METHODS[2:])
    for path in (X + "/widgets/a", X + "/namespaces/default/things", X + "/namespaces/default/things/x"):
        refused(path, NOTHING, METHODS)


def rights():
    """Whoever comes by GET, as WebSockets do, needs both rights; what is no verb may do who may do all."""
    pod = N + "/pods/p/exec?command=x"
    may = 'pods "p" is forbidden: User "%s" cannot %s resource "pods/exec" in API group "" in the namespace "default"'
    details = {"name": "p", "kind": "pods"}
    for name, verbs in (("getter", ["get"]), ("maker", ["create"]), ("both", ["get", "create"]), ("all", ["*"])):
        api.post(RBAC + "/roles", {"metadata": {"name": name}, "rules": [
            {"apiGroups": [""], "resources": ["pods/exec", "pods/proxy", "configmaps"], "verbs": verbs}]})
        api.post(RBAC + "/rolebindings", {"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                                          "subjects": [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]})
        d.pki.client(name, "/CN=" + name)
    who = {name: Api(d, name) for name in ("getter", "maker", "both", "all")}
    t.eq(said(who["getter"].get(pod)), (403, "Forbidden", 'pods "p" is forbidden: ', details), "who may only get")
    t.eq(said(who["maker"].get(pod)), (403, "Forbidden", may % ("maker", "get"), details), "who may only create, by GET")
    t.eq(said(who["getter"].post(pod, {})), (403, "Forbidden", may % ("getter", "create"), details), "who may only get, by POST")
    for name, m in (("maker", "POST"), ("both", "GET"), ("both", "POST")):
        t.eq(said(ask(m, pod, who[name]))[2], "pod p does not have a host assigned", "%s by %s" % (name, m))
    t.eq(said(ask("PUT", pod, who["both"])), (403, "Forbidden", may % ("both", "update"), details), "who may not update learns no more")
    t.eq(said(ask("OPTIONS", pod, who["both"])), (403, "Forbidden", may % ("both", ""), details), "what is no verb is nobody's right")
    t.eq(ask("OPTIONS", N + "/pods/p/proxy/", who["getter"]).status, 403, "of proxies, too")
    t.eq(said(ask("OPTIONS", pod, who["all"])), NOT_HERE, "but of those who may do all")
    t.ok(ask("OPTIONS", N + "/pods/p/proxy/", who["all"]).status not in (403, 405), "and a proxy knows it")
    a = who["getter"].get(N + "/widgets/x")
    t.eq(said(a)[2], 'widgets "x" is forbidden: User "getter" cannot get resource "widgets" in API group "" in the namespace "default"', "what there is not")


for g in (setting, streams, parts, things, watched, custom, rights):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
