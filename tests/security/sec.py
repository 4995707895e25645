"""What the tests of this folder share: the rig of tests/api, backends of our own that mean no good, and what a daemon weighs.

Each test is named after the CVE of another program whose class of mistake it looks for here, and says which defence it needs.
"""
import os
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from rig import *       # noqa
from rig import FACTOR, Api, Daemon

SANITIZED = os.environ.get("SANITIZERS", "") != ""
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def pss_kb(d):
    """What the daemon weighs: its own pages, and its share of the others."""
    with open("/proc/%d/smaps_rollup" % d.proc.pid) as f:
        return [int(l.split()[1]) for l in f if l.startswith("Pss:")][0]


class Bounded:
    """with Bounded(t, d, mib, "what"): the daemon lives on, and weighs no more than that above what it weighed before."""

    def __init__(self, t, d, mib, what):
        self.t, self.d, self.kb, self.what = t, d, mib * 1024, what

    def __enter__(self):
        self.before = pss_kb(self.d)

    def __exit__(self, kind, value, trace):
        if kind is None and self.d.alive():
            more = pss_kb(self.d) - self.before
            if SANITIZED:
                self.t.skip(self.what + ": memory is bounded", "a sanitizer keeps what is freed (%+d KiB)" % more)
            else:
                self.t.ok(more <= self.kb, "%s: memory is bounded (%+d KiB of %d)" % (self.what, more, self.kb))
        self.t.ok(self.d.alive() and Api(self.d).get("/livez").status == 200, self.what + ": the server lives", self.d.log()[-1500:])


class Backend:
    """A TLS server with a certificate of the cluster's authority. It notes all that it is sent, head by head, and answers
    what answer(head) says: bytes; None closes. What follows a head on the same connection is noted as another one."""

    def __init__(self, d, answer, name="backend", host="127.0.0.1", tls=True):
        self.answer, self.heads, self.conns, self.lock, self.came = answer, [], 0, threading.Lock(), threading.Condition()
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.ctx = None
        if tls:
            if not os.path.exists(d.pki.at(name + ".crt")):
                d.pki.issue(name, "/CN=" + name, "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
            self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.ctx.load_cert_chain(d.pki.at(name + ".crt"), d.pki.at(name + ".key"))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with self.lock:
            self.conns += 1
        try:
            if self.ctx:
                c = self.ctx.wrap_socket(c, server_side=True)
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    b = c.recv(65536)
                    if not b:
                        return
                    data += b
                head, data = data.split(b"\r\n\r\n", 1)
                with self.came:
                    self.heads.append(head.decode("latin-1"))
                    self.came.notify_all()
                out = self.answer(self.heads[-1])
                if out is None:
                    return
                c.sendall(out)
        except OSError:
            pass
        finally:
            c.close()

    def wait(self, n):
        """Until @n requests have come."""
        with self.came:
            if not self.came.wait_for(lambda: len(self.heads) >= n, 60 * FACTOR):
                raise TimeoutError("only %d requests came" % len(self.heads))


def kubelet_daemon(**kw):
    """A daemon whose API server asks kubelets as system:masters: the worst that could be borrowed."""
    d = Daemon(params='kubelet_ca = "%(k)s/ca.crt"; kubelet_cert = "%(k)s/to-kubelet.crt"; kubelet_key = "%(k)s/to-kubelet.key";', **kw)
    d.pki.client("to-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    with open(d.conf) as f:
        conf = f.read()
    with open(d.conf, "w") as f:
        f.write(conf.replace("%(k)s", d.pki.dir))
    return d.start()


def node(api, name, port, ip="127.0.0.1"):
    """A Node whose kubelet is said to be there."""
    api.post("/api/v1/nodes", {"metadata": {"name": name}})
    a = api.patch("/api/v1/nodes/%s/status" % name, {"status": {
        "addresses": [{"type": "InternalIP", "address": ip}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
    assert a.status == 200, a


def pod(api, name, node="n1", ns="default", **spec):
    api.post("/api/v1/namespaces/%s/serviceaccounts" % ns, {"metadata": {"name": "default"}})
    a = api.post("/api/v1/namespaces/%s/pods" % ns, {"metadata": {"name": name}, "spec": dict(
        {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}, **spec)})
    assert a.status == 201, a
    return a.json


def grant(api, user, rules, ns=None, name=None):
    """A role of @rules, (verbs, groups, resources), and @user bound to it: in a namespace, or everywhere."""
    name = name or user
    at = RBAC + ("/namespaces/%s" % ns if ns else "")
    kind = "Role" if ns else "ClusterRole"
    a = api.post(at + "/%ss" % kind.lower(), {"metadata": {"name": name}, "rules": [
        {"verbs": v.split(","), "apiGroups": g.split(","), "resources": r.split(",")} for v, g, r in rules]})
    assert a.status == 201, a
    a = api.post(at + "/%sbindings" % kind.lower(), {
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]})
    assert a.status == 201, a


def raw(d, data, name="admin", alpn=("http/1.1",), seconds=5):
    """Bytes over TLS, and what comes until the server closes or falls silent."""
    s = d.connect(name, list(alpn))
    out = b""
    try:
        s.settimeout(seconds * FACTOR)
        s.sendall(data)
        while True:
            b = s.recv(65536)
            if not b:
                break
            out += b
    except (OSError, ssl.SSLError):
        pass
    finally:
        s.close()
    return out
