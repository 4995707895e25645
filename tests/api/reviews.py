#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Reviews: what one may, what others may, whose a token is and for whom; and what kubectl auth makes of it."""
import shutil
import subprocess

from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
jane = Api(d, None, token="token-of-jane")
A = "/apis/authorization.k8s.io/v1/"
N = "/apis/authentication.k8s.io/v1/"
GET = {"verb": "get", "resource": "pods", "namespace": "default"}
URL = {"path": "/x", "verb": "get"}
ISSUER = "https://kubernetes.default.svc.cluster.local"


def refused(a, code, field, words, name):
    s = a.json
    c = [c["message"] for c in s.get("details", {}).get("causes", []) if c["field"] == field]
    t.ok(a.status == code and (words in s["message"] if field is None else any(words in m for m in c)), name, a)


def access():
    for kind, more in (("subjectaccessreviews", {"user": "x"}), ("selfsubjectaccessreviews", {}), ("namespaces/default/localsubjectaccessreviews", {"user": "x"})):
        refused(api.post(A + kind, {"spec": more}), 422, "spec.resourceAttributes", "exactly one of nonResourceAttributes or resourceAttributes must be specified", kind + ": about nothing")
        refused(api.post(A + kind, {"metadata": {"name": "x"}, "spec": dict(more, resourceAttributes=GET)}), 422, "metadata",
                "must be empty" + (" except for namespace" if "local" in kind else ""), kind + ": a review has no name")
        refused(api.post(A + kind, {"spec": dict(more, resourceAttributes=dict(GET, fieldSelector={"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}))}),
                422, "spec.resourceAttributes.fieldSelector.rawSelector", "may not specified at the same time as requirements", kind + ": one selector")
        refused(api.post(A + kind, {"spec": dict(more, resourceAttributes=dict(GET, labelSelector={}))}), 422, "spec.resourceAttributes.labelSelector.requirements",
                "requirements or rawSelector is required", kind + ": or some")
        s = api.post(A + kind, {"metadata": {"creationTimestamp": None}, "spec": dict(more, resourceAttributes=GET)})
        t.ok(s.status == 201 and s.json["spec"] == dict(more, resourceAttributes=GET) and s.json["status"]["allowed"] is ("self" in kind), kind + ": an answer", s)
    refused(api.post(A + "subjectaccessreviews", {"spec": {"resourceAttributes": GET}}), 422, "spec.user", "at least one of user or group must be specified", "about nobody")
    refused(api.post(A + "subjectaccessreviews", {"spec": {"user": "x", "resourceAttributes": GET, "nonResourceAttributes": URL}}), 422, "spec.nonResourceAttributes",
            "cannot be specified in combination with resourceAttributes", "about two things")
    local = A + "namespaces/kube-system/localsubjectaccessreviews"
    refused(api.post(local, {"spec": {"user": "x", "resourceAttributes": GET}}), 422, "spec.resourceAttributes.namespace", "must match metadata.namespace", "about another namespace")
    refused(api.post(local, {"spec": {"user": "x", "nonResourceAttributes": URL}}), 422, "spec.nonResourceAttributes", "disallowed on this kind of request", "about no namespace")
    s = api.post(A + "subjectaccessreviews", {"spec": {"groups": ["system:masters"], "nonResourceAttributes": URL}}).json["status"]
    t.eq(s, {"allowed": True}, "a group alone, and a path")
    for selector, want in (({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, True), ({"rawSelector": "spec.nodeName=n1"}, True),
                           ({"rawSelector": "spec.nodeName=n2"}, False), ({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n1"]}]}, False)):
        s = api.post(A + "subjectaccessreviews", {"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
            "verb": "list", "resource": "pods", "fieldSelector": selector}}}).json["status"]
        t.eq(s["allowed"], want, "narrowed by %s" % selector)
    for name in ("orlop:core", "system:apiserver", "orlop:apiserver", "orlop:kubelet"):
        s = api.post(A + "subjectaccessreviews", {"spec": {"user": name, "resourceAttributes": {"verb": "list", "resource": "nodes"}}}).json["status"]
        t.eq(s["allowed"], False, "who is called %s is not it" % name)


def rules():
    refused(api.post(A + "selfsubjectrulesreviews", {"spec": {}}), 400, None, "no namespace on request", "rules of no namespace")
    s = jane.post(A + "selfsubjectrulesreviews", {"spec": {"namespace": "default"}}).json["status"]
    t.ok(s["incomplete"] is False and {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in s["resourceRules"] and
         any("/livez" in r["nonResourceURLs"] for r in s["nonResourceRules"]), "rules of somebody", s)
    s = api.post(A + "selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, headers={"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}).json["status"]
    t.eq((s["incomplete"], s["evaluationError"]), (True, "node authorizer does not support user rule resolution"), "a node's are not all")


def tokens():
    def review(token, *aud):
        return api.post(N + "tokenreviews", {"spec": dict({"token": token}, **({"audiences": list(aud)} if aud else {}))}).json["status"]
    refused(api.post(N + "tokenreviews", {"spec": {}}), 400, None, "token is required for TokenReview in authentication", "no token")
    s = review("nonsense")
    t.ok(not s.get("authenticated") and s["user"] == {} and "invalid bearer token" in s["error"], "a token of nobody", s)
    s = review("token-of-jane")
    t.eq((s["authenticated"], s["user"]["username"], s["audiences"]), (True, "jane", [ISSUER]), "a static one is for us")
    t.eq(review("token-of-jane", "other", ISSUER)["audiences"], [ISSUER], "whatever else is asked")
    s = review("token-of-jane", "other")
    t.eq((s.get("authenticated"), s["user"]), (None, {}), "and for nobody else")
    api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    token = api.post("/api/v1/namespaces/default/serviceaccounts/robot/token", {"spec": {"audiences": ["a", "b"]}}).json["status"]["token"]
    for aud, want in (((), None), (("a",), ["a"]), (("c", "b"), ["b"]), (("a", "b"), ["a", "b"]), (("c",), None), ((ISSUER,), None)):
        s = review(token, *aud)
        t.eq((s.get("authenticated"), s.get("audiences")), (True if want else None, want), "a token for a and b, asked for %s" % (aud,))
    s = review(token, "a")["user"]
    t.ok(s["username"] == "system:serviceaccount:default:robot" and s["uid"] and s["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] and
         s["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI="), "and whose it is", s)
    t.eq(jane.post(N + "tokenreviews", {"spec": {"token": token}}).status, 403, "not everybody may ask")


def kubectl():
    if not shutil.which("kubectl"):
        t.skip("kubectl auth", "no kubectl")
        return

    def k(*a):
        r = subprocess.run(["kubectl", "--kubeconfig", d.kubeconfig, "--cache-dir", d.dir + "/cache"] + list(a), capture_output=True, text=True)
        return r.returncode, r.stdout, r.stderr
    RB = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    api.post(RB + "roles", {"metadata": {"name": "r"}, "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]},
                                                              {"verbs": ["create"], "apiGroups": ["apps"], "resources": ["deployments"]}]})
    api.post(RB + "rolebindings", {"metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                                   "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "team"}]})
    code, out, err = k("auth", "can-i", "--list", "--as=ann", "--as-group=team")
    lines = [" ".join(l.split()) for l in out.split("\n")]
    t.ok(code == 0 and lines[0] == "Resources Non-Resource URLs Resource Names Verbs" and "pods [] [p] [get list]" in lines and "deployments.apps [] [] [create]" in lines and
         "[/livez] [] [get]" in lines, "kubectl auth can-i --list", out + err)
    t.ok("warning" not in err.lower(), "is complete", err)
    code, out, err = k("auth", "can-i", "--list", "--as=ann")
    t.ok(code == 0 and "deployments.apps" not in out, "without the group less", out)
    t.eq(k("auth", "can-i", "get", "pods/p", "--as=ann", "--as-group=team")[:2], (0, "yes\n"), "can-i: yes")
    t.eq(k("auth", "can-i", "get", "pods/q", "--as=ann", "--as-group=team")[:2], (1, "no\n"), "can-i: no")
    t.eq(k("auth", "can-i", "create", "deployments.apps", "--as=ann", "--as-group=team")[:2], (0, "yes\n"), "can-i, of a group")
    code, out, err = k("get", "pods", "--as=ann")
    t.ok(code == 1 and err == 'Error from server (Forbidden): pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"\n', "--as", err)
    code, out, err = k("auth", "whoami", "--as=ann", "--as-group=team")
    if "unknown command" in err:
        t.skip("kubectl auth whoami", "an older kubectl")
    else:
        lines = [" ".join(l.split()) for l in out.split("\n")]
        t.eq((code, lines[:3]), (0, ["ATTRIBUTE VALUE", "Username ann", "Groups [team system:authenticated]"]), "kubectl auth whoami")


for g in (access, rules, tokens, kubectl):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
