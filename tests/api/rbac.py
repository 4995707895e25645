#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Roles and bindings: what they allow, what they may not give, what every cluster begins with, and who may be somebody else."""
import json
import shutil
import subprocess
import tempfile

from rig import Api, CM, Daemon, Tap, config_map, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
RB = "/apis/rbac.authorization.k8s.io/v1"
NS = RB + "/namespaces/default"
GROUP = "rbac.authorization.k8s.io"


def user(name, *groups):
    d.pki.client(name, "".join("/O=" + g for g in groups) + "/CN=" + name)
    return Api(d, name)


def role(name, *rules, kind="Role", **kw):
    return dict({"apiVersion": GROUP + "/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}, **kw)


def rule(verbs, resources, groups="", **kw):
    return dict({"verbs": verbs.split(","), "apiGroups": groups.split(","), "resources": resources.split(",")}, **kw)


def binding(name, to, *subjects, kind="RoleBinding"):
    k, n = to.split("/", 1)
    return {"apiVersion": GROUP + "/v1", "kind": kind, "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": k, "name": n},
            "subjects": [dict(zip(("kind", "name", "namespace"), s.split(":"))) for s in subjects]}


def sar(who, verb, resource, groups=(), a=api, **kw):
    spec = {"user": who, "groups": list(groups), "resourceAttributes": dict(verb=verb, resource=resource, **kw)}
    return a.post("/apis/authorization.k8s.io/v1/subjectaccessreviews",
                  {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}).json["status"]


def bootstrap():
    roles = {r["metadata"]["name"]: r for r in api.get(RB + "/clusterroles").json["items"]}
    t.ok(len(roles) > 60 and {"cluster-admin", "admin", "edit", "view", "system:node", "system:kube-scheduler"} <= set(roles), "the roles of every cluster are there")
    m = roles["system:basic-user"]["metadata"]
    t.eq((m["labels"], m["annotations"]), ({"kubernetes.io/bootstrapping": "rbac-defaults"}, {"rbac.authorization.kubernetes.io/autoupdate": "true"}), "marked as such")
    t.eq(roles["cluster-admin"]["rules"], [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}], "cluster-admin may all")

    def filled(name, resource, verb, group=""):
        return lambda: any(resource in r["resources"] and verb in r["verbs"] and group in r["apiGroups"]
                           for r in api.get(RB + "/clusterroles/" + name).json["rules"] or [])
    t.ok(until("view is filled", filled("view", "pods", "list")), "view is gathered")
    t.ok(until("edit is filled", filled("edit", "pods", "create")), "edit too")
    t.ok(until("admin is filled", filled("admin", "rolebindings", "create", GROUP)) and until("", filled("admin", "pods", "list")), "admin has what edit and view have")
    t.ok(not filled("view", "secrets", "get")(), "view has no secrets")
    b = api.get(RB + "/clusterrolebindings/cluster-admin").json
    t.eq((b["roleRef"]["name"], b["subjects"]), ("cluster-admin", [{"kind": "Group", "apiGroup": GROUP, "name": "system:masters"}]), "and a binding gives it to system:masters")
    t.eq(api.post(RB + "/clusterroles", role("more", rule("get", "widgets", "x.example"), kind="ClusterRole", metadata={"name": "more", "labels": {GROUP + "/aggregate-to-view": "true"}})).status, 201, "another role for view")
    t.ok(until("it is in admin", filled("admin", "widgets", "get", "x.example")), "arrives in admin")
    api.delete(RB + "/clusterroles/more")
    t.ok(until("it is gone", lambda: not filled("admin", "widgets", "get", "x.example")()), "and goes again")


def decisions():
    jane = user("jane", "dev")
    t.eq(jane.get(CM).status, 403, "nobody has given jane anything")
    t.eq(api.post(NS + "/roles", role("reader", rule("get,list", "configmaps"), rule("get", "pods/log"), rule("get", "*/scale", "apps"))).status, 201, "a role")
    b = api.post(NS + "/rolebindings", binding("jane-reads", "Role/reader", "User:jane")).json
    t.eq(b["subjects"], [{"kind": "User", "apiGroup": GROUP, "name": "jane"}], "a binding, whose subject gets its group")
    t.eq(jane.get(CM).status, 200, "counts at once")
    t.eq(jane.get("/api/v1/configmaps").status, 403, "in its namespace alone")
    t.eq(jane.post(CM, config_map("x")).status, 403, "for its verbs alone")
    t.ok(jane.get("/api/v1/namespaces/default/pods/p/log").status in (404, 503), "of a subresource")
    t.eq(jane.get("/api/v1/namespaces/default/pods/p").status, 403, "not what it is of")
    t.eq(jane.get("/apis/apps/v1/namespaces/default/deployments/x/scale").status, 404, "of a subresource of anything")
    s = sar("jane", "get", "configmaps", namespace="default")
    t.eq((s["allowed"], s.get("reason")), (True, 'RBAC: allowed by RoleBinding "jane-reads/default" of Role "reader" to User "jane"'), "a review says why")
    api.delete(NS + "/roles/reader")
    m = jane.get(CM).json["message"]
    t.eq(m, 'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default": RBAC: role.%s "reader" not found' % GROUP, "a role that is gone is named")
    w = None
    api.post(NS + "/roles", role("reader", rule("get,list,watch", "configmaps", resourceNames=["one"])))
    t.eq(jane.get(CM + "/one").status, 404, "one name")
    t.eq((jane.get(CM + "/two").status, jane.get(CM).status), (403, 403), "is not another, nor all")
    t.eq(jane.get(CM + "?fieldSelector=metadata.name%3Done").status, 200, "but a list of that one")
    api.post(CM, config_map("other"))
    for q in ("fieldSelector=metadata.name%3Done&fieldSelector=", "fieldSelector=metadata.name%3Done&fieldSelector=metadata.name%3Dother",
              "field%53elector=metadata.name%3Done&fieldSelector=", "fieldSelector=metadata.name%3Done&field%53elector="):
        a = jane.get(CM + "?" + q)
        t.eq((a.status, a.json.get("items")), (200, []), "what counts is what is asked: " + q)
    for q in ("fieldSelector=&fieldSelector=metadata.name%3Done", "field%53elector=&fieldSelector=metadata.name%3Done",
              "fieldSelector=metadata.namespace!%3Da\\,metadata.name%3Done", "fieldSelector=metadata.namespace%3D\\%2Cmetadata.name%3Done"):
        t.eq(jane.get(CM + "?" + q).status, 403, "and nothing that only looks like it: " + q)
    api.delete(CM + "/other")
    w = jane.watch(CM + "?watch=1&fieldSelector=metadata.name%3Done")
    api.delete(NS + "/rolebindings/jane-reads")
    t.eq(jane.get(CM + "/one").status, 403, "what is taken away is gone at once")
    api.post(CM, config_map("one"))
    t.eq(w.next()["object"]["metadata"]["name"], "one", "a watch that has begun goes on")
    w.close()
    t.eq(api.post(RB + "/clusterrolebindings", binding("devs", "ClusterRole/view", "Group:dev", kind="ClusterRoleBinding")).status, 201, "a group, everywhere")
    t.eq((jane.get("/api/v1/pods").status, jane.get("/api/v1/secrets").status, jane.get("/api/v1/namespaces/default").status), (200, 403, 200), "sees what view sees")
    s = sar("nobody", "get", "pods", groups=["dev"])
    t.eq(s.get("reason"), 'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "view" to Group "dev"', "so does a review")
    api.delete(RB + "/clusterrolebindings/devs")
    m = jane.get("/api/v1/namespaces/default").json["message"]
    t.eq(m, 'namespaces "default" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the namespace "default"', "a namespace is in itself")
    api.post(NS + "/rolebindings", binding("sa", "ClusterRole/view", "ServiceAccount:bot:default"))
    t.ok(sar("system:serviceaccount:default:bot", "list", "pods", namespace="default")["allowed"], "a service account, by the role of the cluster in one namespace")
    t.ok(not sar("system:serviceaccount:default:bot", "list", "pods")["allowed"], "not in all")
    api.post(RB + "/clusterroles", role("paths", {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}, kind="ClusterRole"))
    api.post(RB + "/clusterrolebindings", binding("paths", "ClusterRole/paths", "User:jane", kind="ClusterRoleBinding"))
    t.eq((jane.get("/metrics").status, jane.get("/logs/x").status, jane.get("/debug").status), (200, 404, 403), "paths")


def refused():
    def invalid(path, body, field, text):
        a = api.post(path, body)
        c = [x for x in a.json.get("details", {}).get("causes", []) if x["field"] == field]
        t.ok(a.status == 422 and c and text in c[0]["message"], "refused: %s %s" % (field, text), a)
    invalid(NS + "/roles", role("x", {"verbs": ["get"]}), "rules[0].apiGroups", "resource rules must supply at least one api group")
    invalid(NS + "/roles", role("x", {"verbs": ["get"]}), "rules[0].resources", "resource rules must supply at least one resource")
    invalid(NS + "/roles", role("x", {"apiGroups": [""], "resources": ["pods"], "verbs": []}), "rules[0].verbs", "verbs must contain at least one value")
    invalid(NS + "/roles", role("x", {"verbs": ["get"], "nonResourceURLs": ["/x"]}), "rules[0].nonResourceURLs", "namespaced rules cannot apply to non-resource URLs")
    invalid(RB + "/clusterroles", role("x", rule("get", "pods", nonResourceURLs=["/x"]), kind="ClusterRole"), "rules[0].nonResourceURLs", "rules cannot apply to both regular resources and non-resource URLs")
    invalid(RB + "/clusterroles", role("x", kind="ClusterRole", aggregationRule={}), "aggregationRule.clusterRoleSelectors", "at least one clusterRoleSelector required if aggregationRule is non-nil")
    invalid(NS + "/rolebindings", binding("x", "Thing/x"), "roleRef.kind", 'Unsupported value: "Thing": supported values: "Role", "ClusterRole"')
    invalid(RB + "/clusterrolebindings", binding("x", "Role/x", kind="ClusterRoleBinding"), "roleRef.kind", 'supported values: "ClusterRole"')
    invalid(NS + "/rolebindings", binding("x", "Role/x", "Robot:y"), "subjects[0].kind", 'Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"')
    invalid(RB + "/clusterrolebindings", binding("x", "ClusterRole/x", "ServiceAccount:y", kind="ClusterRoleBinding"), "subjects[0].namespace", "Required value")
    api.post(NS + "/rolebindings", binding("fixed", "Role/x", "User:a"))
    a = api.put(NS + "/rolebindings/fixed", binding("fixed", "Role/y", "User:a"))
    t.ok(a.status == 422 and "cannot change roleRef" in a.json["message"], "another role for a binding", a)
    row = api.get(NS + "/rolebindings/fixed", headers={"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}).json["rows"][0]["cells"]
    t.eq(row[1:2] + row[3:], ["Role/x", "a", "", ""], "its columns")


def escalation():
    kim = user("kim", "ops")
    api.post(NS + "/roles", role("kim", rule("*", "roles,rolebindings", GROUP), rule("get", "configmaps")))
    api.post(NS + "/rolebindings", binding("kim", "Role/kim", "User:kim"))
    t.eq(kim.post(NS + "/roles", role("mine", rule("get", "configmaps"))).status, 201, "what one has one may give")
    api.put(NS + "/roles/kim", role("kim", rule("get,create,update,patch,delete", "roles,rolebindings", GROUP), rule("get", "configmaps")))
    a = kim.post(NS + "/roles", role("more", rule("get,list", "secrets,configmaps"), rule("watch", "pods", resourceNames=["p"])))
    t.eq((a.status, a.json["message"]), (403, 'roles.%s "more" is forbidden: user "kim" (groups=["ops" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
         '{APIGroups:[""], Resources:["configmaps"], Verbs:["list"]}\n{APIGroups:[""], Resources:["pods"], ResourceNames:["p"], Verbs:["watch"]}\n'
         '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}' % GROUP), "what one has not one may not")
    t.eq(kim.patch(NS + "/roles/mine", {"metadata": {"labels": {"a": "b"}}}).status, 200, "labels are no rights")
    t.eq(kim.patch(NS + "/roles/mine", {"rules": [rule("delete", "configmaps")]}).status, 403, "nor by changing")
    a = kim.post(NS + "/rolebindings", binding("all", "ClusterRole/cluster-admin", "User:kim"))
    t.eq((a.status, a.json["message"]), (403, 'rolebindings.%s "all" is forbidden: user "kim" (groups=["ops" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
         '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}' % GROUP), "nor by a binding")
    t.eq(kim.post(NS + "/rolebindings", binding("some", "Role/mine", "User:kim")).status, 201, "a binding to what one has")
    a = kim.post(NS + "/rolebindings", binding("none", "Role/nix", "User:kim"))
    t.eq((a.status, a.json["message"]), (404, 'role.%s "nix" not found' % GROUP), "a role that is not there")
    api.put(NS + "/roles/kim", role("kim", rule("get,create,update,bind", "rolebindings", GROUP), rule("bind", "clusterroles", GROUP, resourceNames=["view"]), rule("create,escalate", "roles", GROUP)))
    t.eq(kim.post(NS + "/rolebindings", binding("view", "ClusterRole/view", "User:kim")).status, 201, "with the verb bind, that role")
    t.eq(kim.post(NS + "/rolebindings", binding("edit", "ClusterRole/edit", "User:kim")).status, 403, "no other")
    t.eq(kim.post(NS + "/roles", role("big", rule("*", "*", "*"))).status, 201, "with the verb escalate anything")
    lee = user("lee")
    api.post(RB + "/clusterroles", role("lee", rule("*", "clusterroles", GROUP, ), kind="ClusterRole"))
    api.put(RB + "/clusterroles/lee", role("lee", rule("create,update", "clusterroles", GROUP), kind="ClusterRole"))
    api.post(RB + "/clusterrolebindings", binding("lee", "ClusterRole/lee", "User:lee", kind="ClusterRoleBinding"))
    a = lee.post(RB + "/clusterroles", role("agg", kind="ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}))
    t.ok(a.status == 403 and a.json["message"].endswith("must have cluster-admin privileges to use an aggregationRule"), "who aggregates must have all", a)


def rules_review():
    jane = Api(d, "jane")
    a = jane.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}).json["status"]
    t.ok({"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]} in a["nonResourceRules"] and
         {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]} in a["resourceRules"] and not a["incomplete"], "all one may", a)


def impersonation():
    api.post(NS + "/rolebindings", binding("ann", "ClusterRole/view", "User:ann"))

    def me(a, **h):
        return a.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
                      headers={k.replace("_", "-"): v for k, v in h.items()})
    u = me(api, Impersonate_User="ann", Impersonate_Group="x", Impersonate_Uid="7", **{"Impersonate-Extra-Acme.com%2Fproject": "p"}).json["status"]["userInfo"]
    t.eq(u, {"username": "ann", "uid": "7", "groups": ["x", "system:authenticated"], "extra": {"acme.com/project": ["p"]}}, "an administrator may be anybody")
    t.eq(api.get(CM, headers={"Impersonate-User": "ann"}).status, 200, "with that one's rights")
    t.eq(api.post(CM, config_map("q"), headers={"Impersonate-User": "ann"}).status, 403, "and no others")
    u = me(api, Impersonate_User="system:serviceaccount:default:bot").json["status"]["userInfo"]
    t.eq(u["groups"], ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"], "a service account is in its groups")
    t.eq(api.get("/api", headers={"Impersonate-User": "system:anonymous"}).status, 403, "nobody is not authenticated")
    a = api.get(CM, headers={"Impersonate-Group": "x"})
    t.ok(a.status == 500 and "without impersonating a user" in a.json["message"], "a group needs a user", a)
    max_ = user("max")
    a = max_.get(CM, headers={"Impersonate-User": "ann"})
    t.eq((a.status, a.json["message"]), (403, 'users "ann" is forbidden: User "max" cannot impersonate resource "users" in API group "" at the cluster scope'), "others need the verb")
    api.post(RB + "/clusterroles", role("imp", rule("impersonate", "users", resourceNames=["ann"]), rule("impersonate", "userextras/scope", "authentication.k8s.io", resourceNames=["a"]), kind="ClusterRole"))
    api.post(RB + "/clusterrolebindings", binding("imp", "ClusterRole/imp", "User:max", kind="ClusterRoleBinding"))
    t.eq(max_.get(CM, headers={"Impersonate-User": "ann"}).status, 200, "for that user")
    a = max_.get(CM, headers={"Impersonate-User": "ann", "Impersonate-Group": "system:masters"})
    t.eq((a.status, a.json["message"]), (403, 'groups "system:masters" is forbidden: User "max" cannot impersonate resource "groups" in API group "" at the cluster scope'), "not for a group")
    a = max_.get(CM, headers={"Impersonate-User": "ann", "Impersonate-Uid": "1"})
    t.eq(a.json["message"], 'uids.authentication.k8s.io "1" is forbidden: User "max" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope', "nor a uid")
    t.eq(max_.get(CM, headers={"Impersonate-User": "ann", "Impersonate-Extra-Scope": "a"}).status, 200, "an extra that is allowed")
    a = max_.get(CM, headers={"Impersonate-User": "ann", "Impersonate-Extra-Scope": "b"})
    t.eq(a.json["message"], 'userextras.authentication.k8s.io "b" is forbidden: User "max" cannot impersonate resource "userextras/scope" in API group "authentication.k8s.io" at the cluster scope', "and one that is not")
    api.put(RB + "/clusterroles/imp", role("imp", rule("impersonate", "users"), rule("impersonate", "userextras/scope", "authentication.k8s.io", resourceNames=["a"]), kind="ClusterRole"))
    for name in ("orlop:core", "orlop:apiserver", "orlop:controllers/x", "orlop:kubelet"):
        a = max_.get(CM, headers={"Impersonate-User": name})
        t.eq(a.status, 401, "anybody is not " + name)
    t.ok(max_.get(CM, headers={"Impersonate-User": "system:apiserver"}).status in (401, 403), "the server's own name gives nothing")
    core = user("orlop:core")
    t.eq(core.get(CM).status, 401, "nor does a certificate make a module")
    core.close()
    a = max_.get(CM, headers={"Impersonate-User": "system:serviceaccount:default:bot"})
    t.eq(a.json["message"], 'serviceaccounts "bot" is forbidden: User "max" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"', "a service account is in a namespace")


def bootstrap_tokens():
    def secret(**data):
        base = {"token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
                "auth-extra-groups": "system:bootstrappers:workers"}
        return {"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "metadata": {"name": "bootstrap-token-abc123"},
                "stringData": dict(base, **data)}
    path = "/api/v1/namespaces/kube-system/secrets"
    who = Api(d, None, token="abc123.0123456789abcdef")

    def me():
        a = who.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        return a.json["status"]["userInfo"] if a.status == 201 else a.status

    t.eq(me(), 401, "a bootstrap token of no Secret is nobody's")
    t.eq(api.post(path, secret()).status, 201, "its Secret")
    t.eq(me(), {"username": "system:bootstrap:abc123", "groups": ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]}, "makes it somebody")
    r = api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "abc123.0123456789abcdef"}}).json["status"]
    t.eq((r["authenticated"], r["user"]["username"]), (True, "system:bootstrap:abc123"), "a review says so")
    t.eq(Api(d, None, token="abc123.0123456789abcdee").get(CM).status, 401, "another secret")
    for data, name in (({"expiration": "2020-01-01T00:00:00Z"}, "expired"), ({"usage-bootstrap-authentication": "false"}, "not for this"),
                       ({"auth-extra-groups": "system:masters"}, "of a group that it may not have"), ({"token-id": "abc124"}, "of another id")):
        api.delete(path + "/bootstrap-token-abc123")
        api.post(path, secret(**data))
        t.eq(me(), 401, name)
    api.delete(path + "/bootstrap-token-abc123")
    api.post(path, secret(expiration="2099-01-01T00:00:00Z"))
    t.ok(me() != 401, "and one that lasts")


def nodes():
    d.pki.client("n1", "/O=system:nodes/CN=system:node:n1")
    n1 = Api(d, "n1")

    def node(name="n1", **meta):
        return {"apiVersion": "v1", "kind": "Node", "metadata": dict({"name": name}, **meta)}

    def no(a, words):
        t.ok(a.status == 403 and words in a.json["message"], words, a)
    no(n1.post("/api/v1/nodes", node("n2")), 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"')
    no(n1.post("/api/v1/nodes", node(labels={"node-restriction.kubernetes.io/x": "1", "kubernetes.io/hostname": "n1", "node-role.kubernetes.io/master": "", "mine": "2"})),
       'nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/x, node-role.kubernetes.io/master')
    a = n1.post("/api/v1/nodes", node(labels={"kubernetes.io/hostname": "n1", "mine": "2"}))
    t.eq(a.status, 201, "a node makes itself")
    uid = a.json["metadata"]["uid"]
    no(n1.patch("/api/v1/nodes/n1", {"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}), 'node "n1" is not allowed to modify labels: node-role.kubernetes.io/master')
    no(n1.patch("/api/v1/nodes/n1", {"spec": {"taints": []}}), 'node "n1" is not allowed to modify taints')
    t.eq(n1.patch("/api/v1/nodes/n1/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}).status, 200, "its status is its own")
    api.post("/api/v1/nodes", node("n2"))
    no(n1.patch("/api/v1/nodes/n2/status", {}), "no relationship found between node 'n1' and this object")
    pods = "/api/v1/namespaces/default/pods"

    def pod(name, **kw):
        spec = dict({"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}, **kw.pop("spec", {}))
        return {"apiVersion": "v1", "kind": "Pod", "metadata": dict({"name": name}, **kw), "spec": spec}
    mirror = {"kubernetes.io/config.mirror": "x"}
    own = [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}]
    no(n1.post(pods, pod("p")), 'pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods')
    no(n1.post(pods, pod("p", annotations=mirror, spec={"nodeName": "n2"})), 'node "n1" can only create pods with spec.nodeName set to itself')
    no(n1.post(pods, pod("p", annotations=mirror)), 'node "n1" can only create pods with an owner reference set to itself')
    no(n1.post(pods, pod("p", annotations=mirror, ownerReferences=[dict(own[0], uid="nix")])), "node n1 UID mismatch: expected %s got nix" % uid)
    no(n1.post(pods, pod("p", annotations=mirror, ownerReferences=own, spec={"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})), 'node "n1" can not create pods that reference secrets')
    t.eq(n1.post(pods, pod("p", annotations=mirror, ownerReferences=own)).status, 201, "a mirror pod")
    no(n1.patch(pods + "/p/status", {"metadata": {"labels": {"a": "b"}}}), 'node "n1" cannot update labels through pod status')
    api.post("/api/v1/namespaces/default/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    api.post(pods, pod("q", spec={"serviceAccountName": "default"}))
    token = "/api/v1/namespaces/default/serviceaccounts/default/token"
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    no(n1.post(token, ask), "node requested token not bound to a pod")
    ask["spec"]["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": "q"}
    a = n1.post(token, ask)
    t.eq(a.status, 201, "a token for a pod of its own")
    bot = Api(d, None, token=a.json["status"]["token"])
    t.eq(bot.get("/api").status, 200, "is good")
    api.delete(pods + "/q?gracePeriodSeconds=0")
    t.eq(bot.get("/api").status, 401, "until the pod is gone")
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n2"}}
    no(n1.post(leases, lease), "can only access node lease with the same name as the requesting node")
    t.eq(n1.post(leases, dict(lease, metadata={"name": "n1"})).status, 201, "its own lease")
    t.eq([n1.get(pods + "?" + q).status for q in ("fieldSelector=spec.nodeName%3Dn1", "fieldSelector=spec.nodeName=n1,status.phase!=x", "",
          "fieldSelector=spec.nodeName%3Dn2", "fieldSelector=spec.nodeName!%3Da\\,spec.nodeName%3Dn1", "fieldSelector=spec.nodeName!%3Dn1",
          "field%53elector=&fieldSelector=spec.nodeName%3Dn1")], [200, 200, 403, 403, 403, 403, 403], "the pods of a node, however it asks")
    csi = "/apis/storage.k8s.io/v1/csinodes"
    no(n1.post(csi, {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n2"}, "spec": {"drivers": []}}), "can only access CSINode with the same name as the requesting node")
    t.eq(n1.post(csi, {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n1"}, "spec": {"drivers": []}}).status, 201, "its own CSINode")
    t.eq((n1.get("/api/v1/namespaces/default/secrets/s").status, n1.get("/api/v1/secrets").status), (403, 403), "no secret that no pod of it names")


def restart():
    """What is missing at a start is added, what is more stays, and who said no is left alone."""
    api.put(RB + "/clusterroles/system:monitoring", dict(role("system:monitoring", {"verbs": ["get"], "nonResourceURLs": ["/mine"]}, kind="ClusterRole")))
    api.patch(RB + "/clusterroles/system:heapster", {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []})
    api.patch(RB + "/clusterrolebindings/system:discovery", {"subjects": []})
    api.delete(RB + "/clusterrolebindings/system:basic-user")
    before = api.get(RB + "/clusterroles/system:node").json["metadata"]["resourceVersion"]
    t.eq(d.stop(), 0, "the daemon ends in order")
    d.start()
    a = Api(d)
    m = a.get(RB + "/clusterroles/system:monitoring").json
    t.ok({"verbs": ["get"], "nonResourceURLs": ["/mine"]} in m["rules"] and len(m["rules"]) == 2 and m["metadata"]["labels"], "a role has its own rules again, and the others", m)
    t.ok(not a.get(RB + "/clusterroles/system:heapster").json["rules"], "one that may not be updated is not")
    t.eq(len(a.get(RB + "/clusterrolebindings/system:discovery").json["subjects"]), 1, "a binding has its subjects")
    t.eq(a.get(RB + "/clusterrolebindings/system:basic-user").status, 200, "one that was gone is there")
    t.eq(a.get(RB + "/clusterroles/system:node").json["metadata"]["resourceVersion"], before, "what was right is not written")
    a.close()


for g in (bootstrap, decisions, refused, escalation, rules_review, impersonation, bootstrap_tokens, nodes, restart):
    group(t, g)
t.eq(d.stop(), 0, "it ends in order")
t.done()
