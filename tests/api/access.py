#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Who may do what: certificates, tokens, nobody; and what anyone may read: health, version, discovery, OpenAPI."""
import base64
import hashlib
import json
import os
import ssl
import subprocess

from rig import Api, CM, Daemon, Pki, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
SA = "/api/v1/namespaces/default/serviceaccounts"
ME = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AGG = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def whoami(a):
    return a.post(ME, REVIEW).json["status"]["userInfo"]


def may(a, verb, resource, **kw):
    r = a.post(ACCESS, {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                        "spec": {"resourceAttributes": dict(verb=verb, resource=resource, **kw)}})
    return r.json["status"]["allowed"]


def refused(a, code, reason, name):
    s = a.json
    t.ok(a.status == code and s["kind"] == "Status" and s["reason"] == reason and s["code"] == code, name, a)
    return s["message"]


def certificates():
    u = whoami(api)
    t.ok(u["username"] == "kubernetes-admin" and set(u["groups"]) == {"system:masters", "system:authenticated"}, "an administrator", u)
    d.pki.client("jane", "/O=dev/O=ops/CN=jane")
    jane = Api(d, "jane")
    u = whoami(jane)
    t.ok(u["username"] == "jane" and set(u["groups"]) == {"dev", "ops", "system:authenticated"}, "a user with groups", u)
    m = refused(jane.get(CM), 403, "Forbidden", "may read nothing")
    t.eq(m, 'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"', "in upstream's words")
    m = refused(jane.get("/apis/apps/v1/deployments"), 403, "Forbidden", "in no namespace")
    t.eq(m, 'deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" at the cluster scope', "in other words")
    m = refused(jane.get(CM + "/x"), 403, "Forbidden", "nor learn what is there")
    t.eq(m, 'configmaps "x" is forbidden: User "jane" cannot get resource "configmaps" in API group "" in the namespace "default"', "whether it is or not")
    for what, a in (("create", jane.post(CM, config_map("x"))), ("update", jane.put(CM + "/x", config_map("x"))),
                    ("patch", jane.patch(CM + "/x", {})), ("delete", jane.delete(CM + "/x")), ("delete all", jane.delete(CM)),
                    ("watch", jane.get(CM + "?watch=1")), ("exec", jane.get("/api/v1/namespaces/default/pods/p/exec?command=x")),
                    ("log", jane.get("/api/v1/namespaces/default/pods/p/log")), ("scale", jane.get("/apis/apps/v1/namespaces/default/deployments/x/scale")),
                    ("unheard of things", jane.get("/apis/x.example/v1/things"))):
        refused(a, 403, "Forbidden", "nor " + what)
    t.ok(may(api, "delete", "nodes") and not may(jane, "get", "pods", namespace="default"), "and self reviews agree")
    t.eq(jane.get("/apis").status, 200, "but discover")
    refused(jane.get("/metrics"), 403, "Forbidden", "not the metrics")
    t.eq(api.get("/metrics").status, 200, "which an administrator may")
    # signed by another authority; expired; meant for servers
    other = Pki(os.path.join(d.dir, "other"))
    for name, crt, key in (("of another authority", other.at("admin.crt"), other.at("admin.key")),):
        c = d.tls(None)
        c.load_cert_chain(crt, key)
        try:
            evil = Api(d, None)
            evil.ctx = c
            a = evil.get(CM)
            t.ok(a.status == 401, "a certificate %s is nobody's" % name, a)
        except (ssl.SSLError, ConnectionError, OSError) as e:
            t.ok(True, "a certificate %s is refused in the handshake (%s)" % (name, type(e).__name__))
    d.pki.issue("forserver", "/O=system:masters/CN=evil", "extendedKeyUsage=serverAuth\n")
    try:
        a = Api(d, "forserver").get(CM)
        t.ok(a.status == 401, "a server's certificate is nobody's", a)
    except (ssl.SSLError, ConnectionError, OSError) as e:
        t.ok(True, "a server's certificate is refused in the handshake (%s)" % type(e).__name__)


def nobody():
    anon = Api(d, None)
    for p in ("/livez", "/readyz", "/healthz", "/version"):
        t.eq(anon.get(p).status, 200, "anybody may ask " + p)
    for p in ("/api", "/apis", "/api/v1", CM, "/openapi/v2", "/metrics", "/", "/logs", "/debug/pprof"):
        m = refused(anon.get(p), 403, "Forbidden", "but not " + p)
        t.ok('User "system:anonymous" cannot' in m, "and is told as whom", m)
    refused(anon.post(ME, REVIEW), 403, "Forbidden", "nor who they are")
    for tok in ("nonsense", "a.b.c", "", "x" * 20000):
        a = Api(d, None)
        a.token = None
        r = a.get(CM, {"Authorization": "Bearer " + tok})
        t.ok(r.status in ((401, 403) if tok == "" else (401, 431, 400)), "a token that is none (%d bytes)" % len(tok), r)
    r = Api(d, None).get("/livez", {"Authorization": "Bearer nonsense"})
    t.ok(r.status == 401, "is refused even where nobody need be anybody", r)
    r = Api(d, None).get(CM, {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()})
    t.ok(r.status in (401, 403), "no passwords", r)
    r = Api(d, None).get(CM, {"X-Remote-User": "kubernetes-admin", "X-Remote-Group": "system:masters"})
    t.ok(r.status == 403, "headers of a front proxy mean nothing", r)
    d.pki.client("jane", "/O=dev/CN=jane")
    r = Api(d, "jane").get(CM, {"Impersonate-User": "kubernetes-admin", "Impersonate-Group": "system:masters"})
    t.ok(r.status == 403, "nor does impersonation by one who may not", r)


def tokens():
    jane = Api(d, token="token-of-jane")
    u = whoami(jane)
    t.ok(u["username"] == "jane" and u["uid"] == "uid-1" and set(u["groups"]) == {"dev", "ops", "system:authenticated"}, "a token of the file", u)
    t.eq(Api(d, token="token-of-root").get(CM).status, 200, "with a group that may all")
    t.eq(api.post(SA, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}).status, 201, "a service account")
    req = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    a = api.post(SA + "/robot/token", req)
    tok = a.json["status"]["token"]
    t.ok(a.status == 201 and a.json["status"]["expirationTimestamp"], "its token", a)
    claims = json.loads(base64.urlsafe_b64decode(tok.split(".")[1] + "=="))
    t.ok(claims["sub"] == "system:serviceaccount:default:robot" and claims["kubernetes.io"]["serviceaccount"]["name"] == "robot" and
         claims["exp"] - claims["iat"] == 3600 and claims["jti"], "says what it should", claims)
    robot = Api(d, token=tok)
    u = whoami(robot)
    t.ok(u["username"] == "system:serviceaccount:default:robot" and
         set(u["groups"]) == {"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}, "is known", u)
    for p in ("/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version"):
        t.eq(robot.get(p).status, 200, "and may discover " + p)
    for p in (CM, "/api/v1/secrets", SA + "/robot", "/api/v1/nodes"):
        refused(robot.get(p), 403, "Forbidden", "but not " + p)
    refused(robot.post(SA + "/robot/token", req), 403, "Forbidden", "nor make tokens")
    h, c, s = tok.split(".")
    forged = dict(claims, sub="system:serviceaccount:kube-system:root")
    f = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    t.eq(Api(d, token="%s.%s.%s" % (h, f, s)).get("/api").status, 401, "a forged one is refused")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    t.eq(Api(d, token="%s.%s." % (none, c)).get("/api").status, 401, "one without a signature too")
    a = api.post(SA + "/robot/token", dict(req, spec={"audiences": ["elsewhere"]}))
    t.eq(Api(d, token=a.json["status"]["token"]).get("/api").status, 401, "one for others too")
    a = api.post(SA + "/robot/token", dict(req, spec={"expirationSeconds": 10}))
    t.eq(a.status, 422, "too short a life")
    a = api.post(SA + "/nobody/token", req)
    t.eq(a.status, 404, "no account, no token")
    a = api.post("/apis/authentication.k8s.io/v1/tokenreviews",
                 {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": tok}})
    t.ok(a.json["status"].get("authenticated") and a.json["status"]["user"]["username"].endswith(":robot"), "TokenReview", a)
    a = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews",
                 {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                  "spec": {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods"}}})
    t.ok(a.json["status"]["allowed"] is False, "SubjectAccessReview", a)
    api.delete(SA + "/robot")
    t.eq(robot.get("/api").status, 401, "the token ends with its account")


def health():
    t.eq(api.get("/livez").text, "ok", "livez")
    a = api.get("/readyz?verbose")
    t.ok("[+]ping ok" in a.text and a.text.rstrip().endswith("readyz check passed"), "verbose", a)
    t.eq(api.get("/readyz/ping").text, "ok", "one check")
    t.eq(api.get("/livez?exclude=ping").status, 200, "without one")
    v = api.get("/version").json
    t.ok(v["major"] == "1" and v["gitVersion"].startswith("v1.") and v["platform"], "version", v)


def discovery():
    a = api.get("/api")
    t.ok(a.json["kind"] == "APIVersions" and a.json["versions"] == ["v1"], "/api", a)
    groups = [g["name"] for g in api.get("/apis").json["groups"]]
    order = ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
             "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
             "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io",
             "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "metrics.k8s.io"]
    t.ok({"apps", "events.k8s.io", "coordination.k8s.io"} <= set(groups) and groups == [g for g in order if g in groups],
         "/apis, in upstream's order", groups)
    a = api.get("/apis/apps")
    t.ok(a.json["kind"] == "APIGroup" and a.json["preferredVersion"]["groupVersion"] == "apps/v1", "one group", a)
    rs = {r["name"]: r for r in api.get("/api/v1").json["resources"]}
    pod = rs["pods"]
    t.ok(pod["namespaced"] and pod["kind"] == "Pod" and pod["singularName"] == "pod" and pod["shortNames"] == ["po"] and
         pod["categories"] == ["all"] and set(pod["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
         "a resource", pod)
    want = base64.b64encode(hashlib.sha256(b"/v1/Pod").digest()[:8]).decode()
    t.eq(pod.get("storageVersionHash"), want, "its storage version")
    t.ok({"pods/status", "pods/log", "pods/exec", "pods/binding", "serviceaccounts/token", "namespaces/finalize"} <= set(rs), "subresources", sorted(rs))
    t.eq(rs["pods/binding"]["kind"], "Binding", "of another kind")
    t.eq(list(rs), sorted(rs), "sorted")
    sc = [r for r in api.get("/apis/apps/v1").json["resources"] if r["name"] == "deployments/scale"][0]
    t.ok(sc["kind"] == "Scale" and sc["group"] == "autoscaling" and sc["version"] == "v1", "scale", sc)
    for p in ("/api", "/apis"):
        a = api.get(p, {"Accept": AGG + ",application/json"})
        t.ok(a.json["kind"] == "APIGroupDiscoveryList" and "as=APIGroupDiscoveryList" in a.headers["Content-Type"] and
             a.headers.get("ETag"), "aggregated " + p, a)
        b = api.get(p, {"Accept": AGG, "If-None-Match": a.headers["ETag"]})
        t.ok(b.status == 304 and b.raw == b"", "unchanged", b)
    v = [g for g in a.json["items"] if g["metadata"]["name"] == "apps"][0]["versions"][0]
    dep = [r for r in v["resources"] if r["resource"] == "deployments"][0]
    t.ok(v["freshness"] == "Current" and dep["scope"] == "Namespaced" and dep["responseKind"]["kind"] == "Deployment" and
         {s["subresource"] for s in dep["subresources"]} == {"status", "scale"}, "its contents", dep)
    a = api.get("/apis", {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"})
    t.eq(a.json["kind"], "APIGroupList", "an older form gets the plain one")


def openapi():
    a = api.get("/openapi/v2")
    s = a.json
    t.ok(s["swagger"] == "2.0" and "io.k8s.api.core.v1.Pod" in s["definitions"], "v2", a.text[:200])
    pod = s["definitions"]["io.k8s.api.core.v1.Pod"]
    t.ok(pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}], "names its kind", pod)
    c = s["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    t.ok(c["x-kubernetes-patch-merge-key"] == "name" and c["x-kubernetes-patch-strategy"] == "merge", "how to patch", c)
    refs = set()

    def walk(x):
        if isinstance(x, dict):
            for k, v in x.items():
                if k == "$ref" and isinstance(v, str):    # a schema of schemas has a property of that name
                    refs.add(v)
                walk(v)
        elif isinstance(x, list):
            for v in x:
                walk(v)
    walk(s)
    lost = [r for r in refs if r.split("/")[-1] not in s["definitions"]]
    t.eq(lost, [], "each reference leads somewhere")
    patch = s["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    t.ok(any(p.get("name") == "dryRun" for p in patch["parameters"] + s["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].get("parameters", [])),
         "dryRun is a parameter", patch)
    b = api.get("/openapi/v2", {"If-None-Match": a.headers.get("ETag", "-")})
    t.eq(b.status, 304, "unchanged")
    etag = a.headers["ETag"]
    a = api.get("/openapi/v2", {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
    t.ok(a.status == 200 and a.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" and len(a.raw) > 10000,
         "as protobuf", a.headers)
    t.ok(a.headers["ETag"] != etag, "another document has another ETag")
    paths = api.get("/openapi/v3").json["paths"]
    t.ok({"api/v1", "apis/apps/v1"} <= set(paths), "v3", paths)
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    a = api.get(url)
    t.ok(a.status == 200 and a.json["openapi"].startswith("3.") and "immutable" in a.headers["Cache-Control"] and a.headers.get("Expires") and
         "io.k8s.api.apps.v1.Deployment" in a.json["components"]["schemas"], "of a group, by its hash", a.text[:300])
    refs.clear()
    walk(a.json)
    lost = [r for r in refs if r.split("/")[-1] not in a.json["components"]["schemas"]]
    t.eq(lost, [], "each reference leads somewhere")
    a = api.get("/openapi/v3/apis/apps/v1?hash=OLD")
    t.ok(a.status in (301, 302) and a.headers["Location"].endswith(url.split("?")[1]), "an old hash leads to the new", a)
    t.eq(api.get("/openapi/v3/apis/none/v1").status, 404, "of no group")


def transport():
    def handshake(*args):
        r = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % d.port] + list(args),
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return (r.stdout + r.stderr).decode("utf-8", "replace")
    out = handshake("-tls1_3", "-alpn", "h2,http/1.1")
    t.ok("TLSv1.3" in out and "ALPN protocol: h2" in out, "TLS 1.3, HTTP/2", out[-500:])
    t.ok("kubernetes-admin" not in out and "PRIVATE" not in out, "tells nothing it should not", out[-500:])
    for old in ("-tls1_2", "-tls1_1"):
        out = handshake(old)
        t.ok("Cipher is (NONE)" in out or "no protocols" in out or "alert" in out, "no " + old, out[-300:])
    t.eq(os.stat(d.dir + "/data").st_mode & 0o077 & 0o007, 0, "the data directory is not everybody's")


for g in (certificates, nobody, tokens, health, discovery, openapi, transport):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.ok("token-of" not in d.log() and "eyJ" not in d.log(), "its log has no secrets")
t.eq(d.stop(), 0, "and ends well")
t.done()
