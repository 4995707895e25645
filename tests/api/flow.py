#!/usr/bin/env -S python3 -B
# run: timeout=240
"""Priority and fairness: the levels and schemas of every cluster, how they are kept, and whether a schema's level is there.

What the specs should be is written down here as upstream's table has it, independently of the server's text.
"""
import json
import os
import select
import shutil
import subprocess

from rig import CM, Api, Daemon, Tap, config_map, free_port, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
G = "/apis/flowcontrol.apiserver.k8s.io/v1/"
FS, PL = G + "flowschemas", G + "prioritylevelconfigurations"
AUTO = "apf.kubernetes.io/autoupdate-spec"
EVERYTHING = {"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}],
              "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}


def user(*names):
    return [{"kind": "User", "user": {"name": n}} for n in names]


def groups(*names):
    return [{"kind": "Group", "group": {"name": n}} for n in names]


def account(*names):
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": n}} for n in names]


def rule(verbs, group, resources, cluster=False):
    r = {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]}
    return dict(r, clusterScope=True) if cluster else r


GCU = ["get", "create", "update"]
EVERYBODY = groups("system:unauthenticated", "system:authenticated")
KCM, SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
LEASES = rule(GCU, "coordination.k8s.io", ["leases"])
SCHEMAS = {     # level, precedence, distinguisher, subjects, rules
    "exempt": ("exempt", 1, None, groups("system:masters"), EVERYTHING),
    "probes": ("exempt", 2, None, EVERYBODY, {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}),
    "system-leader-election": ("leader-election", 100, "ByUser", user(KCM, SCHEDULER) + account("*"), {"resourceRules": [LEASES]}),
    "endpoint-controller": ("workload-high", 150, "ByUser", user(KCM) + account("endpoint-controller", "endpointslicemirroring-controller"),
                            {"resourceRules": [rule(GCU, "", ["endpoints"])]}),
    "workload-leader-election": ("leader-election", 200, "ByUser", account("*"), {"resourceRules": [rule(GCU, "", ["endpoints", "configmaps"]), LEASES]}),
    "system-node-high": ("node-high", 400, "ByUser", groups("system:nodes"),
                         {"resourceRules": [rule(["*"], "", ["nodes", "nodes/status"], True), rule(["*"], "coordination.k8s.io", ["leases"])]}),
    "system-nodes": ("system", 500, "ByUser", groups("system:nodes"), EVERYTHING),
    "kube-controller-manager": ("workload-high", 800, "ByNamespace", user(KCM), EVERYTHING),
    "kube-scheduler": ("workload-high", 800, "ByNamespace", user(SCHEDULER), EVERYTHING),
    "kube-system-service-accounts": ("workload-high", 900, "ByNamespace", account("*"), EVERYTHING),
    "service-accounts": ("workload-low", 9000, "ByUser", groups("system:serviceaccounts"), EVERYTHING),
    "global-default": ("global-default", 9900, "ByUser", EVERYBODY, EVERYTHING),
    "catch-all": ("catch-all", 10000, "ByUser", EVERYBODY, EVERYTHING),
}
LEVELS = {      # shares, lendable, queues, hand, length
    "exempt": None, "catch-all": (5, 0), "system": (30, 33, 64, 6, 50), "node-high": (40, 25, 64, 6, 50), "leader-election": (10, 0, 16, 4, 50),
    "workload-high": (40, 50, 128, 6, 50), "workload-low": (100, 90, 128, 6, 50), "global-default": (20, 50, 128, 6, 50),
}


def schema_spec(name):
    level, precedence, method, subjects, rules = SCHEMAS[name]
    s = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [dict(rules, subjects=subjects)]}
    return dict(s, distinguisherMethod={"type": method}) if method else s


def level_spec(name):
    v = LEVELS[name]
    if v is None:
        return {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    q = {"type": "Queue", "queuing": dict(zip(("queues", "handSize", "queueLengthLimit"), v[2:]))} if len(v) > 2 else {"type": "Reject"}
    return {"type": "Limited", "limited": {"nominalConcurrencyShares": v[0], "lendablePercent": v[1], "limitResponse": q}}


def dangling(name, a=api):
    a = a.get(FS + "/" + name)
    c = [c for c in a.json.get("status", {}).get("conditions", []) if c["type"] == "Dangling"] if a.status == 200 else []
    return (c[0]["status"], c[0]["reason"], c[0]["message"]) if len(c) == 1 else None


FOUND = "This FlowSchema references the PriorityLevelConfiguration object named %s and it exists"
LOST = "This FlowSchema references the PriorityLevelConfiguration object named %s but there is no such object"


def begins():
    for what, path, want, spec in (("schema", FS, SCHEMAS, schema_spec), ("level", PL, LEVELS, level_spec)):
        have = {o["metadata"]["name"]: o for o in api.get(path).json["items"]}
        t.eq(sorted(have), sorted(want), "each %s is there when the server is ready" % what)
        for name in sorted(want):
            o = have.get(name, {"metadata": {}})
            t.eq(o.get("spec"), spec(name), "%s %s" % (what, name))
            t.eq((o["metadata"].get("annotations"), o["metadata"].get("generation")), ({AUTO: "true"}, 1), "%s %s: ours to keep" % (what, name))
    for name in sorted(SCHEMAS):
        t.eq(dangling(name), ("False", "Found", FOUND % json.dumps(SCHEMAS[name][0])), name + " has its level")
    m = {(e["manager"], e["operation"], e.get("subresource")) for e in api.get(FS + "/probes").json["metadata"]["managedFields"]}
    t.eq(m, {("api-priority-and-fairness-config-producer-v1", "Update", None), ("api-priority-and-fairness-config-consumer-v1", "Apply", "status")}, "by whom")
    t.eq(api.get("/readyz/poststarthook/priority-and-fairness-config-producer").text, "ok", "and /readyz says so")


def kept():
    def uid(path):
        a = api.get(path)
        return a.json["metadata"]["uid"] if a.status == 200 else None

    for path in (FS + "/catch-all", PL + "/exempt", FS + "/service-accounts", PL + "/workload-low"):
        was = uid(path)
        t.eq(api.delete(path).status, 200, "DELETE " + path[len(G):])
        until("it is back", lambda: uid(path) not in (None, was))
        until("with its condition", lambda: path.startswith(PL) or (dangling(path.rsplit("/")[-1]) or [None])[0] == "False")
        a = api.get(path).json
        t.eq((a["spec"], a["metadata"]["annotations"]), ((schema_spec if path.startswith(FS) else level_spec)(a["metadata"]["name"]), {AUTO: "true"}), "is made again")
    # what is mandatory cannot be changed; but for the shares of the exempt level, which stay
    for path, change in ((FS + "/exempt", {"spec": {"matchingPrecedence": 3}}), (FS + "/catch-all", {"spec": {"distinguisherMethod": None}}),
                         (PL + "/catch-all", {"spec": {"limited": {"nominalConcurrencyShares": 6}}})):
        a = api.patch(path, change)
        t.ok(a.status == 422 and "spec: Invalid value: " in a.json["message"] and
             a.json["message"].endswith("spec of '%s' must equal the fixed value" % path.rsplit("/")[-1]), "422 for another spec of " + path[len(G):], a)
    t.eq(api.patch(PL + "/exempt", {"spec": {"exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 50}}}).status, 200, "shares of the exempt level")
    t.eq(api.patch(FS + "/exempt", {"metadata": {"annotations": {AUTO: "false", "mine": "too"}}}).status, 200, "and annotations may be")
    until("the annotation is right again", lambda: api.get(FS + "/exempt").json["metadata"]["annotations"] == {AUTO: "true", "mine": "too"})
    t.eq(api.get(PL + "/exempt").json["spec"]["exempt"], {"nominalConcurrencyShares": 7, "lendablePercent": 50}, "the shares stay")


def suggested():
    name = PL + "/workload-low"
    t.eq(api.patch(name, {"spec": {"limited": {"nominalConcurrencyShares": 99}}}).status, 200, "a change of a suggested one")
    until("is undone while it says true", lambda: api.get(name).json["spec"] == level_spec("workload-low"))
    t.eq(api.patch(name, {"metadata": {"annotations": {AUTO: "false"}}, "spec": {"limited": {"nominalConcurrencyShares": 99}}}).status, 200, "with false")
    # something that is put right afterwards shows that a look has come by
    t.eq(api.delete(FS + "/probes").status, 200, "a look is provoked")
    until("it came", lambda: api.get(FS + "/probes").status == 200)
    t.eq(api.get(name).json["spec"]["limited"]["nominalConcurrencyShares"], 99, "it stays")
    # without the annotation: a changed one (generation 2) is somebody's, and is marked so
    t.eq(api.patch(name, {"metadata": {"annotations": {AUTO: None}}}).status, 200, "without annotation")
    until("it is marked as changed", lambda: api.get(name).json["metadata"].get("annotations") == {AUTO: "false"})
    t.eq(api.get(name).json["spec"]["limited"]["nominalConcurrencyShares"], 99, "and left alone")
    t.eq(api.patch(name, {"metadata": {"annotations": {AUTO: "true"}}}).status, 200, "true again")
    until("it is refreshed", lambda: api.get(name).json["spec"] == level_spec("workload-low"))
    # not (any more) of those that every cluster has, but marked as such
    for kind, path, spec in (("FlowSchema", FS, dict(schema_spec("service-accounts"), matchingPrecedence=77)), ("PriorityLevelConfiguration", PL, level_spec("system"))):
        for mine, says in (("old", "true"), ("own", "false"), ("plain", None)):
            a = api.post(path, {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind,
                                "metadata": {"name": mine, "annotations": {AUTO: says} if says else {}}, "spec": spec})
            assert a.status == 201, a
        until("what is obsolete goes", lambda: api.get(path + "/old").status == 404)
        t.eq([api.get(path + "/" + n).status for n in ("own", "plain")], [200, 200], "an obsolete %s goes, anybody's own stays" % kind)
        for n in ("own", "plain"):
            api.delete(path + "/" + n)


def lost_and_found():
    body = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "mine"},
            "spec": dict(schema_spec("service-accounts"), matchingPrecedence=50, priorityLevelConfiguration={"name": "gold"})}
    assert api.post(FS, body).status == 201
    until("its level is missed", lambda: dangling("mine"))
    t.eq(dangling("mine"), ("True", "NotFound", LOST % '"gold"'), "a schema whose level is not there")
    assert api.post(PL, {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "gold"},
                         "spec": level_spec("system")}).status == 201
    until("it is found", lambda: dangling("mine")[0] == "False")
    t.eq(dangling("mine"), ("False", "Found", FOUND % '"gold"'), "the level comes")
    table = api.get(FS + "/mine", {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}).json
    names = [c["name"] for c in table["columnDefinitions"]]
    t.eq(dict(zip(names, table["rows"][0]["cells"]))["MissingPL"], "False", "a column says so")
    api.delete(PL + "/gold")
    until("it is missed again", lambda: dangling("mine")[0] == "True")
    t.eq(dangling("mine"), ("True", "NotFound", LOST % '"gold"'), "and goes")
    rv = api.get(FS).json["metadata"]["resourceVersion"]
    w = api.watch(FS + "?watch=1&resourceVersion=" + rv)
    assert api.patch(FS + "/mine/status", {"status": {"conditions": []}}).status == 200
    said = [w.next()["object"].get("status", {}).get("conditions", []) for _ in range(2)]
    w.close()
    t.eq([len(c) for c in said], [0, 1], "a condition that is taken away comes again")
    api.delete(FS + "/mine")


def belongs():
    """Which schema and level an answer says it was of."""
    d.pki.client("node", "/O=system:nodes/CN=system:node:n1")
    d.pki.client("kcm", "/CN=" + KCM)
    d.pki.client("scheduler", "/CN=" + SCHEDULER)
    d.pki.client("jane", "/O=dev/CN=jane")
    name = {o["metadata"]["uid"]: o["metadata"]["name"] for p in (FS, PL) for o in api.get(p).json["items"]}

    def of(who, method, path, body=None, headers=None):
        h = Api(d, who)(method, path, body, headers).headers
        return name.get(h.get("X-Kubernetes-Pf-Flowschema-Uid")), name.get(h.get("X-Kubernetes-Pf-Prioritylevel-Uid"))

    def as_account(ns, n):
        return {"Impersonate-User": "system:serviceaccount:%s:%s" % (ns, n), "Impersonate-Group": "system:serviceaccounts"}
    LEASE, EP = "/apis/coordination.k8s.io/v1/namespaces/%s/leases", "/api/v1/namespaces/default/endpoints"
    node_lease = LEASE % "kube-node-lease"
    for who, method, path, headers, want in (
            ("admin", "GET", CM, None, "exempt"), ("admin", "GET", "/healthz", None, "exempt"), ("jane", "GET", "/readyz", None, "probes"),
            (None, "GET", "/livez/ping", None, "probes"), (None, "GET", "/version", None, "global-default"), ("jane", "POST", "/livez", None, "global-default"),
            ("jane", "GET", CM, None, "global-default"), ("jane", "GET", "/apis/nobody.example/v1/things", None, "global-default"),
            ("node", "GET", "/api/v1/nodes/n1", None, "system-node-high"), ("node", "PATCH", "/api/v1/nodes/n1/status", None, "system-node-high"),
            ("node", "GET", node_lease + "/n1", None, "system-node-high"), ("node", "GET", "/api/v1/nodes/n1/proxy/x", None, None),
            ("node", "GET", "/api/v1/pods", None, "system-nodes"), ("node", "GET", "/metrics", None, "system-nodes"),
            ("kcm", "GET", LEASE % "kube-system" + "/x", None, "system-leader-election"), ("kcm", "GET", LEASE % "kube-system", None, "kube-controller-manager"),
            ("kcm", "GET", EP + "/x", None, "endpoint-controller"), ("kcm", "DELETE", EP + "/x", None, "kube-controller-manager"),
            ("scheduler", "PUT", LEASE % "kube-system" + "/x", None, "system-leader-election"), ("scheduler", "GET", EP + "/x", None, "kube-scheduler"),
            ("admin", "GET", EP + "/x", as_account("kube-system", "endpoint-controller"), "endpoint-controller"),
            ("admin", "GET", EP + "/x", as_account("kube-system", "other"), "workload-leader-election"),
            ("admin", "GET", LEASE % "default" + "/x", as_account("kube-system", "other"), "system-leader-election"),
            ("admin", "GET", "/api/v1/pods", as_account("kube-system", "other"), "kube-system-service-accounts"),
            ("admin", "GET", "/api/v1/pods", as_account("kube-system2", "other"), "service-accounts"),
            ("admin", "GET", CM, as_account("default", "default"), "service-accounts"),
            ("admin", "GET", CM, {"Impersonate-User": "nobody"}, "global-default")):
        got = of(who, method, path, {} if method in ("POST", "PUT", "PATCH") else None, headers)
        t.eq(got, (want, SCHEMAS[want][0]) if want else (None, None), "%s %s of %s is of %s" % (method, path, (headers or {}).get("Impersonate-User", who), want))
    t.eq(of(None, "GET", "/version", None, {"Authorization": "Bearer nobody"}), (None, None), "who is nobody belongs nowhere")
    w = Api(d, "jane").watch("/api/v1/namespaces/default/configmaps?watch=1")
    t.eq(name.get(w.answer.headers.get("X-Kubernetes-Pf-Flowschema-Uid")) if w.answer else "taken", "global-default", "a watch, too")
    # a schema of one's own, which counts from the moment it is there, and no longer than it is
    body = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "janes"},
            "spec": {"priorityLevelConfiguration": {"name": "workload-high"}, "matchingPrecedence": 5, "rules": [
                {"subjects": user("jane"), "resourceRules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"], "namespaces": ["default"]},
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"], "namespaces": ["default"]}],
                 "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/openapi/*"]}]}]}}
    a = api.post(FS, body)
    assert a.status == 201, a
    name[a.json["metadata"]["uid"]] = "janes"
    mine = ("janes", "workload-high")
    other = ("global-default", "global-default")
    t.eq([of("jane", "GET", p) for p in (CM, CM + "/x", "/api/v1/configmaps", "/openapi/v2", "/openapi")], [mine, other, other, mine, other], "a schema of one's own")
    t.eq([of("jane", "GET", "/api/v1/namespaces" + p) for p in ("/default", "/kube-system", "")], [mine, other, other], "a namespace is in itself")
    api.patch(FS + "/janes", {"spec": {"priorityLevelConfiguration": {"name": "nowhere"}}})
    t.eq(of("jane", "GET", CM), other, "whose level is not there does not count")
    api.delete(FS + "/janes")
    t.eq(of("jane", "GET", CM), other, "and gone it is gone")


class Held:
    """Writes of somebody that lack their last byte: each has a place, or was refused."""

    def __init__(self, s, token, n):
        self.s, self.left, self.codes, self.whole = s, [], [], []
        body = json.dumps(config_map("x")).encode()
        for i in range(n):
            c = s.connect(None)
            c.sendall(b"POST /api/v1/namespaces/default/configmaps?dryRun=All HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                      b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (token.encode(), len(body), body[:-1]))
            self.left.append(c)

    def settle(self, taken):
        """Until each has been answered or taken, of which taken() tells the number."""
        def done():
            ready, _, _ = select.select(self.left, [], [], 0)
            for c in ready:
                b = c.recv(65536)
                self.codes.append(int(b.split()[1]))
                self.whole.append(b)
                self.left.remove(c)
                c.close()
            return len(self.left) == taken()
        until("all are taken or refused", done)
        return len(self.left)

    def close(self):
        for c in self.left:
            c.close()


def room():
    """With one shard, so that it is known how many places there are: 100 for writes and one more."""
    s = Daemon(head="loops = 1;\n", params="max_writes = 100;").start()
    a = Api(s)
    s.pki.client("node", "/O=system:nodes/CN=system:node:n1")
    s.pki.client("bob", "/CN=bob")
    node, bob = Api(s, "node"), Api(s, "bob")
    for who in ("jane", "bob"):
        assert a.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"metadata": {"name": who}, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": who}]}).status == 201

    def number(name, **labels):
        for l in a.get("/metrics").text.split("\n"):
            if l.startswith(name + "{") and all('%s="%s"' % kv in l for kv in labels.items()):
                return int(float(l.split()[-1]))
        return 0

    def executing(schema):
        return lambda: number("apiserver_flowcontrol_current_executing_requests", flow_schema=schema)

    def seats(level):
        return number("apiserver_flowcontrol_nominal_limit_seats", priority_level=level)
    t.eq([seats(l) for l in ("exempt", "workload-low", "global-default", "catch-all")], [0, 205, 41, 11], "each level has its share of 400 reads and 100 writes")
    # 101 places; kept for others are 30 × 67 % of 101/245 = 8, 12, 4, 8, 4, 2
    h = Held(s, "token-of-jane", 120)
    n = h.settle(executing("global-default"))
    t.eq((n, set(h.codes)), (101 - 8 - 12 - 4 - 8 - 4 - 2, {429}), "one level does not get what is kept for the others")
    t.ok(all(b"\r\nRetry-After: 1\r\n" in b and b"\r\nX-Kubernetes-Pf-Flowschema-Uid: " in b and b'"reason":"TooManyRequests"' in b and
             b"Too many requests, please try again later." in b for b in h.whole), "429 says when to come again, and of which level it is", h.whole[:1])
    t.eq(number("apiserver_flowcontrol_rejected_requests_total", flow_schema="global-default", priority_level="global-default", reason="concurrency-limit"),
         120 - n, "counted")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}, "spec": {}}
    t.eq(node.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease).status, 201, "a node still says that it lives")
    t.eq([bob.post(CM, config_map("b")).status, bob.get(CM).status, a.post(CM, config_map("a")).status], [429, 200, 201],
         "others of the level are refused as well; reads, and who is exempt, are not")
    h.close()
    until("the places are free", lambda: executing("global-default")() == 0)
    t.eq(bob.post(CM, config_map("b")).status, 201, "and there is room again")
    # a small level that borrows nothing
    small = {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}
    schema = {"priorityLevelConfiguration": {"name": "small"}, "matchingPrecedence": 5, "rules": [dict(EVERYTHING, subjects=user("jane"))]}
    for path, spec, name in ((PL, small, "small"), (FS, schema, "janes")):
        assert a.post(path, {"metadata": {"name": name}, "spec": spec}).status == 201
    h = Held(s, "token-of-jane", 9)
    t.eq((h.settle(executing("janes")), h.codes), (3, [429] * 6), "5 of 250 shares of 101 places are 3")
    t.eq(bob.post(CM, config_map("c")).status, 201, "others are not of that level")
    assert a.patch(FS + "/janes", {"spec": {"priorityLevelConfiguration": {"name": "exempt"}}}).status == 200
    m = Held(s, "token-of-jane", 150)
    m.settle(lambda: number("apiserver_flowcontrol_current_executing_requests", flow_schema="janes", priority_level="exempt"))
    t.eq((len(m.left), m.codes), (150, []), "who is exempt is never refused")
    t.eq([bob.post(CM, config_map("d")).status, node.patch("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", {"spec": {"leaseDurationSeconds": 40}}).status], [201, 200],
         "nor does he take what is kept for others")
    h.close()
    m.close()
    until("nothing is left", lambda: number("apiserver_current_inflight_requests", request_kind="mutating") == 0)
    t.eq(executing("janes")(), 0, "the places were given back to the levels that they were of")
    s.stop()


def clients():
    a = api.get(FS + "/probes", {"Accept": "application/vnd.kubernetes.protobuf"})
    t.ok(a.status == 200 and a.raw[:4] == b"k8s\0" and b"/livez" in a.raw and b"Dangling" in a.raw, "protobuf", a.raw)
    kubectl = os.environ.get("KUBECTL", "kubectl")
    if not shutil.which(kubectl):
        t.skip("kubectl", "no kubectl")
        return

    def k(*args):
        return subprocess.run([kubectl, "--kubeconfig", d.kubeconfig] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    out = k("get", "flowschemas")
    t.ok(any(l.split()[:4] == ["system-nodes", "system", "500", "ByUser"] and l.split()[-1] == "False" for l in out.split("\n")), "kubectl get flowschemas", out)
    out = k("get", "prioritylevelconfigurations")
    t.ok(any(l.split()[:6] == ["leader-election", "Limited", "10", "16", "4", "50"] for l in out.split("\n")), "kubectl get prioritylevelconfigurations", out)
    out = k("describe", "flowschema", "system-node-high")
    t.ok("Matching Precedence:" in out and "nodes/status" in out and "Dangling" in out, "kubectl describe", out)


def restarts():
    def all_of():
        return {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for p in (FS, PL) for o in api.get(p).json["items"]}
    was = all_of()
    for how in (d.stop, d.kill9):
        how()
        d.start()
        api.close()
        # whatever the start had to put right it does before it undoes this
        api.delete(FS + "/probes")
        until("it is back", lambda: dangling("probes"))
        now = all_of()
        was["probes"] = now["probes"]
        t.eq(now, was, "a start writes nothing where all is right")
    log = d.log()
    t.ok("flow_objects" not in log, "no failures", [l for l in log.split("\n") if "flow_objects" in l])


def several():
    """Two API servers on one storage begin at the same time and make the same."""
    s = Daemon()
    with open(s.conf) as f:
        text = f.read()
    text = text.replace("token_file =", "shared_storage = true; token_file =")
    at, end = text.index(' { module = "apiserver"'), text.rindex("\n);")
    other = text[at:end].replace('module = "apiserver";', 'module = "apiserver"; name = "second";').replace(":%d" % s.port, ":%d" % free_port())
    with open(s.conf, "w") as f:
        f.write(text[:end] + ",\n" + other + text[end:])
    s.start()
    a = Api(s)
    for what, path, want in (("schemas", FS, SCHEMAS), ("levels", PL, LEVELS)):
        have = {o["metadata"]["name"]: o["metadata"]["generation"] for o in a.get(path).json["items"]}
        t.eq(have, {n: 1 for n in want}, "two servers make the %s once" % what)
    uid = a.get(FS + "/probes").json["metadata"]["uid"]
    a.delete(FS + "/probes")
    until("it is put back", lambda: a.get(FS + "/probes").json.get("metadata", {}).get("uid", uid) != uid and dangling("probes", a))
    t.eq(s.stop(), 0, "and end in order")
    bad = [l for l in s.log().split("\n") if "level=warn" in l or "level=err" in l]
    t.eq(bad, [], "who came second does not complain")


for g in (begins, kept, suggested, lost_and_found, belongs, room, clients, several, restarts):
    group(t, g)
d.stop()
t.done()
