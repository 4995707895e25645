#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Another server of a group version, behind an APIService: requests reach it as whom they are from and as nobody else, discovery tells what
it has, its absence is told. The server is a few lines of Python behind a Service."""
import base64
import http.server
import json
import socket
import ssl
import sys
import threading

from rig import Api, Daemon, Hook, Tap, group, openssl, until

t = Tap()
GV, AS = "/apis/sea.example/v1", "/apis/apiregistration.k8s.io/v1/apiservices"
V2 = {"Accept": "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"}
LIST = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "sea.example/v1", "resources": [
    {"name": "fishes", "singularName": "fish", "namespaced": True, "kind": "Fish", "verbs": ["get", "list", "watch", "create"], "shortNames": ["fi"], "categories": ["all"]},
    {"name": "fishes/scale", "singularName": "", "namespaced": True, "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get"]}]}


def own_address():
    """One of this machine that is no loopback: those are never asked. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


class Sea(Hook):
    def do_GET(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n) if n else b""
        shown = (self.connection.getpeercert() or {}).get("subject", ())
        with self.server.lock:
            self.server.seen.append((self.command, self.path, self.headers, body, dict(x[0] for x in shown).get("commonName")))
        if self.path == GV:
            status, answer = self.server.health, LIST
        elif self.path.startswith(GV + "/namespaces/default/fishes/none"):
            status, answer = 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no such fish"}
        elif "/leads/" in self.path:
            self.send_response(int(self.path.rsplit("/", 1)[1]))
            self.send_header("Location", "https://192.0.2.1/stolen")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"away")
            return
        elif "watch=" in self.path:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(2):
                self.server.turn.acquire(timeout=30)
                e = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "f%d" % i}}}).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(e), e))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        else:
            status, answer = 200, {"kind": "Fish", "apiVersion": "sea.example/v1", "said": body.decode()}
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET


def serve(d, name="sea", port=0):
    s = http.server.ThreadingHTTPServer((address, port), Sea)
    s.handle_error = lambda request, address: None
    s.daemon_threads = True
    s.seen, s.lock, s.turn, s.health = [], threading.Lock(), threading.Semaphore(0), 200
    c = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=d.pki.at("front-proxy-ca.crt"))
    c.verify_mode = ssl.CERT_REQUIRED
    c.load_cert_chain(d.pki.at(name + ".crt"), d.pki.at(name + ".key"))
    s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


address = own_address()
if not address:
    print("1..0 # SKIP this machine has no address but its loopback")
    sys.exit(0)


def daemon():
    """With an authority of its own for whom it asks as."""
    d = Daemon()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=front-proxy-ca",
            "-keyout", d.pki.at("front-proxy-ca.key"), "-out", d.pki.at("front-proxy-ca.crt"))
    d.pki.issue("front-proxy-client", "/CN=front-proxy-client", "extendedKeyUsage=clientAuth\n", ca="front-proxy-ca")
    d.pki.issue("sea", "/CN=sea", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:sea.default.svc\n")
    d.pki.issue("other", "/CN=other", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:other.default.svc\n")
    with open(d.conf) as f:
        text = f.read()
    k = d.pki.dir
    with open(d.conf, "w") as f:
        f.write(text.replace("token_file =", 'proxy_client_cert = "%s/front-proxy-client.crt"; proxy_client_key = "%s/front-proxy-client.key"; '
                             'requestheader_ca = "%s/front-proxy-ca.crt"; token_file =' % (k, k, k)))
    return d.start()


d = daemon()
api, jane = Api(d), Api(d, token="token-of-jane")
sea = serve(d)


def ca():
    with open(d.pki.ca, "rb") as f:
        return base64.b64encode(f.read()).decode()


def available():
    c = (api.get(AS + "/v1.sea.example").json["status"].get("conditions") or [{}])[0]
    return c.get("status"), c.get("reason")


def endpoints(port):
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "sea"}, "subsets": [{"addresses": [{"ip": address}], "ports": [{"port": port}]}]}
    api.put("/api/v1/namespaces/default/endpoints/sea", body)


def appears():
    a = api.post(AS, {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.sea.example"}, "spec": {
        "group": "sea.example", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10, "caBundle": ca(),
        "service": {"namespace": "default", "name": "sea", "port": 443}}})
    t.eq(a.status, 201, "registered")
    until("a word about the service", lambda: available() == ("False", "ServiceNotFound"))
    t.eq(api.get(GV + "/namespaces/default/fishes").status, 503, "unavailable as long as there is no such Service")
    until("stale discovery", lambda: [v["freshness"] for g in api.get("/apis", headers=V2).json["items"] if g["metadata"]["name"] == "sea.example"
                                      for v in g["versions"]] == ["Stale"])
    api.post("/api/v1/namespaces/default/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sea"}, "spec": {"ports": [{"port": 443}]}})
    endpoints(sea.server_address[1])
    until("it is there", lambda: available() == ("True", "Passed"))
    t.ok(True, "available, as soon as it has endpoints")
    q = [x for x in sea.seen if x[1] == GV][0]
    t.eq((q[2]["X-Remote-User"], q[2].get_all("X-Remote-Group"), q[4]), ("system:kube-aggregator", ["system:masters"], "front-proxy-client"), "asked as upstream asks")


def discovery():
    until("discovery", lambda: "sea.example" in [g["name"] for g in api.get("/apis").json["groups"]])
    g = api.get("/apis/sea.example").json
    t.eq((g["preferredVersion"]["version"], [v["version"] for v in g["versions"]]), ("v1", ["v1"]), "its group")
    until("fresh discovery", lambda: [v["freshness"] for g in api.get("/apis", headers=V2).json["items"] if g["metadata"]["name"] == "sea.example"
                                      for v in g["versions"]] == ["Current"])
    v = [g for g in api.get("/apis", headers=V2).json["items"] if g["metadata"]["name"] == "sea.example"][0]["versions"][0]
    r = v["resources"][0]
    t.eq((r["resource"], r["responseKind"]["kind"], r["scope"], r["verbs"], r["shortNames"], r["categories"], r["singularResource"]),
         ("fishes", "Fish", "Namespaced", ["create", "get", "list", "watch"], ["fi"], ["all"], "fish"), "aggregated discovery has its resources")
    t.eq((r["subresources"][0]["subresource"], r["subresources"][0]["responseKind"]), ("scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}), "and their parts")
    t.eq(api.get(GV).json, LIST, "the list of its resources is its own")


def requests():
    a = api.post(GV + "/namespaces/default/fishes?fieldManager=m", "swim", headers={
        "Authorization": None, "X-Remote-User": "mallory", "X-Remote-Group": "system:masters", "Impersonate-Uid": None, "X-Custom": "c"}, type="text/plain")
    t.eq((a.status, a.json["said"]), (200, "swim"), "a body goes there, the answer comes back")
    m, path, h, body, peer = sea.seen[-1]
    t.eq((m, path, h["X-Custom"], h["Content-Type"], peer, h["Host"]), ("POST", GV + "/namespaces/default/fishes?fieldManager=m", "c", "text/plain", "front-proxy-client",
                                                                         "sea.default.svc"), "as it was sent, by whom it believes")
    t.eq((h.get_all("X-Remote-User"), h.get_all("X-Remote-Group")), (["kubernetes-admin"], ["system:masters", "system:authenticated"]), "who asks is told by us alone")
    a = api.get(GV + "/namespaces/default/fishes/none")
    t.eq((a.status, a.json["message"]), (404, "no such fish"), "its errors are its own")
    n = len(sea.seen)
    a = jane.get(GV + "/namespaces/default/fishes")
    t.ok(a.status == 403 and 'cannot list resource "fishes" in API group "sea.example" in the namespace "default"' in a.json["message"], "who may not does not get there", a)
    a = Api(d, user=None).get(GV + "/namespaces/default/fishes")
    t.eq((a.status in (401, 403), len(sea.seen)), (True, n), "nor who is nobody")
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "f"},
             "rules": [{"apiGroups": ["sea.example"], "resources": ["fishes"], "verbs": ["get"]}]})
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "f"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "f"}, "subjects": [{"kind": "User", "name": "jane"}]})
    a = jane.get(GV + "/namespaces/default/fishes/one", headers={"Authorization": "Bearer token-of-jane"})
    h = sea.seen[-1][2]
    t.eq((a.status, h["X-Remote-User"], h["X-Remote-Uid"], h.get_all("X-Remote-Group"), h["Authorization"]),
         (200, "jane", "uid-1", ["dev", "ops", "system:authenticated"], None), "who may does; her token stays here")
    eve = {"Impersonate-User": "eve", "Impersonate-Extra-Full%2fName": "E v e"}
    t.eq(api.get(GV + "/namespaces/default/fishes/one", headers=eve).status, 403, "whom somebody acts as decides")
    a = api.get(GV + "/namespaces/default/fishes/one", headers=dict(eve, **{"Impersonate-Group": "system:masters"}))
    h = sea.seen[-1][2]
    t.eq((a.status, h["X-Remote-User"], {k.lower(): v for k, v in h.items() if k.lower().startswith("x-remote-extra")}, h["Impersonate-User"]),
         (200, "eve", {"x-remote-extra-full%2fname": "E v e"}, None), "and is who is told")
    n = len(sea.seen)
    for path in ("/namespaces/default/fishes/%2e%2e", "/namespaces/default/fishes/a%2fb", "/namespaces//fishes", "/namespaces/default/./fishes"):
        t.eq((api.get(GV + path).status, len(sea.seen)), (400, n), path + " is not handed on")


def redirects():
    """CVE-2022-3172: a server of a group sends its clients, with what they show of themselves, to somebody else."""
    for code in (301, 302, 307, 308):
        a = api.get(GV + "/namespaces/default/fishes/leads/%d" % code)
        t.eq((a.status, a.text, a.headers.get("Location")), (502, "the backend attempted to redirect this request, which is not permitted", None),
             "CVE-2022-3172: a %d leads nowhere" % code)
    a = api.post(GV + "/namespaces/default/fishes/leads/307", {"kind": "Fish"})
    t.eq((a.status, a.headers.get("Location")), (502, None), "CVE-2022-3172: nor does one after a body")
    t.eq(api.get(GV + "/namespaces/default/fishes/a").status, 200, "and who is honest is asked on")


def watches():
    w = api.watch(GV + "/namespaces/default/fishes?watch=1")
    sea.turn.release()
    t.eq(w.next()["object"]["metadata"]["name"], "f0", "a watch's event comes when it is sent")
    sea.turn.release()
    t.eq((w.next()["object"]["metadata"]["name"], w.next()), ("f1", None), "and the next, and the end")
    w.close()


def trust():
    """Who shows another name's certificate is not spoken to."""
    other = serve(d, "other")
    endpoints(other.server_address[1])
    a = until("the other one", lambda: (lambda a: a if a.status == 503 else None)(api.get(GV + "/namespaces/default/fishes")))
    t.ok("error trying to reach service" in a.json["message"] and not other.seen, "a certificate of another name is no good", (a, other.seen))
    spec = {"insecureSkipTLSVerify": True, "caBundle": None}
    api.patch(AS + "/v1.sea.example", {"spec": spec})
    until("whoever it is", lambda: api.get(GV + "/namespaces/default/fishes").status == 200)
    t.ok(other.seen, "unless nobody cares")
    other.health = 500
    api.patch(AS + "/v1.sea.example", {"spec": {"versionPriority": 11}})
    until("its failure", lambda: available() == ("False", "FailedDiscoveryCheck"))
    t.ok(True, "who gives no list of resources is not available")
    other.shutdown()


def builtin():
    a = api.post(AS, {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v2.apps"}, "spec": {
        "group": "apps", "version": "v2", "groupPriorityMinimum": 2000, "versionPriority": 10, "service": {"namespace": "default", "name": "sea"}}})
    t.eq((a.status, api.get("/apis/apps/v2/deployments").status), (201, 404), "built-in groups are nobody else's")


def known():
    a = api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    with open(d.pki.ca) as f, open(d.pki.at("front-proxy-ca.crt")) as g:
        want = {"client-ca-file": f.read(), "requestheader-client-ca-file": g.read(), "requestheader-allowed-names": '["front-proxy-client"]',
                "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]', "requestheader-group-headers": '["X-Remote-Group"]',
                "requestheader-uid-headers": '["X-Remote-Uid"]', "requestheader-username-headers": '["X-Remote-User"]'}
    t.eq((a.status, a.json["data"]), (200, want), "what such servers must know is where upstream has it")


def goes():
    api.delete(AS + "/v1.sea.example")
    until("gone from discovery", lambda: "sea.example" not in [g["name"] for g in api.get("/apis").json["groups"]])
    t.eq((api.get(GV + "/namespaces/default/fishes").status, api.get(GV).status), (404, 404), "without its registration it is nobody's")


for g in (appears, discovery, requests, redirects, watches, trust, builtin, known, goes):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
