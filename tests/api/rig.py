#!/usr/bin/env -S python3 -B
"""What the tests of the API share: a daemon of their own, a client without conveniences, TAP.

As a program it starts an orlopd with storage and API server and runs a script against it:

    rig.py SCRIPT [ARGUMENT...]

The script finds KUBECONFIG, APISERVER, RIG_DIR and RIG_PID in its environment. With RIG_LOSS=1 the bus loses
messages. Nothing outlives the program.
Only the standard library is used. Nothing waits by sleeping: readiness comes through --ready-fd.
"""
import atexit
import base64
import gzip
import http.client
import http.server
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

SRCDIR = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILDDIR = os.path.abspath(os.environ.get("builddir", "."))
FACTOR = int(os.environ.get("TEST_TIMEOUT_FACTOR", "1"))
http.client._MAXHEADERS = 5000    # a warning is a header each
LOSS = "bus = { loss_percent = 20; duplicate_percent = 5; reorder_percent = 5; };\n"


def say(text):
    print("# " + str(text).replace("\n", "\n# "), flush=True)


# ---- TAP -----------------------------------------------------------------------------------------------

class Tap:
    def __init__(self):
        self.n = 0
        self.bad = 0

    def ok(self, good, name, why=None):
        self.n += 1
        print("%sok %d - %s" % ("" if good else "not ", self.n, name), flush=True)
        if not good:
            self.bad += 1
            if why is not None:
                say(str(why)[:3000])
        return bool(good)

    def eq(self, got, want, name):
        return self.ok(got == want, name, "got  %r\nwant %r" % (got, want))

    def skip(self, name, why):
        self.n += 1
        print("ok %d - %s # SKIP %s" % (self.n, name, why), flush=True)

    def done(self):
        print("1..%d" % self.n, flush=True)
        sys.exit(1 if self.bad else 0)


def group(tap, fn, *args):
    """One group of tests; what it did not expect is a failed point, and the next group still runs."""
    try:
        fn(*args)
    except Exception as e:      # noqa: a test must report whatever happened
        import traceback
        tap.ok(False, "%s ran to its end" % fn.__name__, traceback.format_exc() + repr(e))


def until(what, fn, seconds=60):
    """fn() until it is true; for states that nobody announces (another process's memory, its end)."""
    end = time.monotonic() + seconds * FACTOR
    while True:
        r = fn()
        if r:
            return r
        if time.monotonic() > end:
            raise TimeoutError("waited in vain: " + what)
        select.select([], [], [], 0.01)


# ---- keys ----------------------------------------------------------------------------------------------

def openssl(*args):
    subprocess.run(("openssl",) + args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Pki:
    """An authority and what it signed, by the openssl program: other code than the daemon's own."""

    def __init__(self, path):
        self.dir = path
        os.makedirs(path, mode=0o700)
        self.ca = self.at("ca.crt")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=test-ca", "-keyout", self.at("ca.key"), "-out", self.ca)
        self.issue("apiserver", "/CN=kube-apiserver",
                   "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,DNS:kubernetes,IP:127.0.0.1\n")
        self.client("admin", "/O=system:masters/CN=kubernetes-admin")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.at("sa.key"))

    def at(self, name):
        return os.path.join(self.dir, name)

    def client(self, name, subject):
        self.issue(name, subject, "extendedKeyUsage=clientAuth\n")

    def issue(self, name, subject, ext, ca="ca"):
        with open(self.at(name + ".ext"), "w") as f:
            f.write(ext)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-keyout", self.at(name + ".key"), "-out", self.at(name + ".csr"))
        openssl("x509", "-req", "-in", self.at(name + ".csr"), "-CA", self.at(ca + ".crt"), "-CAkey",
                self.at(ca + ".key"), "-CAcreateserial", "-days", "30", "-extfile", self.at(name + ".ext"),
                "-out", self.at(name + ".crt"))


# ---- the daemon ----------------------------------------------------------------------------------------

_held = []


def free_port():
    """A port for one who says SO_REUSEADDR before it listens. It stays bound here, so that nobody else is given it before, or between two starts."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    _held.append(s)
    return s.getsockname()[1]


class Daemon:
    """orlopd with storage/lmdb and apiserver, in a directory of its own."""

    def __init__(self, head="", params="", log_level="info", modules=()):
        self.dir = tempfile.mkdtemp(prefix="orlop-api.")
        atexit.register(self.tidy)
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, lambda n, f: sys.exit(1))
        if os.environ.get("RIG_LOSS"):
            head += LOSS
        self.proc = None
        self.log_path = os.path.join(self.dir, "log")
        self.pki = Pki(os.path.join(self.dir, "pki"))
        self.port = free_port()
        self.conf = os.path.join(self.dir, "orlopd.conf")
        with open(self.pki.at("tokens"), "w") as f:
            f.write('token-of-jane,jane,uid-1,"dev,ops"\ntoken-of-root,root,uid-2,"system:masters"\n')
        with open(self.conf, "w") as f:
            f.write('data_dir = "%(d)s/data"; log_level = "%(l)s"; module_dir = "%(b)s/modules";\n%(head)s'
                    'modules = (\n'
                    ' { module = "storage/lmdb"; params = { path = "%(d)s/data/db"; }; },\n'
                    ' { module = "apiserver"; params = { listen = "127.0.0.1:%(p)d"; cert = "%(k)s/apiserver.crt";\n'
                    '   key = "%(k)s/apiserver.key"; client_ca = "%(k)s/ca.crt"; sa_key = "%(k)s/sa.key";\n'
                    '   token_file = "%(k)s/tokens"; %(params)s }; }%(more)s\n);\n'
                    % {"d": self.dir, "b": BUILDDIR, "p": self.port, "k": self.pki.dir, "head": head,
                       "params": params, "l": log_level,
                       "more": "".join(',\n { module = "%s"; }' % m for m in modules)})
        self.kubeconfig = os.path.join(self.dir, "kubeconfig")
        with open(self.kubeconfig, "w") as f:
            f.write(self.kubeconfig_text())
        os.chmod(self.kubeconfig, 0o600)

    def kubeconfig_text(self, name="admin", token=None):
        def b64(path):
            with open(path, "rb") as f:
                return base64.b64encode(f.read()).decode()
        user = {"token": token} if token else {
            "client-certificate-data": b64(self.pki.at(name + ".crt")),
            "client-key-data": b64(self.pki.at(name + ".key"))}
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "t",
            "clusters": [{"name": "t", "cluster": {
                "server": "https://127.0.0.1:%d" % self.port, "certificate-authority-data": b64(self.pki.ca)}}],
            "users": [{"name": "t", "user": user}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}]})

    def start(self):
        r, w = os.pipe()
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(
                [os.path.join(BUILDDIR, "orlopd"), "-f", "-c", self.conf, "--ready-fd", str(w)], pass_fds=(w,),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(w)
        try:
            ready, _, _ = select.select([r], [], [], 60 * FACTOR)
            word = os.read(r, 16) if ready else b""
        finally:
            os.close(r)
        if not word.startswith(b"READY"):
            raise RuntimeError("orlopd did not become ready: " + self.log()[-2000:])
        return self

    def kill9(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        """In order. The exit status."""
        self.proc.terminate()
        try:
            return self.proc.wait(60 * FACTOR)
        except subprocess.TimeoutExpired:
            say("orlopd did not stop in time")
            self.kill9()
            return None

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def rss_kb(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return [int(l.split()[1]) for l in f if l.startswith("VmRSS:")][0]

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def tidy(self):
        if self.alive():
            self.kill9()
        bad = [l for l in self.log().split("\n") if "Sanitizer" in l or "runtime error" in l] \
            if os.path.exists(self.log_path) else []
        for l in bad[:20]:
            say(l)
        keep = os.environ.get("RIG_KEEP")
        if keep and os.path.exists(self.log_path):
            shutil.copy(self.log_path, keep)
        shutil.rmtree(self.dir, ignore_errors=True)

    def tls(self, name="admin", alpn=None):
        c = ssl.create_default_context(cafile=self.pki.ca)
        if name:
            c.load_cert_chain(self.pki.at(name + ".crt"), self.pki.at(name + ".key"))
        if alpn:
            c.set_alpn_protocols(alpn)
        return c

    def connect(self, name="admin", alpn=None, timeout=60):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout * FACTOR)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls(name, alpn).wrap_socket(s, server_hostname="localhost")


# ---- the client ----------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers      # http.client.HTTPMessage
        self.raw = body
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def rv(self):
        return self.json["metadata"]["resourceVersion"]

    def __str__(self):
        return "%d %s" % (self.status, self.text[:600])


class Api:
    """One connection with one identity. user None: no certificate."""

    def __init__(self, daemon, user="admin", token=None, agent="rig/1.0", timeout=60):
        self.daemon = daemon
        self.token = token
        self.agent = agent
        self.timeout = timeout * FACTOR
        self.ctx = daemon.tls(None if token else user)
        self.conn = None

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def headers(self, given):
        h = {"Accept": "application/json", "User-Agent": self.agent}
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        h.update(given or {})
        return {k: v for k, v in h.items() if v is not None}

    def __call__(self, method, path, body=None, headers=None, type=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        h = self.headers(headers)
        if type:
            h["Content-Type"] = type
        elif body is not None and "Content-Type" not in h:
            h["Content-Type"] = "application/json"
        for again in (False, True):
            fresh = self.conn is None
            if fresh:
                self.conn = http.client.HTTPSConnection("localhost", self.daemon.port, context=self.ctx,
                                                        timeout=self.timeout)
            try:
                self.conn.request(method, path, body, h)
                r = self.conn.getresponse()
                a = Answer(r.status, r.headers, r.read())
                if r.will_close:
                    self.close()
                return a
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                if fresh or again or method != "GET":
                    raise
            except Exception:
                self.close()
                raise

    def get(self, path, headers=None):
        return self("GET", path, None, headers)

    def post(self, path, body, **kw):
        return self("POST", path, body, **kw)

    def put(self, path, body, **kw):
        return self("PUT", path, body, **kw)

    def patch(self, path, body, kind="merge", **kw):
        type = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
                "strategic": "application/strategic-merge-patch+json",
                "apply": "application/apply-patch+yaml"}[kind]
        return self("PATCH", path, body, type=type, **kw)

    def delete(self, path, body=None, **kw):
        return self("DELETE", path, body, **kw)

    def watch(self, path, headers=None):
        return Watch(self, path, headers)


class Watch:
    """A watch on a connection of its own; events come out one by one. The answer if it was refused."""

    def __init__(self, api, path, headers=None, timeout=60):
        self.conn = http.client.HTTPSConnection("localhost", api.daemon.port, context=api.ctx, timeout=timeout * FACTOR)
        self.conn.request("GET", path, None, api.headers(headers))
        self.resp = self.conn.getresponse()
        self.status = self.resp.status
        self.answer = None
        if self.status != 200:
            self.answer = Answer(self.status, self.resp.headers, self.resp.read())

    def next(self):
        """The next event, None at the end of the stream; socket.timeout when there is none."""
        line = self.resp.readline()
        return json.loads(line) if line else None

    def short(self, n):
        """The next n events as (type, name)."""
        out = []
        for _ in range(n):
            e = self.next()
            out.append((e["type"], e["object"]["metadata"].get("name")) if e else None)
        return out

    def close(self):
        # shut down first: closing alone would wait for a chunk that never comes
        try:
            self.conn.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass
        self.conn.close()


# ---- a webhook -----------------------------------------------------------------------------------------

class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        review = json.loads(body)
        with self.server.lock:
            self.server.seen.append((self.path, review))
        status, answer, headers = self.server.behave(self.path.split("?")[0], review)
        if not isinstance(answer, bytes):
            answer = json.dumps(answer).encode()
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        try:
            self.wfile.write(answer)
        except OSError:
            pass

    do_GET = do_POST

    def log_message(self, *args):
        pass


class HookServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128    # a connection that finds the queue full comes again after a second at the earliest

    def handle_error(self, request, address):
        """A client that does not trust us."""


def hook_server(d, behave, name="hook"):
    """A TLS server with the daemon's authority's certificate NAME: behave(path, review) → (status, answer, headers)."""
    s = HookServer(("127.0.0.1", 0), Hook)
    s.seen, s.lock, s.behave = [], threading.Lock(), behave
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(d.pki.at(name + ".crt"), d.pki.at(name + ".key"))
    s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


def config_map(name, data=None, **meta):
    m = {"name": name}
    m.update(meta)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": m, "data": data or {}}


CM = "/api/v1/namespaces/default/configmaps"


def in_threads(n, fn):
    """fn(i) in n threads; the exceptions."""
    bad = []

    def run(i):
        try:
            fn(i)
        except Exception as e:      # noqa
            import traceback
            bad.append(traceback.format_exc() + repr(e))
    ts = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for t in ts:
        t.start()
    return ts, bad


def main():
    args = sys.argv[1:]
    if not args:
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which("openssl"):
        print("1..0 # SKIP no openssl")
        return 0
    d = Daemon().start()
    env = dict(os.environ, KUBECONFIG=d.kubeconfig, RIG_DIR=d.dir, RIG_PID=str(d.proc.pid), HOME=d.dir,
               APISERVER="https://127.0.0.1:%d" % d.port)
    r = subprocess.run(args, env=env).returncode
    if not d.alive():
        print("not ok - the daemon died")
        say(d.log()[-3000:])
        return 1
    if d.stop() != 0:
        print("not ok - the daemon did not end well")
        say(d.log()[-3000:])
        return 1
    return r


if __name__ == "__main__":
    sys.exit(main())
