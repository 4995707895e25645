#!/usr/bin/env -S python3 -B
# run: timeout=240
"""Another server of a group version, behind an APIService: requests reach it as whom they are from and as nobody else, discovery tells what
it has, its absence is told. The server is a few lines of Python behind a Service."""
import base64
import itertools
import json
import socket
import ssl
import subprocess
import sys
import threading

from rig import Api, Daemon, Hook, HookServer, Tap, group, openssl, until

t = Tap()
GV, AS = "/apis/sea.example/v1", "/apis/apiregistration.k8s.io/v1/apiservices"
V2 = {"Accept": "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"}
LIST = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "sea.example/v1", "resources": [
    {"name": "fishes", "singularName": "fish", "namespaced": True, "kind": "Fish", "verbs": ["get", "list", "watch", "create"], "shortNames": ["fi"], "categories": ["all"]},
    {"name": "fishes/scale", "singularName": "", "namespaced": True, "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get"]}]}


FISH, META = "io.example.sea.v1.Fish", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
REF = "#/definitions/"
V2_DOC = {"swagger": "2.0", "info": {"title": "sea", "version": "1"}, "paths": {
    "/apis/sea.example/": {"get": {"operationId": "getSea", "responses": {"200": {"description": "OK"}}}},
    GV + "/namespaces/{namespace}/fishes/{name}": {"get": {"operationId": "readFish", "responses": {"200": {"description": "OK", "schema": {"$ref": REF + FISH}}}}},
    GV + "/": {"get": {"operationId": "getSeaV1", "responses": {"200": {"description": "OK"}}}},
    "/apis/apps/v1/deployments": {"get": {"operationId": "stolen", "responses": {"200": {"description": "OK", "schema": {"$ref": REF + "io.example.Stolen"}}}}}},
    "definitions": {
        FISH: {"description": "A fish.", "type": "object", "properties": {"metadata": {"$ref": REF + META}, "fins": {"type": "array", "items": {"$ref": REF + "io.example.sea.v1.Fin"}}},
               "x-kubernetes-group-version-kind": [{"group": "sea.example", "version": "v1", "kind": "Fish"}]},
        "io.example.sea.v1.Fin": {"type": "object", "properties": {"of": {"$ref": REF + FISH}}},
        META: {"description": "Another one.", "type": "object", "properties": {"name": {"type": "string"}}},
        "io.example.Unused": {"type": "object"}, "io.example.Stolen": {"type": "object"}}}
# a server of before v3
OLD_DOC = dict(V2_DOC, parameters={"body-1": {"name": "body", "in": "body", "required": True, "schema": {"$ref": REF + FISH}},
                                   "pretty-1": {"name": "pretty", "in": "query", "type": "boolean", "uniqueItems": True}},
               paths=dict(V2_DOC["paths"], **{GV + "/namespaces/{namespace}/fishes": {
                   "parameters": [{"name": "namespace", "in": "path", "required": True, "type": "string"}, {"$ref": "#/parameters/pretty-1"}],
                   "x-of": "path", "post": {"operationId": "createFish", "consumes": ["application/json", "application/yaml"], "produces": ["application/json"],
                                            "schemes": ["https"], "parameters": [{"$ref": "#/parameters/body-1"}], "x-kubernetes-action": "post",
                                            "responses": {"201": {"description": "Created", "schema": {"$ref": REF + FISH}}, "401": {"description": "Unauthorized"}}}}}),
               definitions=dict(V2_DOC["definitions"], **{FISH: {"type": "object", "properties": {
                   "metadata": {"description": "Its metadata.", "default": {}, "$ref": REF + META},
                   "fins": {"type": "array", "items": {"$ref": REF + "io.example.sea.v1.Fin"}}}}}))
SCHEMAS = "#/components/schemas/"
V3_DOC = {"openapi": "3.0.0", "info": {"title": "sea", "version": "1"}, "paths": {}, "components": {"schemas": {FISH: {"type": "object"}}}}


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
        elif self.path.startswith("/openapi/"):
            self.document()
            return
        elif self.path.startswith(GV + "/namespaces/default/fishes/many"):
            self.many()
            return
        elif "/leads/" in self.path:
            self.send_response(int(self.path.rsplit("/", 1)[1]))
            self.send_header("Location", "https://192.0.2.1/stolen")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"away")
            return
        elif "fishes?watch=" in self.path:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(2):
                self.server.turn.acquire(timeout=60)
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

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def document(self):
        """As each version of them is; none is a server of old."""
        path = self.path.partition("?")[0]
        doc = {"/openapi/v3": {"paths": {"version": {"serverRelativeURL": "/openapi/v3/version?hash=1"},
                                         "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=stolen"},
                                         "apis/sea.example/v1": {"serverRelativeURL": "/openapi/v3/apis/sea.example/v1?hash=SEA%d" % self.server.docs}}},
               "/openapi/v3/apis/sea.example/v1": V3_DOC, "/openapi/v2": V2_DOC}.get(path) if self.server.docs else None
        if self.server.old:
            doc = OLD_DOC if path == "/openapi/v2" else None
        tag = '"%d"' % self.server.docs
        same = doc and self.headers["If-None-Match"] == tag
        body = b"" if same else json.dumps(doc).encode() if doc else b"404 page not found"
        self.send_response(304 if same else 200 if doc else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Etag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def many(self):
        """Many headers, one of them of this connection only; an upgrade, if one is asked for."""
        self.send_response(101 if self.headers["Upgrade"] else 200)
        if self.headers["Upgrade"]:
            self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", "Upgrade, X-Mine" if self.headers["Upgrade"] else "X-Mine")
        self.send_header("X-Mine", "m")
        for i in range(60):
            self.send_header("X-%d" % i, str(i))
        if not self.headers["Upgrade"]:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.headers["Upgrade"]:
            self.wfile.write(self.connection.recv(100))
            self.close_connection = True


def serve(d, name="sea", port=0):
    s = HookServer((address, port), Sea)
    s.seen, s.lock, s.turn, s.health = [], threading.Lock(), threading.Semaphore(0), 200
    s.docs, s.old = 1, False
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


def endpoints(*ports):
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "sea"}, "subsets": [
        {"addresses": [{"ip": address}], "ports": [{"port": p}]} for p in ports]}
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


def mine():
    """Requests of clients: what this one asks of its own accord comes at any time."""
    with sea.lock:
        return [x for x in sea.seen if x[1].startswith(GV + "/")]


def requests():
    a = api.post(GV + "/namespaces/default/fishes?fieldManager=m", "swim", headers={
        "Authorization": None, "X-Remote-User": "mallory", "X-Remote-Group": "system:masters", "Impersonate-Uid": None, "X-Custom": "c"}, type="text/plain")
    t.eq((a.status, a.json["said"]), (200, "swim"), "a body goes there, the answer comes back")
    m, path, h, body, peer = mine()[-1]
    t.eq((m, path, h["X-Custom"], h["Content-Type"], peer, h["Host"]), ("POST", GV + "/namespaces/default/fishes?fieldManager=m", "c", "text/plain", "front-proxy-client",
                                                                         "sea.default.svc"), "as it was sent, by whom it believes")
    t.eq((h.get_all("X-Remote-User"), h.get_all("X-Remote-Group")), (["kubernetes-admin"], ["system:masters", "system:authenticated"]), "who asks is told by us alone")
    a = api.get(GV + "/namespaces/default/fishes/none")
    t.eq((a.status, a.json["message"]), (404, "no such fish"), "its errors are its own")
    n = len(mine())
    a = jane.get(GV + "/namespaces/default/fishes")
    t.ok(a.status == 403 and 'cannot list resource "fishes" in API group "sea.example" in the namespace "default"' in a.json["message"], "who may not does not get there", a)
    a = Api(d, user=None).get(GV + "/namespaces/default/fishes")
    t.eq((a.status in (401, 403), len(mine())), (True, n), "nor who is nobody")
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "f"},
             "rules": [{"apiGroups": ["sea.example"], "resources": ["fishes"], "verbs": ["get"]}]})
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "f"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "f"}, "subjects": [{"kind": "User", "name": "jane"}]})
    a = jane.get(GV + "/namespaces/default/fishes/one", headers={"Authorization": "Bearer token-of-jane"})
    h = mine()[-1][2]
    t.eq((a.status, h["X-Remote-User"], h["X-Remote-Uid"], h.get_all("X-Remote-Group"), h["Authorization"]),
         (200, "jane", "uid-1", ["dev", "ops", "system:authenticated"], None), "who may does; her token stays here")
    eve = {"Impersonate-User": "eve", "Impersonate-Extra-Full%2fName": "E v e"}
    t.eq(api.get(GV + "/namespaces/default/fishes/one", headers=eve).status, 403, "whom somebody acts as decides")
    a = api.get(GV + "/namespaces/default/fishes/one", headers=dict(eve, **{"Impersonate-Group": "system:masters"}))
    h = mine()[-1][2]
    t.eq((a.status, h["X-Remote-User"], {k.lower(): v for k, v in h.items() if k.lower().startswith("x-remote-extra")}, h["Impersonate-User"]),
         (200, "eve", {"x-remote-extra-full%2fname": "E v e"}, None), "and is who is told")
    n = len(mine())
    for path in ("/namespaces/default/fishes/%2e%2e", "/namespaces/default/fishes/a%2fb", "/namespaces//fishes", "/namespaces/default/./fishes"):
        t.eq((api.get(GV + path).status, len(mine())), (400, n), path + " is not handed on")


def seen(what):
    with sea.lock:
        return [x for x in sea.seen if x[0] == what or x[1].partition("?")[0] == what]


def connections():
    """What belongs to one connection is not handed on; all else is, however much it is."""
    one = GV + "/namespaces/default/fishes/one"
    a = api.get(one, headers={"Connection": "close, X-Hop , X-Remote-User", "X-Hop": "h", "X-Stays": "s", "Keep-Alive": "timeout=5"})
    h = seen(one)[-1][2]
    t.eq((a.status, h["X-Hop"], h["Keep-Alive"], h["X-Stays"], h["X-Remote-User"]), (200, None, None, "s", "kubernetes-admin"), "headers that Connection names stay here")
    api.get(one, headers={"Connection": ", ".join(["X-%d" % i for i in range(500)] + ["X-Hop"]), "X-Hop": "h", "X-Stays": "s", "X-499": "h"})
    h = seen(one)[-1][2]
    t.eq((h["X-Hop"], h["X-499"], h["X-Stays"]), (None, None, "s"), "however many it names")
    many = GV + "/namespaces/default/fishes/many"
    a = api.get(many)
    t.eq((a.headers["X-Mine"], [a.headers["X-%d" % i] for i in range(60)]), (None, [str(i) for i in range(60)]), "those of an answer, too; and there may be many")
    p = subprocess.run(["curl", "-sS", "--http2", "--max-time", "30", "--cacert", d.pki.ca, "--cert", d.pki.at("admin.crt"), "--key", d.pki.at("admin.key"), "-D", "-",
                        "https://localhost:%d%s" % (d.port, many)], check=False, stdout=subprocess.PIPE, text=True)
    lines = p.stdout.split("\n")
    t.eq((lines[0].split()[:2], [x for x in ("x-%d: %d" % (i, i) for i in range(60)) if x not in lines], "x-mine: m" in lines), (["HTTP/2", "200"], [], False), "by HTTP/2 as well")
    s = d.connect("admin")
    s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: X-Hop, Upgrade\r\nUpgrade: fish/1\r\nX-Hop: h\r\nX-Stays: s\r\n\r\n" % many).encode())
    s.settimeout(30)
    out = b""
    while b"\r\n\r\n" not in out:
        out += s.recv(65536)
    s.sendall(b"blub")
    while not out.endswith(b"blub"):
        more = s.recv(65536)
        if not more:
            break
        out += more
    s.close()
    h = seen(many)[-1][2]
    head = out.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    t.eq((h["Connection"], h["Upgrade"], h["X-Hop"], h["X-Stays"]), ("Upgrade", "fish/1", None, "s"), "an upgrade asks for nothing but itself")
    t.eq((head[0].split()[1], "X-59: 59" in head, [x for x in head if x.startswith("X-Mine")], out.endswith(b"blub")), ("101", True, [], True), "its answer comes whole")


def verbs():
    """What decides: upstream's reading of a request, whoever serves it."""
    one, all_ = GV + "/namespaces/default/fishes/one", GV + "/namespaces/default/fishes"
    n = len(seen("OPTIONS"))
    t.eq((api("OPTIONS", one).status, len(seen("OPTIONS"))), (200, n + 1), "a method that is no verb goes there from who may all")
    t.eq((jane("OPTIONS", one).status, len(seen("OPTIONS"))), (403, n + 1), "and from nobody else")
    t.eq(jane.get(one + "?watch=1").status, 200, "one object is got, whatever the query says")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/f"
    api.patch(role, {"rules": [{"apiGroups": ["sea.example"], "resources": ["fishes"], "verbs": ["get"]},
                               {"apiGroups": ["sea.example"], "resources": ["fishes"], "verbs": ["list"], "resourceNames": ["one"]}]})
    for q, want, why in (("", 403, "no list of all"), ("?fieldSelector=metadata.name%3Done", 200, "a list of the one that may be"),
                         ("?fieldSelector=metadata.name%3Dtwo", 403, "not of another"), ("?fieldSelector=metadata.name!%3Done", 403, "nor of all but it"),
                         ("?fieldSelector=metadata.name%3Done&watch=1", 403, "nor its watch"),
                         ("?fieldSelector=metadata.name%3Done&w%61tch=1", 403, "however that is written"),
                         ("?fieldSelector=metadata.name%3Done&watch=f", 403, "for all but two words are yes"),
                         ("?fieldSelector=metadata.name%3Done&watch=fAlse", 200, "of which this is one"),
                         ("?fieldSelector=metadata.name%3Done,metadata.namespace%3Da;b", 403, "nor with a selector that the other server would not see"),
                         ("?fieldSelector=metadata.name%3Done,metadata.namespace%3D%zz", 403, "for one reason or another"),
                         ("?field%53elector=&fieldSelector=metadata.name%3Done", 403, "or that is not the first")):
        t.eq(jane.get(all_ + q).status, want, why)


looks, priorities = [], itertools.count(100)


def look_again():
    """Its registration changes, so that it is looked at; once for each look."""
    n = len(seen(GV))
    if n not in looks[-1:]:
        looks.append(n)
        assert api.patch(AS + "/v1.sea.example", {"spec": {"versionPriority": next(priorities)}}).status == 200


def documents():
    index = lambda: api.get("/openapi/v3").json["paths"]
    address_of = lambda: index().get(mine, {}).get("serverRelativeURL", "")
    mine = "apis/sea.example/v1"
    until("its document", lambda: mine in index() and "io.example.sea.v1.Fish" in api.get("/openapi/v2").json["definitions"])
    t.eq(seen("/openapi/v2")[0][2]["X-Remote-User"], "system:aggregator", "it is asked as upstream asks")
    t.eq((index()[mine]["serverRelativeURL"], "stolen" in index()["apis/apps/v1"]["serverRelativeURL"], "version" in index()),
         ("/openapi/v3/apis/sea.example/v1?hash=SEA1", False, False), "OpenAPI v3: its own address, of its own group alone")
    a = api.get("/openapi/v3/apis/sea.example/v1?hash=SEA1")
    path, h = seen("/openapi/v3/apis/sea.example/v1")[-1][1:3]
    t.eq((a.status, a.json, path, h["X-Remote-User"]), (200, V3_DOC, "/openapi/v3/apis/sea.example/v1?hash=SEA1", "kubernetes-admin"), "which it gives itself")
    t.eq(Api(d, user=None).get("/openapi/v3/apis/sea.example/v1").status in (401, 403), True, "not to nobody")
    doc = api.get("/openapi/v2").json
    own = {k: v for k, v in doc["paths"].items() if "sea.example" in k}
    t.eq(own, {k: v for k, v in V2_DOC["paths"].items() if k.startswith(GV + "/")}, "OpenAPI v2: its paths, of its own version alone")
    fish, other = doc["definitions"][FISH], doc["definitions"].get(META + "_v2")
    t.eq((fish["properties"]["metadata"]["$ref"], other), (REF + META + "_v2", V2_DOC["definitions"][META]), "what is called as ours, and is another, has another name")
    t.eq((doc["definitions"][META] != V2_DOC["definitions"][META], fish["properties"]["fins"], doc["definitions"]["io.example.sea.v1.Fin"]["properties"]["of"]),
         (True, {"type": "array", "items": {"$ref": REF + "io.example.sea.v1.Fin"}}, {"$ref": REF + FISH}), "all else stays as it is")
    t.eq([k for k in ("io.example.Unused", "io.example.Stolen") if k in doc["definitions"]], [], "what nobody needs is not there")
    t.ok("stolen" not in json.dumps(doc["paths"]), "nor anything of other groups")
    pb = api.get("/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
    t.ok(pb.status == 200 and FISH.encode() in pb.body and b"stolen" not in pb.body, "in protobuf as well")
    sea.docs = 2

    def moved():
        look_again()
        return "SEA2" in address_of()
    until("its new address", moved)

    def asked_again():
        look_again()
        return [x for x in seen("/openapi/v2") if x[2]["If-None-Match"] == '"2"']
    until("asked for what is new", asked_again)
    t.ok(True, "what has not changed is not sent again")
    sea.docs = 0

    def without():
        look_again()
        return mine not in index() and FISH not in api.get("/openapi/v2").json["definitions"]
    until("no document", without)
    t.ok(True, "who has none any more has none here")
    sea.old, sea.docs = True, 3     # in this order: it is asked at any time

    def made():
        look_again()
        return address_of()
    url = until("a document made of v2", made)
    n = len(seen("/openapi/v3/apis/sea.example/v1"))
    a = api.get(url)
    t.eq((a.status, len(seen("/openapi/v3/apis/sea.example/v1")), a.json["openapi"], a.json["info"]["title"]), (200, n, "3.0.0", "sea"),
         "of a server that has only v2 there is one of v3, which is not asked for there")
    body = {"application/json": {"schema": {"$ref": SCHEMAS + FISH}}}
    t.eq(a.json["paths"][GV + "/namespaces/{namespace}/fishes"], {
        "x-of": "path", "parameters": [{"name": "namespace", "in": "path", "required": True, "schema": {"type": "string"}},
                                       {"name": "pretty", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}],
        "post": {"operationId": "createFish", "x-kubernetes-action": "post", "requestBody": {"content": dict(body, **{"application/yaml": body["application/json"]})},
                 "responses": {"201": {"description": "Created", "content": body}, "401": {"description": "Unauthorized"}}}}, "its paths, as v3 has them")
    t.eq(a.json["components"]["schemas"][FISH], {"type": "object", "properties": {
        "metadata": {"description": "Its metadata.", "default": {}, "allOf": [{"$ref": SCHEMAS + META}]},
        "fins": {"type": "array", "items": {"$ref": SCHEMAS + "io.example.sea.v1.Fin"}}}}, "and its definitions; a reference that is not alone is wrapped")
    t.eq([p for p in a.json["paths"] if not p.startswith(GV + "/")], [], "of its own version alone")
    a = api.get("/openapi/v3/%s?hash=older" % mine)
    t.eq((a.status, a.headers["Location"]), (301, url), "by an old hash it is where it is now")
    post = api.get("/openapi/v2").json["paths"][GV + "/namespaces/{namespace}/fishes"]["post"]
    t.eq(post["parameters"], [OLD_DOC["parameters"]["body-1"]], "in v2 shared parameters stand where they are used")
    sea.old, sea.docs = False, 1
    until("its own again", lambda: "SEA1" in made())


def several():
    """A Service of several endpoints."""
    other = serve(d)
    endpoints(sea.server_address[1], other.server_address[1])
    one = GV + "/namespaces/default/fishes/one"
    n = len(sea.seen)

    def both():
        t_ = api.get(one).status
        return t_ == 200 and any(x[1] == one for x in other.seen) and any(x[1] == one for x in sea.seen[n:])
    until("both were asked", both)
    t.ok(True, "each of them is asked")
    nobody = socket.socket()
    nobody.bind((address, 0))       # and no listen
    endpoints(nobody.getsockname()[1], sea.server_address[1])
    since = api.get(AS + "/v1.sea.example").json["status"]["conditions"]
    for i in range(8):
        n = len(seen(GV))
        api.patch(AS + "/v1.sea.example", {"spec": {"versionPriority": 20 + i}})
        until("a look", lambda: len(seen(GV)) > n)
    t.eq(api.get(AS + "/v1.sea.example").json["status"]["conditions"], since, "it is available as long as one of them is")
    said = {api.post(GV + "/namespaces/default/fishes", "b%d" % i, type="text/plain").json.get("said") == "b%d" % i for i in range(20)}
    t.eq(said, {True}, "who is not there is passed over, and the body goes to the next")
    endpoints(nobody.getsockname()[1])
    a = until("nobody", lambda: (lambda a: a if a.status == 503 else None)(api.get(one)))
    t.ok("connection refused" in a.json["message"], "if nobody is there, that is told", a)
    endpoints(sea.server_address[1])
    until("there again", lambda: api.get(one).status == 200)
    nobody.close()
    other.shutdown()


def silent():
    """Endpoints that are not refused and lead nowhere: one never finishes TLS, the other is full."""
    mute, full = socket.create_server((address, 0), backlog=50), socket.create_server((address, 0), backlog=0)
    queue = []
    for i in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        queue.append(s)
    endpoints(mute.getsockname()[1], full.getsockname()[1], sea.server_address[1])
    said = []

    def one(i):
        said.append(Api(d).post(GV + "/namespaces/default/fishes", "s%d" % i, type="text/plain").json.get("said") == "s%d" % i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.eq(said, [True] * 8, "who does not answer a connection is passed over as well")
    endpoints(sea.server_address[1])
    until("there again", lambda: api.get(GV + "/namespaces/default/fishes/one").status == 200)
    for s in queue + [mute, full]:
        s.close()


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


for g in (appears, discovery, requests, connections, verbs, documents, several, silent, redirects, watches, trust, builtin, known, goes):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
