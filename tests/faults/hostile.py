#!/usr/bin/env -S python3 -B
# run: timeout=180
"""Modules that do what they should not: each ends as the manual says, and the others do not notice.

In the daemon's own process what hangs or crashes takes it along: that is what isolation is for. There it is the child
that ends, and is started again.
"""
import json
import os
import signal
import subprocess
import time

import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "look"))
import kit                                              # noqa: E402
from kit import Tap, ctl, group                         # noqa: E402

t = Tap()
HOSTILE = kit.test_module("hostile")
LEAK, TWICE, NEVER, FLOOD, POST, LIE, HANG, BOTH = range(1, 9)


def daemon(isolated=False, way="", start_s=60, stop_s=60, hang_s=60):
    """The daemon's patience is short where it is to come to an end, and nowhere else."""
    d = kit.Daemon([], head="start_timeout_s = %d; stop_timeout_s = %d; hang_timeout_s = %d;" % (start_s, stop_s, hang_s))
    with open(d.conf, "w") as f:
        f.write(d.head + 'modules = ( { module = "%s"; },\n { module = "%s"; %s params = { way = "%s"; }; } );\n' % (
            kit.test_module("good"), HOSTILE, 'isolation = "process";' if isolated else "", way))
    return d


def good_answers(d):
    status, m = d.control(30).forward("echo", 1, ctl.text(1, "x"))
    return status == 0 and m.get(1) == b"x"


def unload(d):
    return d.control().call(5, ctl.text(1, "test/hostile"))


def state(d):
    status, m = d.control().call(2)
    return {x["name"]: x["state"] for x in json.loads(m[3])} if status == 0 else {}


def leaks():
    d = daemon().start()
    n = len(os.listdir("/proc/%d/fd" % d.proc.pid))
    for _ in range(50):
        d.control().forward("hostile", LEAK)
    code, out, _ = d.cli("module", "stats", "test/hostile", "--json")
    held = json.loads(out)["held"]
    t.ok(held["timers"] == 50 and held["watches"] == 50, "what it holds is counted", held)
    status, m = unload(d)
    t.eq(status, 0, "it is unloaded all the same (%s)" % m)
    t.ok("timers" in d.log() and "watches" in d.log(), "what it left is in the log", d.log()[-600:])
    t.ok(good_answers(d), "others go on")
    t.eq(len(os.listdir("/proc/%d/fd" % d.proc.pid)) - n <= 102, True, "its own descriptors stay: the core does not know them")
    r = d.stop()
    t.ok(r == 0 or kit.SANITIZED, "ends", r)       # a leak checker finds the memory


def never():
    d = daemon(stop_s=2).start()
    c = d.control()
    t0 = time.monotonic()
    status, m = c.call(10, ctl.text(5, "hostile") + ctl.num(6, NEVER) + ctl.num(11, 500000000))
    t.ok(status == -110 and time.monotonic() - t0 < 20, "who asked hears that time is over", (status, m))
    a = d.control()
    a.sock.sendall(b"")
    import struct
    msg = ctl.text(5, "hostile") + ctl.num(6, NEVER)
    a.sock.sendall(struct.pack("<II", len(msg), 10) + msg)
    kit.until("the call is there", lambda: json.loads(d.cli("module", "stats", "test/hostile", "--json")[1])["held"]["calls"] >= 1)
    t0 = time.monotonic()
    status, m = unload(d)
    t.ok(time.monotonic() - t0 < 20, "unloading it does not wait for ever (%s %s)" % (status, m))
    size, got = struct.unpack("<Ii", a.read(8))
    t.ok(got < 0, "whose call was open hears of it", (got, a.read(size)))
    t.ok(good_answers(d), "others go on")
    t.eq(d.stop(), 0, "ends")


def floods():
    d = daemon().start()
    status, _ = d.control(60).forward("hostile", FLOOD)
    t.eq(status, 0, "a hundred thousand requests at once")
    t0 = time.monotonic()
    t.ok(good_answers(d), "others are answered meanwhile (%.0f ms)" % ((time.monotonic() - t0) * 1e3))
    kit.until("answers", lambda: (lambda s: s["answered"] + s["refused"] >= s["asked"])(
        json.loads(d.cli("module", "stats", "test/hostile", "--json")[1])["module"]), 60)
    s = json.loads(d.cli("module", "stats", "test/hostile", "--json")[1])["module"]
    t.ok(s["refused"] > 0 and s["answered"] > 1000, "each is answered or refused", s)
    status, m = unload(d)
    t.eq(status, 0, "it is unloaded (%s)" % m)
    t.ok(good_answers(d), "others go on")
    t.eq(d.stop(), 0, "ends")


def posts():
    d = daemon().start()
    status, _ = d.control().forward("hostile", POST)
    t.eq(status, 0, "posts for ever")
    t0 = time.monotonic()
    for _ in range(50):
        if not good_answers(d):
            break
    t.ok(time.monotonic() - t0 < 30, "others get their turns (50 answers in %.0f ms)" % ((time.monotonic() - t0) * 1e3))
    status, m = unload(d)
    t.eq(status, 0, "it is unloaded (%s)" % m)
    t.ok(good_answers(d), "others go on")
    t.eq(d.stop(), 0, "ends")


def lies():
    for way in ("", "long-health", "bad-stats", "ready-often"):
        d = daemon(way=way).start()
        for what in (0, 1, 2):
            status, m = d.control().forward("hostile", LIE, ctl.num(1, what))
            t.ok(isinstance(status, int), "%s: an answer that lies (%d) is taken for what it is: %d" % (way or "lies", what, status))
        status, m = d.control().forward("hostile", BOTH)
        t.ok(status < 0, "%s: an error that is none is one" % (way or "lies"), status)
        code, out, err = d.cli("module", "list")
        t.ok(code == 0 and "test/hostile" in out, "%s: it is listed" % (way or "lies"), out + err)
        code, out, err = d.cli("module", "stats", "test/hostile")
        t.ok(code in (0, 1) and "\x1b" not in out, "%s: its counters are shown, or it is said that they cannot be" % (way or "lies"), out[-300:] + err)
        t.ok(good_answers(d), "%s: others go on" % (way or "lies"))
        t.eq(d.stop(), 0, "%s: ends" % (way or "lies"))


def refuses():
    d = daemon(way="refuse").start()
    status, m = unload(d)
    t.ok(status < 0 and b"never" in m.get(4, b""), "who refuses to stop is left, with its reason", (status, m))
    t.eq(state(d).get("test/hostile"), "ready", "and goes on")
    t0 = time.monotonic()
    t.eq(d.stop(), 0, "the end of the daemon it cannot refuse (%.1f s)" % (time.monotonic() - t0))
    d = daemon(way="never-ready", start_s=2)
    t0 = time.monotonic()
    d.start(wait=False)
    status = d.proc.wait(60)
    t.ok(status == 1 and time.monotonic() - t0 < 30 and "hostile" in d.log(), "who is never ready ends the start in time, in words", d.log()[-400:])
    d.proc = None


def interrupted():
    """Ctrl-C while a module does not become ready takes it back out."""
    d = kit.Daemon([], head="start_timeout_s = 300;").start()
    for isolation in ([], ["--isolated"]):
        p = subprocess.Popen([kit.ORLOP, "module", "load", "--data-dir", d.data, *isolation, HOSTILE, "way=never-ready"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = p.stderr.readline().decode()
        t.ok("test/hostile is not ready: has not called ready(), " in said and "of at most 300" in said and "Ctrl-C" in said,
             "who waits is told for what", said)
        p.send_signal(signal.SIGINT)
        t.eq(p.wait(30), -signal.SIGINT, "and may interrupt it")
        p.stderr.close()
        kit.until("the module is gone", lambda: "test/hostile" not in state(d))
    t.eq(d.stop(), 0, "ends")


def crashes():
    """In our own process: the daemon ends with a report that names it."""
    if kit.SANITIZED:
        t.skip("crash reports", "sanitizers have their own")
        return
    d = daemon().start()
    try:
        d.control().forward("hostile", TWICE)
    except (EOFError, ConnectionError):
        pass
    t.eq(d.proc.wait(60), -6, "answering twice is a bug that ends the process")
    d.proc = None
    t.ok("bug: call_done of a call that is done already" in d.log() and "/hostile.so+0x" in d.log().split("\nframes\n")[-1],
         "the report says who", d.log()[-1500:])
    d = daemon(way="crash-init")
    d.start(wait=False)
    t.eq(d.proc.wait(60), -6, "a crash in init ends the start")
    d.proc = None
    t.ok("/hostile.so+0x" in d.log(), "with a report")


def isolated():
    """In a process of its own: it ends, is back, nobody else notices."""
    if "thread" in os.environ.get("SANITIZERS", ""):
        t.skip("isolated modules", "the thread sanitizer does not know of processes that share memory")
        return
    d = daemon(isolated=True, hang_s=2)
    try:
        d.start()
    except RuntimeError as e:
        if "has no links to other processes" in str(e):
            t.skip("isolated modules", "this build has none")
        else:
            t.ok(False, "an isolated module starts", e)
        return
    pid = d.proc.pid
    for op, what in ((TWICE, "answers twice"), (HANG, "hangs")):
        c = d.control(30)
        t0 = time.monotonic()
        status, m = c.call(10, ctl.text(5, "hostile") + ctl.num(6, op) + ctl.num(11, 20000000000))
        t.ok(status < 0 or op == TWICE, "%s: who asked hears of it (%s)" % (what, m.get(4, b"")[:80]), (status, m))
        t.ok(good_answers(d), "%s: others go on" % what)
        kit.until("it is back", lambda: d.control(30).call(10, ctl.text(5, "hostile") + ctl.num(6, LEAK) + ctl.num(11, 3000000000))[0] == 0, 60)
        t.ok(True, "%s: it is back after %.1f s" % (what, time.monotonic() - t0))
    for op in (FLOOD, POST):
        d.control(30).call(10, ctl.text(5, "hostile") + ctl.num(6, op) + ctl.num(11, 20000000000))
        t.ok(good_answers(d), "others go on beside it (%d)" % op)
    for what in (0, 1, 2):
        status, m = d.control().forward("hostile", LIE, ctl.num(1, what))
        t.ok(good_answers(d), "a lie (%d) from there does no harm: %d" % (what, status))
    t.eq(d.proc.poll(), None, "the daemon is the same")
    t.eq(d.proc.pid, pid, "all the time")
    t.eq(d.stop(), 0, "ends")
    for way in ("hang-init", "hang-start", "crash-init", "never-ready"):
        d = daemon(isolated=True, way=way, start_s=2, hang_s=1)
        t0 = time.monotonic()
        d.start(wait=False)
        try:
            status = d.proc.wait(30 * kit.FACTOR)
        except subprocess.TimeoutExpired:
            status = "hangs"
            d.kill()
        t.ok(status == 1 and "hostile" in d.log(), "%s: the start ends in time (%.1f s), in words" % (way, time.monotonic() - t0),
             "%s\n%s" % (status, d.log()[-600:]))
        d.proc = None
    d = daemon(isolated=True, way="hang-stop", stop_s=2, hang_s=2)
    d.start()
    t0 = time.monotonic()
    status, m = d.control(100).call(5, ctl.text(1, "test/hostile"))
    t.ok(time.monotonic() - t0 < 20 * kit.FACTOR, "hang-stop: unloading ends (%.1f s, %s)" % (time.monotonic() - t0, (status, m.get(4))))
    t.ok(good_answers(d), "hang-stop: others go on")
    r = d.stop()
    t.ok(r in (0, 1), "hang-stop: the daemon ends", r)


for g in (leaks, never, floods, posts, lies, refuses, interrupted, crashes, isolated):
    group(t, g)
t.done()
