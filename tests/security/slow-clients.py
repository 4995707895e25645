#!/usr/bin/env -S python3 -B
# run: timeout=150 alone
"""CVE-2007-6750's class (and CVE-2019-9517, CVE-2020-8552): thousands of connections that have begun and never go on: no handshake, half a
head, a body by the byte, a watch that is not read. Here each costs little and has an end, and who is honest is served beside them."""
import resource
import socket

from sec import *

t = Tap()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
d = Daemon().start()
api = Api(d)
N = 3000


def half_open():
    """No handshake at all, and half of one."""
    base = d.fds()
    with Bounded(t, d, 128, "%d connections without a handshake" % N):
        idle = []
        for i in range(N):
            s = socket.create_connection(("127.0.0.1", d.port), timeout=20 * FACTOR)
            if i % 2:
                s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            idle.append(s)
        t.eq(Api(d).get("/livez").status, 200, "somebody honest comes in")
        a = api.post(CM, config_map("beside"))
        t.eq(a.status, 201, "and writes")
        before, kb = d.fds(), pss_kb(d)
        say("%d descriptors, %d KiB" % (before, kb))
    for s in idle:
        s.close()
    until("they are gone", lambda: d.fds() <= base + 10)


def slow():
    base = d.fds()
    ctx = d.tls("admin", ["http/1.1"])
    with Bounded(t, d, 60, "1500 heads and bodies that never end"):
        idle = []
        for i in range(1500):
            s = ctx.wrap_socket(socket.create_connection(("127.0.0.1", d.port), timeout=20 * FACTOR), server_hostname="localhost")
            s.sendall([b"GET /livez HTTP/1.1\r\nHos", ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n{" % CM).encode(),
                       ("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{" % CM).encode()][i % 3])
            idle.append(s)
        a = Api(d).get("/livez")
        t.eq(a.status, 200, "somebody honest comes in")
        t.eq(api.patch(CM + "/beside", {"data": {"a": "b"}}).status, 200, "and writes")
    for s in idle:
        s.close()
    until("they are gone", lambda: d.fds() <= base + 10)


def unread():
    base = d.fds()
    w = [api.watch(CM + "?watch=1&resourceVersion=0") for _ in range(100)]
    with Bounded(t, d, 60, "a hundred watches that nobody reads, and 20 MB for each"):
        for i in range(100):
            api.put(CM + "/beside", config_map("beside", {"p": ("%d" % i) * 50000}))
        t.eq(Api(d).get("/livez").status, 200, "somebody honest comes in")
    for x in w:
        x.close()
    until("they are gone", lambda: d.fds() <= base + 10)


for g in (half_open, slow, unread):
    group(t, g)
t.eq(d.stop(), 0, "it ends in order")
t.done()
