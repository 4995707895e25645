#!/usr/bin/env -S python3 -B
# run: timeout=240 alone
"""Memory, writes and system calls that fail, each once: the n-th of them, for every n.

    faults.py [SCENARIO...]         start load api modules

What must hold: the daemon answers with an error or goes on; it never crashes, hangs, loses what it acknowledged, or
keeps descriptors. FAULT_EVERY=k tries the first 20 and then each k-th n (1: all), FAULT_SECONDS bounds each sweep.
"""
import http.client
import json
import mmap
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "look"))
import kit                                              # noqa: E402
import rig                                              # noqa: E402
from kit import Tap, ctl, group                         # noqa: E402
from rig import CM, config_map                          # noqa: E402

SHIM = os.path.join(kit.BUILDDIR, "tests", "faults", "faultshim.so")
EVERY = int(os.environ.get("FAULT_EVERY", "40"))
SECONDS = float(os.environ.get("FAULT_SECONDS", "2"))
KINDS = {"allocation": 1, "write": 2, "call": 3}
t = Tap()


class Page:
    """struct page of shim.c"""

    def __init__(self):
        fd, self.path = tempfile.mkstemp(prefix="orlop-fault.")
        os.ftruncate(fd, 4096)
        self.m = mmap.mmap(fd, 4096)
        os.close(fd)

    def forget(self):
        """a new process"""
        self.m[0:256] = bytes(256)

    def arm(self, kind, n):
        self.m[24:256] = bytes(232)
        struct.pack_into("<QQ", self.m, 8, n, 0)
        struct.pack_into("<I", self.m, 0, KINDS[kind])

    def disarm(self):
        """how many were counted, and what failed (None: nothing)"""
        struct.pack_into("<I", self.m, 0, 0)
        count, hit, err = struct.unpack_from("<QII", self.m, 16)
        what = self.m[32:96].split(b"\0")[0].decode()
        where = self.m[96:224].split(b"\0")[0].decode()
        return count, "%s (%s) from %s" % (what, os.strerror(err), where) if hit else None

    def env(self):
        return dict(os.environ, LD_PRELOAD=SHIM, FAULT_FILE=self.path)


page = Page()
kit.atexit.register(os.unlink, page.path)


class Sweep:
    """All n of one kind over one piece of work; collects what should not be."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.bad = []
        self.tried = self.faulted = self.total = 0

    def run(self, work, after, every=None):
        """work(): under the fault; its result goes to after(), which returns None or what is wrong."""
        every = every or EVERY
        page.arm(self.kind, 0)
        r = work()
        self.total, _ = page.disarm()
        wrong = after(r, None)
        if wrong:
            self.bad.append("without any fault: %s" % wrong)
            return self
        end = time.monotonic() + SECONDS * kit.FACTOR
        n = 1
        while n <= self.total * 2 + 20 and time.monotonic() < end:
            page.arm(self.kind, n)
            r = work()
            _, what = page.disarm()
            wrong = after(r, what)
            self.tried += 1
            self.faulted += what is not None
            if wrong:
                self.bad.append("%d: %s: %s" % (n, what, wrong))
                if len(self.bad) >= 12:
                    break
            if what is None and n > self.total:
                break
            n += every if n > 20 else 1
        return self

    def tell(self):
        t.ok(not self.bad and self.faulted, "%s: %d of %d %ss failed, once each" % (self.name, self.faulted, self.total, self.kind),
             "\n".join(self.bad) or "nothing failed")


def fds(pid):
    """what is open, sorted"""
    out = []
    for n in os.listdir("/proc/%d/fd" % pid):
        try:
            out.append(re.sub(r"\d{3,}", "N", os.readlink("/proc/%d/fd/%s" % (pid, n))))
        except OSError:
            pass
    return sorted(out)


def more(before, now):
    """what is open now and was not before"""
    left = list(now)
    for x in before:
        if x in left:
            left.remove(x)
    return left


def settled(t_name, d, before):
    end = time.monotonic() + 5 * kit.FACTOR
    while d.proc and more(before, fds(d.proc.pid)) and time.monotonic() < end:
        time.sleep(0.02)
    t.eq(more(before, fds(d.proc.pid)) if d.proc else "dead", [], "%s: no descriptor is left" % t_name)


def last_lines(log, n=6):
    return "\n".join(log.splitlines()[-n:])


# ---- start -----------------------------------------------------------------------------------------------

def start():
    """The daemon starts, or says in a line why not; afterwards it starts."""
    for kind in KINDS:
        d = kit.Daemon([], directory=kit.tempdir())
        d.modules([("storage/lmdb", {"path": d.data + "/db", "map_mb": 64}), (kit.test_module("good"), {}),
                   (kit.test_module("caller"), {})])

        def work():
            try:
                os.unlink(d.log_path)
            except FileNotFoundError:
                pass
            struct.pack_into("<I", page.m, 4, 0)
            d.start(env=page.env(), wait=False)
            try:
                c = d.control(5)
                c.call(1)
                return "up", d.stop()
            except (OSError, EOFError):
                pass
            try:
                return "down", d.proc.wait(20 * kit.FACTOR)
            except subprocess.TimeoutExpired:
                d.kill()
                return "hangs", None

        def after(r, what):
            how, status = r
            log = d.log()
            if how == "hangs" or status == "hangs":
                return "it hangs\n" + last_lines(log)
            if how == "up" and status != 0 and what is None:
                return "ended with %s\n%s" % (status, last_lines(log))
            if isinstance(status, int) and status < 0:
                return "ended by signal %d\n%s" % (-status, "\n".join(log.splitlines()[:40]))
            if how == "down" and what and "orlopd: " not in log and "error" not in log:
                return "no word of why\n" + last_lines(log)
            return None

        s = Sweep("start", kind)
        s.run(work, after, every=EVERY * 5 if kind == "allocation" else EVERY)
        s.tell()
        page.forget()
        try:
            d.start()
            t.eq(d.stop(), 0, "start: afterwards it starts and ends as ever")
        except RuntimeError as e:
            t.ok(False, "start: afterwards it starts and ends as ever", e)


# ---- load and unload, without an API -------------------------------------------------------------------------

def loading(name, d, module, instance, alive, params=()):
    for kind in KINDS:
        page.forget()
        if d.proc is None:
            d.start(env=page.env())

        def ask(op, msg):
            try:
                c = d.control(20)
                try:
                    return c.call(op, msg)
                finally:
                    c.sock.close()
            except (OSError, EOFError) as e:
                return -999, repr(e)

        def work():
            a = ask(4, ctl.text(1, module) + b"".join(ctl.text(2, p) for p in params))
            b = ask(5, ctl.text(1, instance)) if a[0] == 0 else None
            return a, b

        def after(r, what):
            a, b = r
            if d.proc.poll() is not None:
                log = d.log()
                d.proc = None
                d.start(env=page.env())
                return "the daemon died: %s" % re.sub(r"(?s)words of the stack.*?\nbus ", "bus ", log[log.rfind("orlopd crashed"):])[:1500]
            if what and a[0] == -999 and "timed out" in a[1]:
                return "no answer"
            # whatever happened: it goes away again, and the daemon works
            end = time.monotonic() + 20
            while time.monotonic() < end:
                status, m = ask(5, ctl.text(1, instance))
                if status in (0, -2):
                    break
                time.sleep(0.01)
            else:
                return "it does not unload any more: %s" % m
            status, m = ask(4, ctl.text(1, module) + b"".join(ctl.text(2, p) for p in params))
            if status:
                return "it does not load any more: %s" % m
            status, m = ask(5, ctl.text(1, instance))
            if status:
                return "it does not unload any more: %s" % m
            return alive(d)

        work()          # what is made once and stays: a loop, workers, our connection
        alive(d)
        before = fds(d.proc.pid)
        s = Sweep(name, kind)
        s.run(work, after)
        s.tell()
        settled(name, d, before)


def load():
    d = kit.Daemon([], directory=kit.tempdir())
    d.modules([("storage/memory", {}), (kit.test_module("good"), {})])

    def alive(d):
        try:
            status, m = d.control(10).forward("echo", 1, ctl.text(1, "x"))
            return None if status == 0 else "echo: %s %s" % (status, m)
        except (OSError, EOFError) as e:
            return "echo: %r" % e

    d.start(env=page.env())
    loading("load and unload", d, kit.test_module("caller"), "test/caller", alive)
    t.eq(d.stop(), 0, "load: ends well")


# ---- requests by HTTPS -------------------------------------------------------------------------------------

class Server(rig.Daemon):
    def start(self):
        page.forget()
        old = dict(os.environ)
        os.environ.update(page.env())
        try:
            return super().start()
        finally:
            for k in ("LD_PRELOAD", "FAULT_FILE"):
                os.environ.pop(k, None)
            os.environ.update(old)

    def up(self):
        if self.proc is None or self.proc.poll() is not None:
            log = self.log()
            at = log.rfind("orlopd crashed")
            self.proc = None
            self.start()
            return "the daemon died: %s" % (re.sub(r"(?s)words of the stack.*?\nbus ", "bus ", log[at:])[:200] +
                                           log[log.rfind("\nframes"):][:1200] if at >= 0 else log[-500:])
        return None


class Client:
    """One connection, made anew when it is broken. None: no answer in order."""

    def __init__(self, d):
        self.d, self.conn = d, None

    def ask(self, method, path, body=None):
        if self.conn is None:
            self.conn = http.client.HTTPSConnection("localhost", self.d.port, context=self.d.tls("admin"), timeout=8 * kit.FACTOR)
        try:
            self.conn.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            r = self.conn.getresponse()
            return r.status, r.read()
        except (socket.timeout, TimeoutError):
            self.close()
            return "timeout", b""
        except (OSError, http.client.HTTPException, ssl.SSLError) as e:
            self.close()
            return None, repr(e).encode()

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None


def api():
    d = Server()
    d.start()
    c, watcher = Client(d), Client(d)
    serial = [0]
    for kind in KINDS:
        d.up()
        before = fds(d.proc.pid)

        def work():
            serial[0] += 1
            name = "f%d" % serial[0]
            got = [("create", c.ask("POST", CM, config_map(name, {"a": "b"})))]
            got.append(("get", c.ask("GET", CM + "/" + name)))
            got.append(("list", c.ask("GET", CM + "?limit=5")))
            got.append(("watch", watcher.ask("GET", CM + "?watch=1&timeoutSeconds=0&resourceVersion=0&fieldSelector=metadata.name%3D"
                                             + name + "&timeoutSeconds=1") if serial[0] % 16 == 0 else (200, b"")))
            got.append(("patch", c.ask("PUT", CM + "/" + name, config_map(name, {"a": "c"}))))
            deleted = serial[0] % 2 == 0
            if deleted:
                got.append(("delete", c.ask("DELETE", CM + "/" + name)))
            return name, got, deleted

        def after(r, what):
            name, got, deleted = r
            died = d.up()
            if died:
                c.close()
                watcher.close()
                return died
            for op, (status, body) in got:
                if status == "timeout":
                    return "%s: no answer" % op
                if what is None and status not in (200, 201):
                    return "%s: %s %s" % (op, status, body[:200])
                if isinstance(status, int) and status >= 400 and b'"Status"' not in body and status != 500:
                    return "%s: %s without a Status: %s" % (op, status, body[:100])
            answers = dict(got)
            status, body = c.ask("GET", CM + "/" + name)
            if status is None:
                status, body = c.ask("GET", CM + "/" + name)    # the connection was broken before
            if status not in (200, 404):
                return "afterwards: %s %s" % (status, body[:200])
            if answers["create"][0] == 201 and not deleted and status != 200:
                return "a created object is lost"
            if answers["patch"][0] == 200 and status == 200 and json.loads(body).get("data") != {"a": "c"}:
                return "an update is lost: %s" % body[:300]
            if deleted and answers["delete"][0] == 200 and status != 404:
                return "a deleted object is back"
            return None

        s = Sweep("create, get, list, watch, update, delete", kind)
        s.run(work, after)
        s.tell()
        c.close()
        watcher.close()
        settled("api", d, before)
    page.forget()
    t.eq(d.stop(), 0, "api: ends well")


# ---- our modules come and go beside an API server ---------------------------------------------------------------

MODULES = [("scheduler/default", "scheduler/default"), ("controllers/replicaset", "controllers/replicaset"),
           ("controllers/deployment", "controllers/deployment"), ("controllers/namespace", "controllers/namespace"),
           ("controllers/garbage-collector", "controllers/garbage-collector")]


def modules():
    class Wrapped:
        """what loading() wants of a daemon"""
        def __init__(self, d):
            self.d = d

        proc = property(lambda self: self.d.proc, lambda self, v: setattr(self.d, "proc", v))
        log = property(lambda self: self.d.log)

        def start(self, env=None):
            return self.d.start()

        def control(self, timeout=20):
            return ctl.Control(self.d.dir + "/data/orlop.sock", timeout * kit.FACTOR)

    d = Server()
    d.start()
    c = Client(d)

    def alive(w):
        status, body = c.ask("GET", CM)
        if status is None:
            status, body = c.ask("GET", CM)
        return None if status == 200 else "the API: %s %s" % (status, body[:100])

    for module, instance in MODULES:
        if os.path.exists(os.path.join(kit.BUILDDIR, "modules", module + ".so")):
            loading(module, Wrapped(d), module, instance, alive)
    page.forget()
    t.eq(d.stop(), 0, "modules: ends well")


if kit.SANITIZED:
    t.skip("faults", "sanitizers have allocators of their own")
elif not os.path.exists(SHIM):
    t.ok(False, "the shim is built", SHIM)
else:
    for name in sys.argv[1:] or ["start", "load", "api", "modules"]:
        group(t, globals()[name])
t.done()
