#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Names that somebody gives himself: headers of a front proxy (X-Remote-User, as in CVE-2020-4062's kind and upstream's requestheader),
impersonation (CVE-2019-11243's kind), certificates and tokens that carry names of ours, and what nobody in particular may see
(CVE-2019-11253's first condition). Here a name is what a certificate, a token or a granted impersonation says, and names of the system's
own parts come from nowhere outside."""
from sec import *

t = Tap()
d = Daemon().start()
api = Api(d)
d.pki.client("eve", "/CN=eve")
OWN = ["orlop:core", "orlop:apiserver", "orlop:apiserver:x", "system:apiserver", "orlop:kubelet", "orlop:kubelet/x"]


def front_proxy():
    forged = {"X-Remote-User": "kubernetes-admin", "X-Remote-Group": "system:masters", "X-Remote-Uid": "1", "X-Remote-Extra-Scopes": "all",
              "X-Forwarded-User": "kubernetes-admin", "X-Forwarded-For": "127.0.0.1", "X-Original-Uri": "/livez", "X-Original-URL": "/livez",
              "X-Rewrite-URL": "/livez", "X-HTTP-Method-Override": "GET", "Forwarded": "for=127.0.0.1;by=admin"}
    for who, code in ((Api(d, None), 403), (Api(d, "eve"), 403), (Api(d, None, token="token-of-jane"), 403), (Api(d, None, token="no-such"), 401)):
        for path in ("/api/v1/secrets", "/api/v1/namespaces/kube-system/secrets", "/metrics"):
            t.eq(who.get(path, headers=forged).status, code, "headers of a front proxy make nobody of %s anybody" % who.token)
    u = Api(d, "eve").post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=forged).json["status"]["userInfo"]
    t.eq((u["username"], u["groups"]), ("eve", ["system:authenticated"]), "one is who one is")
    a = Api(d, "eve")("DELETE", CM, None, {"X-HTTP-Method-Override": "GET"})
    t.eq(a.status, 403, "a method is what it is")


def nobody():
    anon = Api(d, None)
    may = {"/livez", "/readyz", "/healthz", "/version"}
    for p in ("/livez", "/readyz", "/healthz", "/version", "/version/", "/livez/ping"):
        t.ok(anon.get(p).status in (200, 404, 403 if p not in may else 200), "anybody may ask " + p)
    for p in ("/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/metrics", "/metrics/slis",
              "/.well-known/openid-configuration", "/openid/v1/jwks", "/debug/pprof/", "/logs/", "/configz", "/flagz", "/statusz", "/readyz/../metrics", "/livez/../api",
              "/api/v1/namespaces", "/api/v1/pods", "/api/v1/secrets", "/apis/none/v1/things", "/api/v1/nothings", "/apis/apps/v1/namespaces/default/deployments"):
        for accept in ("application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "*/*"):
            a = anon.get(p, headers={"Accept": accept})
            t.ok(a.status == 403 and "system:anonymous" in a.text and "deployments\"," not in a.text, "nobody learns nothing from " + p, a)
    a, b = anon.get("/apis/none/v1/things"), anon.get("/apis/apps/v1/deployments")
    t.eq(a.json["message"].replace("things", "X").replace("none", "G"), b.json["message"].replace("deployments", "X").replace("apps", "G"),
         "what there is not looks as what there is")
    for p in ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "/apis/authentication.k8s.io/v1/tokenreviews",
              "/apis/authentication.k8s.io/v1/selfsubjectreviews", "/apis/certificates.k8s.io/v1/certificatesigningrequests"):
        t.eq(anon.post(p, {"spec": {}}).status, 403, "nobody asks nothing of " + p.split("/")[-1])


def own_names():
    """The parts of the system are known by how they come, not by what they are called."""
    for i, name in enumerate(OWN):
        d.pki.client("own%d" % i, "/CN=" + name.replace("/", "\\/"))
        a = Api(d, "own%d" % i)
        codes = [a.get("/api/v1/secrets").status, a.get("/api/v1/nodes").status, a.post(CM, config_map("own%d" % i)).status]
        t.ok(not set(codes) & {200, 201}, "a certificate for %s opens nothing" % name, codes)
    grant(api, "eve", [("impersonate", "", "users")])
    eve = Api(d, "eve")
    for name in OWN:
        a = eve.get("/api/v1/secrets", headers={"Impersonate-User": name})
        t.ok(a.status in (401, 403), "impersonating %s opens nothing" % name, a)
    t.eq(eve.get("/api/v1/secrets", headers={"Impersonate-User": "eve", "Impersonate-Group": "system:masters"}).status, 403, "nor a group without a right to it")
    t.eq(eve.get("/api/v1/secrets", headers={"Impersonate-User": "system:node:n1"}).status, 403, "nor a node without its group")
    for h in ("Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-X"):
        a = eve.get("/api/v1/secrets", headers={h: "system:masters"})
        t.ok(a.status >= 400, "%s alone is refused" % h, a)


with Bounded(t, d, 8, "names"):
    for g in (front_proxy, nobody, own_names):
        group(t, g)
t.eq(d.stop(), 0, "it ends in order")
t.done()
