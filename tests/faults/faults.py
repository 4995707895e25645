#!/usr/bin/env -S python3 -B
# run: timeout=240 alone
"""Memory, writes and system calls that fail, each once: the n-th of them, for every n.

    faults.py [SCENARIO...]         start load api modules disk clock

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


    def clock(self, seconds):
        """the daemon's wall clock is that far off"""
        struct.pack_into("<q", self.m, 224, int(seconds * 1e9))


page = Page()
kit.atexit.register(os.unlink, page.path)


class Sweep:
    """All n of one kind over one piece of work; collects what should not be."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.bad = []
        self.tried = self.faulted = self.total = 0

    def run(self, work, after, every=None, seconds=SECONDS):
        """work(): under the fault; its result goes to after(), which returns None or what is wrong."""
        every = every or EVERY
        page.arm(self.kind, 0)
        r = work()
        self.total, _ = page.disarm()
        wrong = after(r, None)
        if wrong:
            self.bad.append("without any fault: %s" % wrong)
            return self
        end = time.monotonic() + seconds * kit.FACTOR
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
    end = time.monotonic() + 30 * kit.FACTOR
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
            # A connection of ours may be what failed: one that is refused is made once more.
            for _ in range(2):
                try:
                    c = d.control(10)
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
            end = time.monotonic() + 30 * kit.FACTOR
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
            status, m = d.control(30).forward("echo", 1, ctl.text(1, "x"))
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
            self.conn = http.client.HTTPSConnection("localhost", self.d.port, context=self.d.tls("admin"), timeout=30 * kit.FACTOR)
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


def first_events(d, path, n):
    """status, and who the first @n events of a watch are of"""
    conn = http.client.HTTPSConnection("localhost", d.port, context=d.tls("admin"), timeout=30 * kit.FACTOR)
    try:
        conn.request("GET", path)
        r = conn.getresponse()
        return r.status, sorted(json.loads(r.readline())["object"]["metadata"]["name"] for _ in range(n))
    except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
        return None, repr(e)
    finally:
        conn.close()


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
            got.append(("watch", watcher.ask("GET", CM + "?watch=1&resourceVersion=0&fieldSelector=metadata.name%3D"
                                             + name + "&timeoutSeconds=1") if serial[0] % 64 == 0 else (200, b"")))
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
        s.run(work, after, seconds=SECONDS * (6 if kind == "allocation" else 2))
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


# ---- a full disk, a clock that jumps -------------------------------------------------------------------------------

def disk():
    """No space: writes are refused in upstream's form, reads and deletes go on, space returns."""
    small = kit.tempdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", small], stderr=subprocess.DEVNULL).returncode:
        t.skip("a full disk", "cannot mount")
        return
    try:
        d = Server()
        conf = open(d.conf).read().replace('path = "%s/data/db"' % d.dir, 'path = "%s/db"; history_s = 1' % small)
        open(d.conf, "w").write(conf)
        d.start()
        c = Client(d)
        t.eq(c.ask("POST", CM, config_map("before", {"a": "b"}))[0], 201, "disk: there is space at first")
        with open(small + "/ballast", "wb") as f:
            f.write(bytes(1 << 20))
        made, refused = ["before"], None
        for i in range(200):
            status, body = c.ask("POST", CM, config_map("big%d" % i, {"x": "y" * 50000}))
            if status != 201:
                refused = status, body
                break
            made.append("big%d" % i)
        doc = json.loads(refused[1]) if refused else {}
        t.ok(refused and refused[0] == 507 and doc.get("kind") == "Status" and doc.get("status") == "Failure" and
             "no space left" in doc.get("message", ""), "disk: then a write is refused with a Status", refused)
        status, body = c.ask("GET", CM)
        t.eq((status, sorted(o["metadata"]["name"] for o in json.loads(body)["items"])), (200, sorted(made)), "disk: reads go on, with all that was acknowledged")
        t.eq(first_events(d, CM + "?watch=1&resourceVersion=0", len(made)), (200, sorted(made)), "disk: watches too")
        many = [c.ask("PUT", CM + "/before", config_map("before", {"a": str(i)}))[0] for i in range(20)]
        t.ok(set(many) <= {200, 507}, "disk: small writes are done or refused", many)
        t.eq(c.ask("GET", "/readyz")[0] in (200, 500), True, "disk: it says how it is")
        os.unlink(small + "/ballast")
        ok = kit.until("space", lambda: c.ask("POST", CM, config_map("after", {"x": "z" * 1000}))[0] in (201, 409))
        t.ok(ok, "disk: when space returns writes do")
        t.eq(d.stop(), 0, "disk: it ends well")
        d.start()
        c.close()
        status, body = c.ask("GET", CM)
        t.ok(status == 200 and set(made) | {"after"} <= {o["metadata"]["name"] for o in json.loads(body)["items"]}, "disk: nothing acknowledged is lost", status)
        t.eq(d.stop(), 0, "disk: and again")
    finally:
        subprocess.run(["umount", "-l", small])


def ticks(pid):
    """of processor time"""
    with open("/proc/%d/stat" % pid) as f:
        return sum(map(int, f.read().split(")")[1].split()[11:13]))


def clock():
    """The wall clock jumps, both ways: timers, watches and requests do not notice; certificates and dates do."""
    d = Server()
    d.start()
    c = Client(d)
    page.clock(0)
    t.eq(c.ask("POST", CM, config_map("now"))[0], 201, "clock: at first")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
             "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}}
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    t.eq(c.ask("POST", leases, lease)[0], 201, "clock: a lease")
    for what, seconds in (("an hour ahead", 3600), ("back again", 0), ("a day back", -86400), ("ten days ahead", 864000), ("and back", 0)):
        page.clock(seconds)
        t0 = time.monotonic()
        status, body = c.ask("GET", CM + "?watch=1&timeoutSeconds=1")
        took = time.monotonic() - t0
        t.ok(status == 200 and 0.9 < took < 20 * kit.FACTOR, "clock: %s: a watch of a second takes a second" % what, (status, took))
        name = "at%d" % abs(seconds) + ("b" if seconds < 0 else "") + str(time.monotonic_ns())
        status, body = c.ask("POST", CM, config_map(name))
        t.eq(status, 201, "clock: %s: a write" % what)
        made = json.loads(body)["metadata"]["creationTimestamp"] if status == 201 else "1970-01-01T00:00:00Z"
        off = time.mktime(time.strptime(made, "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime()) - seconds
        t.ok(abs(off) < 60, "clock: %s: objects have its date" % what, made)
        lease["metadata"] = json.loads(c.ask("GET", leases + "/l")[1])["metadata"]
        lease["spec"]["leaseTransitions"] = lease["spec"].get("leaseTransitions", 0) + 1
        status, body = c.ask("PUT", leases + "/l", lease)
        t.eq(status, 200, "clock: %s: a lease is renewed" % what)
        rv = int(json.loads(body)["metadata"]["resourceVersion"]) if status == 200 else 0
        t.ok(rv > clock.rv, "clock: %s: revisions go on" % what, (rv, clock.rv))
        clock.rv = rv
        for _ in range(5):	# what spins does so each time; one that had the processor when the machine stood still did not
            cpu = [ticks(d.proc.pid)]
            c.ask("GET", CM + "?watch=1&timeoutSeconds=1")	# a second in which nothing is to be done
            cpu.append(ticks(d.proc.pid))
            if cpu[1] - cpu[0] <= 10:
                break
        t.ok(cpu[1] - cpu[0] <= 10, "clock: %s: nothing spins" % what, cpu)
        if seconds < 0:
            continue        # the certificates are of today
        fresh = Client(d)
        t.eq(fresh.ask("GET", CM + "/now")[0], 200, "clock: %s: who connects now is let in" % what)
        fresh.close()
    for what, seconds in (("when certificates have ended", 60 * 86400), ("before they began", -400 * 86400)):
        page.clock(seconds)
        fresh = Client(d)
        status, body = fresh.ask("GET", CM + "/now")
        t.ok(status in (None, 401), "clock: %s nobody is let in" % what, (status, body))
        fresh.close()
        page.clock(0)
        fresh = Client(d)
        t.eq(fresh.ask("GET", CM + "/now")[0], 200, "clock: and when it is right again they are")
        fresh.close()
    t.eq(d.stop(), 0, "clock: it ends well")


clock.rv = 0


def main(names):
    if kit.SANITIZED:
        t.skip("faults", "sanitizers have allocators of their own")
    elif not os.path.exists(SHIM):
        t.ok(False, "the shim is built", SHIM)
    elif b"_dl_find_object" not in open(SHIM, "rb").read():
        t.skip("faults", "this C library cannot tell who asks")
    else:
        for name in names or ["start", "load", "api", "modules", "disk", "clock"]:
            group(t, globals()[name])
    t.done()


if __name__ == "__main__":
    main(sys.argv[1:])
