#!/usr/bin/env -S python3 -B
# run: timeout=240
"""The end of the process with requests under way: /readyz says no first, who has asked is answered, watches end in order, nobody new is let in."""
import errno
import json
import os
import select
import signal
import socket
import subprocess

from rig import Api, CM, Daemon, FACTOR, Tap, config_map, group, until

t = Tap()
ROOT = "token-of-root"


def send(d, text, who=ROOT):
    """A connection that has sent this much of a request."""
    s = d.connect(None)
    s.sendall(text.replace("\n", "\r\n").replace("WHO", "Host: localhost\r\nAuthorization: Bearer " + who).encode())
    return s


def half_a_post(d, name, query=""):
    """A request whose last byte is missing, and that byte."""
    body = json.dumps(config_map(name))
    return send(d, "POST %s%s HTTP/1.1\nWHO\nContent-Type: application/json\nContent-Length: %d\n\n" % (CM, query, len(body)) +
                body[:-1]), body[-1:].encode()


def rest(s):
    """Everything until the other side closes."""
    b = b""
    s.settimeout(60 * FACTOR)
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return b
        if not more:
            return b
        b += more


def refused(d):
    try:
        socket.create_connection(("127.0.0.1", d.port), timeout=60 * FACTOR).close()
    except OSError as e:
        return e.errno in (errno.ECONNREFUSED, errno.ECONNRESET)
    return False


def isolate(d):
    """The API server in a process of its own."""
    with open(d.conf) as f:
        text = f.read()
    with open(d.conf, "w") as f:
        f.write(text.replace('{ module = "apiserver"; params', '{ module = "apiserver"; isolation = "process"; params'))


def inflight(api):
    a = api.get("/metrics").text
    return [l for l in a.splitlines() if l.startswith('apiserver_current_inflight_requests{request_kind="mutating"}')][0].endswith(" 1")


def drained(isolated):
    name = "isolated: " if isolated else ""
    d = Daemon(head="end_timeout_s = 3600;\n")
    if isolated:
        isolate(d)
    d.start()
    api = Api(d)
    api.post(CM, config_map("first"))
    post, last = half_a_post(d, "late")
    until("the post has come", lambda: inflight(api))
    head = send(d, "GET /readyz?verbose HTTP/1.1\nWHO\n")
    live = send(d, "GET /livez HTTP/1.1\nWHO\n")
    w = api.watch(CM + "?watch=1&allowWatchBookmarks=1")
    w.next()
    idle = d.connect()
    old = send(d, "GET %s HTTP/1.1\nWHO\n\n" % CM)
    until("an answer", lambda: select.select([old], [], [], 1)[0])
    d.proc.send_signal(signal.SIGTERM)
    until("nobody is let in", lambda: refused(d))
    t.ok(True, name + "new connections are refused")
    while w.next() is not None:
        pass
    t.ok(True, name + "a watch ends with its last chunk")
    head.sendall(b"\r\n")
    a = rest(head)
    t.ok(a.startswith(b"HTTP/1.1 500") and b"[-]shutdown failed: reason withheld\n" in a and b"[+]etcd ok\n" in a and b"\r\nConnection: close\r\n" in a,
         name + "/readyz says why not", a)
    live.sendall(b"\r\n")
    t.ok(rest(live).startswith(b"HTTP/1.1 200"), name + "/livez says nothing of it")
    t.eq(idle.recv(1), b"", name + "an idle connection is closed")
    t.ok(rest(old).startswith(b"HTTP/1.1 200"), name + "so is one whose request has been answered")
    t.ok(d.alive(), name + "it waits for the request that is under way")
    post.sendall(last)
    a = rest(post)
    t.ok(a.startswith(b"HTTP/1.1 201") and b'"name":"late"' in a, name + "which is answered", a)
    t.eq(d.proc.wait(60 * FACTOR), 0, name + "then it ends")
    t.ok("module_requests" not in d.log() and "stop_late" not in d.log(), name + "in order", d.log()[-1500:])
    d.start()
    t.eq(Api(d).get(CM + "/late").status, 200, name + "what it answered is true")
    d.stop()


def by_http2():
    """Curl holds a POST open while the connection is told to go: its stream is among those that are answered."""
    d = Daemon(head="end_timeout_s = 3600;\n").start()
    api = Api(d)
    body = json.dumps(config_map("two")).encode()
    p = subprocess.Popen(["curl", "-sS", "--http2", "--cacert", d.pki.ca, "-H", "Authorization: Bearer " + ROOT, "-H", "Content-Type: application/json",
                          "-H", "Content-Length: %d" % len(body), "-X", "POST", "-T", "-", "-w", "%{http_code} %{http_version}",
                          "https://localhost:%d%s" % (d.port, CM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(body[:-1])
    p.stdin.flush()
    until("the post has come", lambda: inflight(api))
    d.proc.send_signal(signal.SIGTERM)
    until("nobody is let in", lambda: refused(d))
    p.stdin.write(body[-1:])
    p.stdin.close()
    out = p.stdout.read()
    p.wait()
    t.ok(out.endswith(b"201 2"), "a stream of HTTP/2 that is under way is answered", (out, p.stderr.read()))
    t.eq(d.proc.wait(60 * FACTOR), 0, "then it ends")


def within_a_bound():
    d = Daemon(head="end_timeout_s = 1;\n").start()
    api = Api(d)
    post, _ = half_a_post(d, "never")
    until("the post has come", lambda: inflight(api))
    api.close()
    t.eq(d.stop(), 0, "it does not wait for ever")
    t.ok("module_requests name=apiserver requests=1" in d.log(), "and says for what it did not", d.log()[-800:])
    post.close()


def after_a_delay():
    d = Daemon(params="shutdown_delay_s = 3600;", head="end_timeout_s = 3600;\n").start()
    t.eq(Api(d).get("/readyz").status, 200, "ready")
    d.proc.send_signal(signal.SIGTERM)
    until("/readyz says no", lambda: Api(d).get("/readyz").status == 500)
    api = Api(d)
    a = api.get("/readyz/shutdown")
    t.ok(a.status == 500, "by its check shutdown", a)
    t.eq(api.get("/livez").status, 200, "it is alive")
    t.eq(api.post(CM, config_map("meanwhile")).status, 201, "and serves as before, for those who have not noticed")
    d.proc.send_signal(signal.SIGTERM)
    t.eq(d.proc.wait(60 * FACTOR), 1, "asked twice it ends at once")


# The thread sanitizer takes the child of a clone that shares its memory for the parent.
SPAWNS = "thread" not in os.environ.get("SANITIZERS", "")
for g in [lambda: drained(False)] + [lambda: drained(True)] * SPAWNS + [by_http2, within_a_bound, after_a_delay]:
    group(t, g)
t.done()
