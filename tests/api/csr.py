#!/usr/bin/env -S python3 -B
# run: timeout=180
"""CertificateSigningRequests: asked for by users and by kubelets with bootstrap tokens, approved by hand and by themselves, signed by
upstream's signers, refused, and forgotten."""
import base64
import os
import subprocess

from rig import CM, Api, Daemon, Tap, group, openssl, until

t = Tap()
d = Daemon()
with open(d.conf) as f:
    conf = f.read()
with open(d.conf, "w") as f:
    f.write(conf.replace(" }; }\n);\n", ' }; },\n { module = "controllers/certificate"; params = { ca_file = "%s"; ca_key_file = "%s"; }; }\n);\n'
                         % (d.pki.ca, d.pki.at("ca.key"))))
d.start()
api = Api(d)
CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
K = "kubernetes.io/"
CLIENT = ["digital signature", "key encipherment", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]
RBAC = "/apis/rbac.authorization.k8s.io/v1/"


def request(name, subject, sans=None, bits="ec"):
    args = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
            "-keyout", d.pki.at(name + ".key"), "-out", d.pki.at(name + ".req")]
    if sans:
        args += ["-addext", "subjectAltName=" + sans]
    openssl(*args)
    with open(d.pki.at(name + ".req"), "rb") as f:
        return base64.b64encode(f.read()).decode()


def ask(name, subject, signer, usages=CLIENT, who=api, sans=None, **spec):
    return who.post(CSR, {"metadata": {"name": name}, "spec": dict(
        {"request": request(name, subject, sans), "signerName": signer, "usages": usages}, **spec)})


def say_of(name, type="Approved", who=api, **more):
    o = api.get(CSR + "/" + name).json
    o.setdefault("status", {}).setdefault("conditions", []).append(dict({"type": type, "status": "True", "reason": "Test", "message": "m"}, **more))
    return who.put(CSR + "/" + name + "/approval", o)


def settled(name):
    def look():
        o = api.get(CSR + "/" + name).json
        s = o.get("status", {})
        return o if s.get("certificate") or [c for c in s.get("conditions", []) if c["type"] == "Failed"] else None
    return until(name + " is signed or has failed", look)


def cert_of(name):
    o = settled(name)
    pem = base64.b64decode(o["status"]["certificate"])
    with open(d.pki.at(name + ".crt"), "wb") as f:
        f.write(pem)
    return subprocess.run(["openssl", "x509", "-in", d.pki.at(name + ".crt"), "-noout", "-text"], capture_output=True, text=True).stdout


def failed(name, why):
    c = [c for c in settled(name)["status"].get("conditions", []) if c["type"] == "Failed"]
    t.eq([(x["status"], x["reason"], x["message"]) for x in c], [("True", "SignerValidationFailure", why)], name + " fails: " + why)


def client():
    a = ask("max", "/O=dev/CN=max", K + "kube-apiserver-client", expirationSeconds=3600)
    t.ok(a.status == 201 and a.json["spec"]["username"] == "kubernetes-admin" and "certificate" not in a.json.get("status", {}), "asked", a)
    a = say_of("max")
    t.ok(a.status == 200 and a.json["status"]["conditions"][0]["lastUpdateTime"], "approved", a)
    text = cert_of("max")
    t.ok("CN = max" in text and "O = dev" in text and "TLS Web Client Authentication" in text and "CA:FALSE" in text and "Server Auth" not in text, "signed", text)
    end = subprocess.run(["openssl", "x509", "-in", d.pki.at("max.crt"), "-noout", "-checkend", "3700"]).returncode
    t.eq(end, 1, "for the hour that was asked for")
    u = Api(d, "max").post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).json["status"]["userInfo"]
    t.eq((u["username"], u["groups"]), ("max", ["dev", "system:authenticated"]), "and its owner is known by it")
    rows = api.get(CSR, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json["rows"]
    t.eq([r["cells"][-1] for r in rows if r["cells"][0] == "max"], ["Approved,Issued"], "kubectl says so")
    ask("long", "/CN=long", K + "kube-apiserver-client")
    say_of("long")
    cert_of("long")
    t.eq(subprocess.run(["openssl", "x509", "-in", d.pki.at("long.crt"), "-noout", "-checkend", str(29 * 86400)]).returncode, 0, "a long one")
    t.eq(subprocess.run(["openssl", "x509", "-in", d.pki.at("long.crt"), "-noout", "-checkend", str(30 * 86400)]).returncode, 1, "ends with the authority")
    ask("server", "/CN=x", K + "kube-apiserver-client", SERVING)
    say_of("server")
    failed("server", "invalid usages for client certificate")
    ask("denied", "/CN=x", K + "kube-apiserver-client")
    t.eq(say_of("denied", "Denied").status, 200, "one is denied")
    ask("others", "/CN=x", "example.com/mine", ["any"])
    t.eq(say_of("others").status, 200, "one is another signer's")


def kubelets():
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", d.pki.at("x.key"))
    api.post("/api/v1/namespaces", {"metadata": {"name": "kube-system"}})
    a = api.post("/api/v1/namespaces/kube-system/secrets", {
        "metadata": {"name": "bootstrap-token-abc123"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}})
    assert a.status == 201, a
    boot = Api(d, None, token="abc123.0123456789abcdef")
    t.eq(ask("early", "/O=system:nodes/CN=system:node:n1", K + "kube-apiserver-client-kubelet", who=boot).status, 403, "who joins must be let")
    for name, role, groups in (("boot", "system:node-bootstrapper", ["system:bootstrappers"]),
                               ("auto", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", ["system:bootstrappers"]),
                               ("renew", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", ["system:nodes"])):
        a = api.post(RBAC + "clusterrolebindings", {
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": g} for g in groups]})
        assert a.status == 201, a
    a = ask("n1", "/O=system:nodes/CN=system:node:n1", K + "kube-apiserver-client-kubelet", who=boot)
    t.ok(a.status == 201 and a.json["spec"]["username"] == "system:bootstrap:abc123" and "system:bootstrappers" in a.json["spec"]["groups"], "a kubelet asks", a)
    text = cert_of("n1")
    t.ok("CN = system:node:n1" in text and "O = system:nodes" in text, "and has its certificate without anybody", text)
    c = api.get(CSR + "/n1").json["status"]["conditions"][0]
    t.eq((c["type"], c["reason"], c["message"]), ("Approved", "AutoApproved", "Auto approving kubelet client certificate after SubjectAccessReview."), "as is written there")
    n1 = Api(d, "n1")
    t.eq(n1.post("/api/v1/nodes", {"metadata": {"name": "n1"}}).status, 201, "it registers with it")
    a = ask("again", "/O=system:nodes/CN=system:node:n1", K + "kube-apiserver-client-kubelet", ["digital signature", "client auth"], who=n1)
    cert_of("again")
    c = api.get(CSR + "/again").json["status"]["conditions"][0]
    t.eq(c["message"], "Auto approving self kubelet client certificate after SubjectAccessReview.", "and renews it")
    ask("n2", "/O=system:nodes/CN=system:node:n2", K + "kube-apiserver-client-kubelet", who=n1)
    ask("serve", "/O=system:nodes/CN=system:node:n1", K + "kubelet-serving", SERVING, who=n1, sans="DNS:n1,IP:10.0.0.1")
    ask("odd", "/O=system:nodes/CN=system:node:n1", K + "kube-apiserver-client-kubelet", who=boot, sans="DNS:kubernetes")
    until("another's is looked at", lambda: "name=n2" in d.log())
    for name in ("n2", "serve", "odd"):
        t.ok(not api.get(CSR + "/" + name).json.get("status", {}).get("conditions"), "nobody approves by himself: " + name)
    say_of("serve")
    text = cert_of("serve")
    t.ok("DNS:n1, IP Address:10.0.0.1" in text and "TLS Web Server Authentication" in text, "a serving certificate, approved by somebody", text)
    say_of("odd")
    failed("odd", "DNS subjectAltNames are not allowed")
    for name, subject, signer, usages, sans, why in (
            ("noname", "/O=system:nodes/CN=system:node:n1", "kubelet-serving", SERVING, None, "DNS or IP subjectAltName is required"),
            ("noorg", "/CN=system:node:n1", "kubelet-serving", SERVING, "DNS:n1", "subject organization is not system:nodes"),
            ("mail", "/O=system:nodes/CN=system:node:n1", "kubelet-serving", SERVING, "DNS:n1,email:a@b.c", "Email subjectAltNames are not allowed"),
            ("nonode", "/O=system:nodes/CN=n1", "kube-apiserver-client-kubelet", CLIENT, None, "subject common name does not begin with system:node:"),
            ("twice", "/O=system:nodes/O=system:masters/CN=system:node:n1", "kube-apiserver-client-kubelet", CLIENT, None, "subject organization is not system:nodes"),
            ("usages", "/O=system:nodes/CN=system:node:n1", "kubelet-serving", CLIENT, "DNS:n1", "usages did not match [digital signature key encipherment server auth]")):
        ask(name, subject, K + signer, usages, sans=sans)
        say_of(name)
        failed(name, why)


def refused():
    def invalid(a, field, text):
        c = [c for c in a.json.get("details", {}).get("causes", []) if c["field"] == field]
        t.ok(a.status == 422 and c and text in c[0]["message"], "refused: %s %s" % (field, text[:60]), a)
    invalid(api.post(CSR, {"metadata": {"name": "r"}, "spec": {"request": base64.b64encode(b"nonsense").decode(), "signerName": "a.b/c", "usages": ["any"]}}),
            "spec.request", "PEM block type must be CERTIFICATE REQUEST")
    invalid(ask("r", "/CN=x", K + "legacy-unknown"), "spec.signerName", "the legacy signerName is not allowed via this API version")
    invalid(ask("r", "/CN=x", "nodomain"), "spec.signerName", "must be a fully qualified domain and path of the form 'example.com/signer-name'")
    invalid(ask("r", "/CN=x", K + "kube-apiserver-client", ["flying"]), "spec.usages[0]", 'Unsupported value: "flying"')
    invalid(ask("r", "/CN=x", K + "kube-apiserver-client", expirationSeconds=10), "spec.expirationSeconds", "600")
    invalid(say_of("denied"), "status.conditions[1].type", "Approved and Denied conditions are mutually exclusive")
    o = api.get(CSR + "/max").json
    o["status"]["conditions"] = []
    invalid(api.put(CSR + "/max/approval", o), "status.conditions", 'updates may not remove a condition of type "Approved"')
    o = api.get(CSR + "/max").json
    o["status"]["certificate"] = base64.b64encode(open(d.pki.at("n1.crt"), "rb").read()).decode()
    invalid(api.put(CSR + "/max/status", o), "status.certificate", "updates may not modify existing certificate content")
    ask("st", "/CN=x", "example.com/mine", ["any"])
    o = api.get(CSR + "/st").json
    o["status"] = {"conditions": [{"type": "Approved", "status": "False", "reason": "x"}]}
    invalid(api.put(CSR + "/st/approval", o), "status.conditions[0].status", 'Unsupported value: "False"')
    for subject in ("/O=system:masters/CN=x", "/O=dev/O=system:masters/CN=x"):
        a = ask("root", subject, K + "kube-apiserver-client")
        t.ok(a.status == 403 and "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in a.json["message"], "nobody becomes an administrator", a)
    for name in ("orlop:core", "system:apiserver", "orlop:kubelet", "kube-apiserver-kubelet-client"):
        t.eq(ask("root", "/CN=" + name, K + "kube-apiserver-client").status, 403, "nor " + name)


def rights():
    d.pki.client("eve", "/CN=eve")
    a = api.post(RBAC + "clusterroles", {"metadata": {"name": "eve"}, "rules": [
        {"verbs": ["*"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"]}]})
    assert a.status == 201, a
    api.post(RBAC + "clusterrolebindings", {"metadata": {"name": "eve"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "eve"},
             "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}]})
    eve = Api(d, "eve")
    t.eq(ask("hers", "/CN=eve2", K + "kube-apiserver-client", who=eve).status, 201, "one may ask")
    a = say_of("hers", who=eve)
    t.ok(a.status == 403 and 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"' in a.json["message"], "but not approve", a)
    o = api.get(CSR + "/hers").json
    o["status"] = {"certificate": base64.b64encode(open(d.pki.at("n1.crt"), "rb").read()).decode()}
    a = eve.put(CSR + "/hers/status", o)
    t.ok(a.status == 403 and 'user not permitted to sign requests with signerName "kubernetes.io/kube-apiserver-client"' in a.json["message"], "nor sign", a)
    api.patch(RBAC + "clusterroles/eve", [{"op": "add", "path": "/rules/-", "value": {
        "verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [K + "*"]}}], "json")
    t.eq(say_of("hers", who=eve).status, 200, "with the right to a domain's signers one may")
    cert_of("hers")
    role = "system:controller:certificate-controller"
    whole = api.get(RBAC + "clusterroles/" + role).json["rules"]
    for verb, resource in (("sign", "signers"), ("update", "certificatesigningrequests/status")):
        name = verb + "-no"
        rules = [r for r in whole if not (verb in r["verbs"] and set(r.get("resources", [])) & {resource})]
        assert api.patch(RBAC + "clusterroles/" + role, {"rules": rules}).status == 200
        n = len(d.log())
        ask(name, "/CN=x", K + "kube-apiserver-client")
        say_of(name)
        until("refused, for it tries again", lambda: d.log()[n:].count("event=csr_signed name=" + name) >= 2)
        t.ok("certificate" not in api.get(CSR + "/" + name).json["status"], "the controller needs to %s %s" % (verb, resource))
        assert api.patch(RBAC + "clusterroles/" + role, {"rules": whole}).status == 200
        cert_of(name)
        t.ok("certificate" in api.get(CSR + "/" + name).json["status"], "and with that right it is done")


def forgotten():
    ask("old", "/CN=x", "example.com/mine", ["any"])
    say_of("old", "Denied", lastUpdateTime="2020-01-01T00:00:00Z")
    until("it is gone", lambda: api.get(CSR + "/old").status == 404)
    t.eq(api.get(CSR + "/max").status, 200, "what was denied long ago is forgotten, what is new is not")
    t.eq(os.stat(d.pki.at("ca.key")).st_mode & 0o077, 0, "the authority's key is its owner's alone")
    t.ok("PRIVATE" not in d.log() and "BEGIN" not in d.log(), "and nowhere told")


for g in (client, kubelets, refused, rights, forgotten):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends in order")
t.done()
