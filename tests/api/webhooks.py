#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Admission webhooks: a TLS server of our own is asked, changes, refuses, warns, is slow, is gone, redirects, and lies."""
import base64
import json
import threading

from oracle import TYPES
from rig import CM, FACTOR, Api, Daemon, Tap, config_map, free_port, group, hook_server, in_threads, until

t = Tap()
d = Daemon(params="log_requests = true;").start()
api = Api(d)
G = "/apis/admissionregistration.k8s.io/v1/"
d.pki.issue("hook", "/CN=hook", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:hook.default.svc\n")
d.pki.issue("other", "/CN=other", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:elsewhere\n")
CA = base64.b64encode(open(d.pki.ca, "rb").read()).decode()


def patch(*ops):
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(ops).encode()).decode()}


def add(key, value):
    return [{"op": "add", "path": "/data/" + key, "value": value}]


MEET = threading.Barrier(4)             # /meet: who waits there is answered when four do
asked, let_go = threading.Event(), threading.Event()    # /held: has been asked; may answer
over = threading.Event()                # /slow: answers when nobody waits any more


def behave(path, review):
    q = review["request"]
    r = {"uid": q["uid"], "allowed": True}
    v = review["apiVersion"]
    if path == "/deny":
        r.update(allowed=False, status={"message": "not today", "code": 403, "reason": "Forbidden"})
    elif path == "/three":
        r.update(patch({"op": "replace", "path": "/spec/replicas", "value": 3}))
    elif path == "/keep" and q["operation"] == "DELETE" and q["oldObject"]["metadata"]["name"] == "m1":
        r.update(allowed=False, status={"message": "not today", "code": 403, "reason": "Forbidden"})
    elif path == "/mute":
        r.update(allowed=False)
    elif path == "/label":
        r.update(patch(*add("a", "1")), warnings=["a is added"], auditAnnotations={"by": "a"})
    elif path == "/second":
        r.update(patch(*add("b", q["object"]["data"].get("a", "none"))))
    elif path == "/sees":
        r.update(patch({"op": "add", "path": "/metadata/annotations", "value": {"saw": ",".join(sorted(q["object"]["data"]))}}))
    elif path == "/rename":
        r.update(patch({"op": "add", "path": "/metadata/uid", "value": "x"}))
    elif path == "/broken":
        r.update(patch({"op": "remove", "path": "/nothing"}))
    elif path == "/uid":
        r["uid"] = "another"
    elif path == "/meet":
        MEET.wait(60)
    elif path == "/held":
        asked.set()
        let_go.wait(60)
    elif path == "/slow":
        over.wait(60)
    elif path == "/redirect":
        return 302, b"", {"Location": "https://127.0.0.1:%d/label" % srv.server_port}
    elif path == "/huge":
        return 200, b" " * (4 << 20), {}
    elif path == "/500":
        return 500, b"oh no", {}
    elif path == "/text":
        return 200, b"hello", {}
    return 200, {"kind": "AdmissionReview", "apiVersion": v, "response": r}, {}


def serve(name="hook"):
    return hook_server(d, behave, name)


srv = serve()
RULE = {"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


def hook(path, name="a.hook.example", server=None, **more):
    h = {"name": name, "clientConfig": {"url": "https://127.0.0.1:%d%s" % ((server or srv).server_port, path), "caBundle": CA},
         "rules": [RULE], "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    h.update(more)
    return h


class Configured:
    """Webhooks for as long as the block."""

    def __init__(self, kind, *hooks, name="test"):
        self.path = G + kind.lower() + "webhookconfigurations"
        self.body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind + "WebhookConfiguration",
                     "metadata": {"name": name}, "webhooks": list(hooks)}

    def __enter__(self):
        a = api.post(self.path, self.body)
        assert a.status == 201, a
        with srv.lock:
            del srv.seen[:]
        return a

    def __exit__(self, *args):
        api.delete(self.path + "/" + self.body["metadata"]["name"])


def says(a, code, message, name):
    t.ok(a.status == code and a.json.get("message") == message, name, "%s\nwant %d %s" % (a, code, message))


def kinds():
    a = api.post(G + "validatingwebhookconfigurations", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "d"},
        "webhooks": [hook("/ok")]})
    w = a.json["webhooks"][0]
    t.eq((a.status, w["failurePolicy"], w["matchPolicy"], w["namespaceSelector"], w["objectSelector"], w["timeoutSeconds"],
          w["rules"][0]["scope"]), (201, "Fail", "Equivalent", {}, {}, 10, "*"), "defaults")
    a = api.get(G + "validatingwebhookconfigurations", {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    t.eq(a.json["rows"][0]["cells"][:2], ["d", 1], "in a table")
    api.delete(G + "validatingwebhookconfigurations/d")
    a = api.post(G + "validatingwebhookconfigurations", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "d"},
        "webhooks": [hook("/ok", matchConditions=[{"name": "x", "expression": "true"}])]})
    t.ok(a.status == 201 and "matchConditions" in a.headers.get("Warning", ""), "conditions are not passed over in silence", a)
    api.delete(G + "validatingwebhookconfigurations/d")
    bad = hook("/ok", name="short", sideEffects="Some", timeoutSeconds=31, admissionReviewVersions=[])
    bad["clientConfig"] = {"url": "http://x"}
    bad["rules"] = [dict(RULE, operations=["LOOK"], apiGroups=["*", "x"])]
    a = api.post(G + "mutatingwebhookconfigurations", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "d"},
        "webhooks": [bad]})
    t.eq((a.status, sorted(c["field"] for c in a.json["details"]["causes"])), (422, sorted([
        "webhooks[0].name", "webhooks[0].sideEffects", "webhooks[0].timeoutSeconds", "webhooks[0].admissionReviewVersions",
        "webhooks[0].clientConfig.url", "webhooks[0].rules[0].operations[0]", "webhooks[0].rules[0].apiGroups"])),
        "what is wrong with one")


def validating():
    with Configured("Validating", hook("/deny")):
        says(api.post(CM, config_map("x")), 403, 'admission webhook "a.hook.example" denied the request: not today', "refused")
        q = srv.seen[0][1]["request"]
        t.eq((srv.seen[0][0], q["operation"], q["name"], q["namespace"], q["kind"], q["resource"]["resource"], q["dryRun"],
              q["oldObject"], q["object"]["kind"], q["userInfo"]["username"], q["options"]["kind"]),
             ("/deny?timeout=10s", "CREATE", "x", "default", {"group": "", "version": "v1", "kind": "ConfigMap"}, "configmaps",
              False, None, "ConfigMap", "kubernetes-admin", "CreateOptions"), "what it is asked")
        t.eq(api.get(CM + "/x").status, 404, "and nothing is stored")
    api.post(CM, config_map("y", {"k": "v"}))
    with Configured("Validating", hook("/mute")):
        says(api.patch(CM + "/y", {"data": {"k": "w"}}), 400,
             'admission webhook "a.hook.example" denied the request without explanation', "without a reason")
        q = srv.seen[0][1]["request"]
        t.eq((q["operation"], q["oldObject"]["data"], q["object"]["data"]), ("UPDATE", {"k": "v"}, {"k": "w"}), "old and new")
        t.eq(api.delete(CM + "/y").status, 400, "a delete is asked about too")
        q = srv.seen[-1][1]["request"]
        t.eq((q["operation"], q["object"], q["oldObject"]["metadata"]["name"]), ("DELETE", None, "y"), "with the old object alone")
        t.eq(api.post("/api/v1/namespaces/default/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}).status,
             201, "other kinds are not")
    with Configured("Validating", *[hook("/meet", name="h%d.hook.example" % i, timeoutSeconds=30) for i in range(4)]):
        a = api.patch(CM + "/y", {"data": {"k": "z"}})
        t.eq(a.status, 200, "four are asked at once: each answers when all have been asked")
    with Configured("Validating", hook("/held", timeoutSeconds=30)):
        told = []
        ts, bad = in_threads(1, lambda i: told.append(api2.patch(CM + "/y", {"data": {"k": "zz"}}).status))
        t.ok(asked.wait(60), "one that thinks")
        t.eq((api.get(CM + "/y").json["data"]["k"], told), ("z", []), "while it does everybody else is answered")
        let_go.set()
        for x in ts:
            x.join()
        t.eq((told, bad), ([200], []), "and when it has, the write is done")


def mutating():
    with Configured("Mutating", hook("/second", name="b.hook.example"), name="zz"), \
            Configured("Mutating", hook("/label"), name="aa"):
        a = api.post(CM, config_map("m", {"k": "v"}))
        t.eq((a.status, a.json["data"]), (201, {"k": "v", "a": "1", "b": "1"}), "changed by both, in the order of their names")
        t.eq(a.headers.get_all("Warning"), ['299 - "a is added"'], "its warning arrives")
        t.ok(until("the note", lambda: [x for x in d.log().split("\n") if " event=audit " in x and " name=m " in x and "/by value=\"a\"" in x]),
             "its audit annotation is in the request log")
        t.eq(api.get(CM + "/m").json["data"], {"k": "v", "a": "1", "b": "1"}, "stored so")
        a = api.post(CM + "?dryRun=All", config_map("m2", {"k": "v"}))
        t.eq((a.status, srv.seen[-1][1]["request"]["dryRun"]), (201, True), "a dry run says so")
        a = api.post(CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}, "data": {"k": "v"}})
        t.eq((a.status, a.json["data"].get("a")), (201, "1"), "a generated name")
        t.eq((set(srv.seen[-1][1]["request"]["object"]["metadata"]) & {"name", "uid"}, a.json["metadata"]["uid"] != ""), (set(), True),
             "made, like the identity, after they have had their say")
    with Configured("Mutating", hook("/sees", reinvocationPolicy="IfNeeded"), hook("/label", name="b.hook.example")):
        a = api.post(CM, config_map("again", {"k": "v"}))
        t.eq(a.json["metadata"]["annotations"]["saw"], "a,k", "asked again for what came later")
        t.eq([p.split("?")[0] for p, _ in srv.seen], ["/sees", "/label", "/sees"], "once")
    with Configured("Mutating", hook("/rename")):
        a = api.post(CM, config_map("named", {"k": "v"}))
        t.ok(a.status == 201 and a.json["metadata"]["uid"] != "x", "identity is not theirs", a)
    with Configured("Mutating", hook("/broken")):
        a = api.post(CM, config_map("broken", {"k": "v"}))
        t.eq((a.status, a.json["reason"]), (500, "InternalError"), "a patch that does not apply")


def selectors():
    api.patch("/api/v1/namespaces/kube-public", {"metadata": {"labels": {"watched": "yes"}}})
    with Configured("Validating", hook("/deny", namespaceSelector={"matchLabels": {"watched": "yes"}})):
        t.eq(api.post("/api/v1/namespaces/kube-public/configmaps", config_map("x")).status, 403, "a namespace that is selected")
        t.eq(api.post(CM, config_map("sel1")).status, 201, "one that is not")
    with Configured("Validating", hook("/deny", objectSelector={"matchLabels": {"watched": "yes"}})):
        t.eq(api.post(CM, config_map("sel2", labels={"watched": "yes"})).status, 403, "an object that is selected")
        t.eq(api.post(CM, config_map("sel2")).status, 201, "one that is not")
    with Configured("Validating", hook("/deny", rules=[dict(RULE, resources=["pods/status", "*/scale"])])):
        t.eq(api.post(CM, config_map("sel3")).status, 201, "other subresources are no matter")
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
        "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}}}
    ev = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z",
          "reportingController": "x.y/z", "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal",
          "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}}
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["events"]}
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    del hpa
    with Configured("Validating", hook("/deny", rules=[rule])):
        a = api.post(path, ev)
        q = srv.seen[0][1]["request"] if srv.seen else {}
        t.eq((a.status, q.get("kind", {}).get("group"), q.get("requestKind", {}).get("group"), q.get("object", {}).get("apiVersion"),
              "involvedObject" in q.get("object", {})), (403, "", "events.k8s.io", "v1", True), "the same object by another version")
    with Configured("Validating", hook("/deny", rules=[rule], matchPolicy="Exact")):
        t.eq(api.post(path, ev).status, 201, "unless it wants just that one")


def failing():
    dead = free_port()
    cases = [
        ("/500", {}, 'failed to call webhook: an error on the server ("oh no") has prevented the request from succeeding'),
        ("/text", {}, "failed to call webhook: couldn't decode the answer"),
        ("/huge", {}, "failed to call webhook: the answer is longer than 3145728 bytes"),
        ("/redirect", {}, "failed to call webhook: the server redirects (302), which is not followed"),
        ("/slow", {"timeoutSeconds": 1}, 'failed to call webhook: Post "https://127.0.0.1:%d/slow?timeout=1s": context deadline exceeded'
         % srv.server_port),
    ]
    for i, (path, more, why) in enumerate(cases):
        with Configured("Validating", hook(path, **more)):
            says(api.post(CM, config_map("f")), 500, 'Internal error occurred: failed calling webhook "a.hook.example": ' + why,
                 path + " fails")
            t.ok(not [p for p, _ in srv.seen if p.startswith("/label")], path + " leads nowhere else")
        with Configured("Validating", hook(path, failurePolicy="Ignore", **more)):
            t.eq(api.post(CM, config_map("ignored-%d" % i)).status, 201, path + " is ignored")
    over.set()
    with Configured("Validating", hook("/uid")):
        a = api.post(CM, config_map("f"))
        t.ok(a.status == 500 and 'expected response.uid="' in a.json["message"], "an answer to another question", a)
    gone = hook("/ok")
    gone["clientConfig"]["url"] = "https://127.0.0.1:%d/ok" % dead
    with Configured("Validating", gone):
        a = api.post(CM, config_map("f"))
        t.ok(a.status == 500 and 'failed calling webhook "a.hook.example": failed to call webhook: Post ' in a.json["message"],
             "nobody there", a)
    with Configured("Validating", hook("/ok", server=stranger)):
        t.eq(api.post(CM, config_map("f")).status, 500, "a certificate for somebody else")
    guarded = hook("/ok")
    guarded["clientConfig"]["url"] = "https://169.254.169.254/latest"
    with Configured("Validating", guarded):
        says(api.post(CM, config_map("f")), 500, 'Internal error occurred: failed calling webhook "a.hook.example": '
             'failed to call webhook: address is not allowed', "CVE-2020-8555: metadata services are not asked")
    service = hook("/ok")
    service["clientConfig"] = {"service": {"namespace": "default", "name": "hook", "path": "/ok"}, "caBundle": CA}
    with Configured("Validating", service):
        says(api.post(CM, config_map("f")), 500, 'Internal error occurred: failed calling webhook "a.hook.example": '
             'failed to call webhook: Post "https://hook.default.svc:443/ok?timeout=10s": service "hook" not found', "a Service that is not there")


def counted():
    """What is told of webhooks to who looks at numbers."""
    def value(name, /, **labels):
        return sum(float(l.rsplit(" ", 1)[1]) for l in api.get("/metrics").text.splitlines()
                   if l.startswith("apiserver_admission_webhook_" + name + "{") and all('%s="%s"' % x in l for x in labels.items()))
    with Configured("Validating", hook("/deny", name="deny.counts.example"), hook("/500", name="open.counts.example", failurePolicy="Ignore")):
        t.eq(api.post(CM, config_map("counted")).status, 403, "one refuses, one cannot be asked")
    with Configured("Mutating", hook("/label", name="label.counts.example"), hook("/500", name="shut.counts.example")):
        t.eq(api.post(CM, config_map("counted", {"k": "v"})).status, 500, "one changes, one cannot be asked")
    for got, want, name in (
            (value("request_total", name="deny.counts.example", type="validating", operation="CREATE", rejected="true", code="403"), 1, "who refused was asked"),
            (value("rejection_count", name="deny.counts.example", error_type="no_error", rejection_code="403"), 1, "and has refused"),
            (value("fail_open_count", name="open.counts.example", type="validating"), 1, "who could not be asked was passed over"),
            (value("request_total", name="label.counts.example", type="admit", rejected="false", code="200"), 1, "who changed was asked"),
            (value("admission_duration_seconds_count", name="label.counts.example", type="admit", operation="CREATE"), 1, "and timed"),
            (value("rejection_count", name="shut.counts.example", error_type="calling_webhook_error", rejection_code="0", type="admit"), 1,
             "who could not be asked made it fail")):
        t.eq(got, want, name)


def crowd():
    with Configured("Mutating", hook("/label")), Configured("Validating", hook("/ok")):
        got = []

        def run(i):
            mine = Api(d, timeout=60)
            for k in range(10):
                got.append(mine.post(CM, config_map("c-%d-%d" % (i, k), {"k": "v"})).status)
            mine.close()
        ts, bad = in_threads(16, run)
        for x in ts:
            x.join(60 * FACTOR)
        t.ok(not bad and got.count(201) == 160, "a crowd is asked about", "%r %r" % (bad[:1], got))
    ts, bad = in_threads(8, lambda i: Api(d, timeout=60).post(CM, config_map("never-%d" % i)))
    for x in ts:
        x.join()


def answered(q):
    """What a question says of itself."""
    return (q["operation"], q["kind"]["group"] + "/" + q["kind"]["version"] + " " + q["kind"]["kind"], q["resource"]["resource"],
            q.get("subResource"), q.get("name", ""), (q["object"] or {}).get("kind"), (q["oldObject"] or {}).get("kind"))


def subresources():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pods = "/api/v1/namespaces/default/pods"
    dep = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]}}}
    deps = "/apis/apps/v1/namespaces/default/deployments"
    t.eq((api.post("/api/v1/namespaces/default/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
        "name": "default"}}).status in (201, 409), api.post(pods, pod).status, api.post(deps, dep).status), (True, 201, 201), "a pod and a deployment")
    every = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["x"]}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
        "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "w", "namespace": "default"}, "spec": {"replicas": 2}}
    says_no = 'admission webhook "a.hook.example" denied the request: not today'
    asks = [
        ("scale", lambda: api.put(deps + "/w/scale", scale),
         ("UPDATE", "autoscaling/v1 Scale", "deployments", "scale", "w", "Scale", "Scale")),
        ("scale, by a patch", lambda: api.patch(deps + "/w/scale", {"spec": {"replicas": 2}}),
         ("UPDATE", "autoscaling/v1 Scale", "deployments", "scale", "w", "Scale", "Scale")),
        ("scale, applied", lambda: api("PATCH", deps + "/w/scale?fieldManager=m&force=true", dict(scale, metadata={"name": "w"}), type=TYPES["apply"]),
         ("UPDATE", "autoscaling/v1 Scale", "deployments", "scale", "w", "Scale", "Scale")),
        ("status", lambda: api.patch(deps + "/w/status", {"status": {"replicas": 1}}),
         ("UPDATE", "apps/v1 Deployment", "deployments", "status", "w", "Deployment", "Deployment")),
        ("pods/binding", lambda: api.post(pods + "/p/binding", binding),
         ("CREATE", "/v1 Binding", "pods", "binding", "p", "Binding", None)),
        ("bindings", lambda: api.post("/api/v1/namespaces/default/bindings", binding),
         ("CREATE", "/v1 Binding", "bindings", None, "p", "Binding", None)),
        ("eviction", lambda: api.post(pods + "/p/eviction", eviction),
         ("CREATE", "policy/v1 Eviction", "pods", "eviction", "p", "Eviction", None)),
        ("token", lambda: api.post("/api/v1/namespaces/default/serviceaccounts/default/token", token),
         ("CREATE", "authentication.k8s.io/v1 TokenRequest", "serviceaccounts", "token", "default", "TokenRequest", None)),
        ("ephemeralcontainers", lambda: api.patch(pods + "/p/ephemeralcontainers", {"spec": {"ephemeralContainers": [
            {"name": "e", "image": "i"}]}}, "strategic"), ("UPDATE", "/v1 Pod", "pods", "ephemeralcontainers", "p", "Pod", "Pod")),
        ("resize", lambda: api.patch(pods + "/p/resize", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}},
                                     "strategic"), ("UPDATE", "/v1 Pod", "pods", "resize", "p", "Pod", "Pod")),
        ("a review", lambda: api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review),
         ("CREATE", "authorization.k8s.io/v1 SelfSubjectAccessReview", "selfsubjectaccessreviews", None, "", "SelfSubjectAccessReview", None)),
        ("exec", lambda: api("POST", pods + "/p/exec?command=ls&command=-l%20x&stdout=true&container=c"),
         ("CONNECT", "/v1 PodExecOptions", "pods", "exec", "p", "PodExecOptions", None)),
        ("attach", lambda: api("POST", pods + "/p/attach?stdin=true"),
         ("CONNECT", "/v1 PodAttachOptions", "pods", "attach", "p", "PodAttachOptions", None)),
        ("portforward", lambda: api("POST", pods + "/p/portforward?ports=80"),
         ("CONNECT", "/v1 PodPortForwardOptions", "pods", "portforward", "p", "PodPortForwardOptions", None)),
        ("pods/proxy", lambda: api.get(pods + "/p/proxy/a/b?c=d"),
         ("CONNECT", "/v1 PodProxyOptions", "pods", "proxy", "p", "PodProxyOptions", None)),
        ("services/proxy", lambda: api.get("/api/v1/namespaces/default/services/kubernetes:https/proxy/"),
         ("CONNECT", "/v1 ServiceProxyOptions", "services", "proxy", "kubernetes:https", "ServiceProxyOptions", None)),
        ("nodes/proxy", lambda: api.get("/api/v1/nodes/n/proxy/metrics"),
         ("CONNECT", "/v1 NodeProxyOptions", "nodes", "proxy", "n", "NodeProxyOptions", None)),
    ]
    all_of = every
    for kind in ("Validating", "Mutating"):
        with Configured(kind, hook("/deny", rules=[all_of])):
            for name, fn, want in asks:
                with srv.lock:
                    del srv.seen[:]
                a = fn()
                t.eq((a.status, a.json.get("message")), (403, says_no), "%s: refused (%s)" % (name, kind))
                t.eq([answered(r["request"]) for _, r in srv.seen], [want], "%s: what it is asked (%s)" % (name, kind))
                q = srv.seen[0][1]["request"]
                if name == "exec":
                    t.eq((q["object"], q["options"]), ({"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "container": "c",
                                                       "command": ["ls", "-l x"]}, None), "with its options")
                elif name == "portforward":
                    t.eq(q["object"]["ports"], [80], "with its ports")
                elif name == "pods/proxy":
                    t.eq(q["object"]["path"], "/a/b", "with its path")
                elif name == "scale":
                    t.eq((q["object"]["spec"], q["oldObject"]["spec"], q["requestResource"]["group"]), ({"replicas": 2}, {"replicas": 1},
                                                                                                       "apps"), "with both")
    t.eq(api.get(deps + "/w").json["spec"]["replicas"], 1, "nothing was done")
    with Configured("Validating", hook("/deny", rules=[dict(every, operations=["CONNECT"])], objectSelector={"matchExpressions": [
            {"key": "x", "operator": "DoesNotExist"}]})):
        t.ok(api("POST", pods + "/p/exec?command=ls").status != 403, "options have no labels: no selector selects them")
    with Configured("Validating", hook("/ok", rules=[dict(every, resources=["*/*"])])):
        t.eq(api("POST", pods + "/p/exec?command=ls").status, 400, "who is let through goes on")
        with srv.lock:
            del srv.seen[:]
        t.eq((api.post(pods + "/p/binding", binding).status, api.get(pods + "/p").json["spec"]["nodeName"]), (201, "n"), "bound")
        t.eq([answered(r["request"])[:4] for _, r in srv.seen], [("CREATE", "/v1 Binding", "pods", "binding")], "and that alone is asked")
        with srv.lock:
            del srv.seen[:]
        t.eq(api.post(pods + "/p/eviction", eviction).status, 201, "evicted")
        t.eq([answered(r["request"])[:4] for _, r in srv.seen], [("CREATE", "policy/v1 Eviction", "pods", "eviction")],
             "and not asked about as a DELETE")
        t.eq(api.post("/api/v1/namespaces/default/serviceaccounts/default/token", token).status, 201, "a token")
        t.eq(api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).json["status"]["allowed"], True, "a review")
    with Configured("Mutating", hook("/three", rules=[every])), Configured("Validating", hook("/ok", rules=[every]), name="after"):
        a = api.put(deps + "/w/scale", scale)
        t.eq((a.status, a.json["spec"], api.get(deps + "/w").json["spec"]["replicas"]), (200, {"replicas": 3}, 3), "a scale can be changed")
        t.eq([r["request"]["object"]["spec"]["replicas"] for _, r in srv.seen], [2, 3], "and who judges sees that")
    api.delete(pods + "/p?gracePeriodSeconds=0")
    many = "/api/v1/namespaces/kube-node-lease/configmaps"
    for i in range(3):
        api.post(many, config_map("m%d" % i, labels={"many": "yes"}))
    with Configured("Validating", hook("/keep")):
        a = api.delete(many + "?labelSelector=many%3Dyes")
        t.eq((a.status, a.json["message"]), (403, says_no), "deletecollection stops at what is refused")
        t.eq(sorted({(r["request"]["operation"], r["request"].get("name", ""), r["request"]["object"]) for _, r in srv.seen}, key=str),
             [("DELETE", "", None)], "asked about one by one, without a name")
        t.eq([i["metadata"]["name"] for i in api.get(many + "?labelSelector=many%3Dyes").json["items"]], ["m1"], "and that one stays")


api2 = Api(d)
stranger = serve("other")
for g in (kinds, validating, mutating, selectors, subresources, failing, counted, crowd):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
