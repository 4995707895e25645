#!/usr/bin/env -S python3 -B
# run: timeout=120
"""orlop bus tap|stats, module list|stats|trace|debug against a running daemon with storage and API server."""
import json
import os
import re
import select
import subprocess
import time

import kit
from kit import Tap, group
from rig import Api, CM, Daemon, config_map

t = Tap()
d = Daemon().start()
data = d.dir + "/data"
api = Api(d)


def cli(*args):
    r = subprocess.run([kit.ORLOP, *args, "--data-dir", data], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=60 * kit.FACTOR)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


class Tapping:
    """A tap that runs: lines as they come."""

    def __init__(self, *args):
        self.p = subprocess.Popen([kit.ORLOP, *args, "--data-dir", data], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.text = ""
        kit.until("the tap is on", lambda: "event=tap pid=%d " % self.p.pid in d.log())

    def sees(self, pattern, seconds=20):
        end = time.monotonic() + seconds * kit.FACTOR
        while not re.search(pattern, self.text, re.M):
            ready, _, _ = select.select([self.p.stdout], [], [], max(0, end - time.monotonic()))
            more = os.read(self.p.stdout.fileno(), 65536) if ready else b""
            if not more:
                return False
            self.text += more.decode()
        return True

    def end(self):
        self.p.terminate()
        out, err = self.p.communicate(timeout=20)
        return err.decode()


def create(name, **headers):
    return api("POST", CM, config_map(name), headers)


def taps():
    a = Tapping("bus", "tap")
    b = Tapping("bus", "tap", "--address", "storage", "--op", "txn", "--json", "--count", "2")
    create("tapped")
    t.ok(a.sees(r"^\d\d:\d\d:\d\d\.\d{6} [0-9a-f]{16} apiserver\S* -> storage/lmdb storage\.txn request \d+ B$"),
         "tap shows requests by name", a.text)
    t.ok(a.sees(r"storage/lmdb -> apiserver\S* storage\.txn reply ok \d+ B \d+\.\d{3} ms$"), "and answers, how long they took",
         a.text)
    t.eq(b.p.wait(20 * kit.FACTOR), 0, "--count ends it")
    lines = b.p.stdout.read().decode().splitlines()
    t.ok(len(lines) == 2 and all('"address":"storage","op":2,' in x for x in lines), "filters hold", lines)
    t.eq(a.end(), "", "nothing else is said")
    c = Tapping("bus", "tap", "--link", "storage", "--bodies")
    t.ok(not c.sees("tapped", 0), "nothing yet")
    create("opened")
    t.ok(c.sees("configmaps/default/opened"), "--link takes a class for its module", c.text)
    c.end()
    c = Tapping("module", "trace", "storage", "--bodies")
    api("POST", CM.replace("configmaps", "secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                                                          "stringData": {"k": "\x1b[31mred"}})
    t.ok(c.sees("secrets/default/s"), "trace --bodies shows what is said", c.text[-2000:])
    t.ok("\x1b" not in c.text, "nothing of it reaches the terminal raw")
    t.ok("may hold secrets" in c.end(), "it warns of that")


def traces():
    trace = "0af7651916cd43dd8448eb211c80319c"
    a = Tapping("module", "trace", "storage", "--trace", trace)
    create("other")
    r = create("traced", traceparent="00-%s-b7ad6b7169203331-01" % trace)
    t.ok(a.sees(r" 8448eb211c80319c apiserver\S* -> storage/lmdb storage.txn request"), "a trace goes on to storage", a.text)
    t.ok(a.sees(r" 8448eb211c80319c storage/lmdb -> apiserver\S* storage.txn reply ok"), "and its answer", a.text)
    t.eq([x for x in a.text.splitlines() if "8448eb211c80319c" not in x], [], "nothing else is shown")
    got = dict((k.lower(), v) for k, v in r.headers.items())
    t.ok(re.fullmatch("00-%s-[0-9a-f]{16}-01" % trace, got.get("traceparent", "")), "the answer says it too", got)
    r = create("untraced")
    got = dict((k.lower(), v) for k, v in r.headers.items())
    t.ok(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", got.get("traceparent", "")) and
         got["traceparent"].split("-")[1] == got["audit-id"].replace("-", ""), "who has none gets the audit id", got)
    for bad in ("", "00", "zz-%s-b7ad6b7169203331-01" % trace, "00-%s-0000000000000000-01" % trace,
                "00-%s-b7ad6b7169203331-01-x" % trace, "ff-%s-b7ad6b7169203331-01" % trace, "00-" + "0" * 32 + "-b7ad6b7169203331-01"):
        got = dict((k.lower(), v) for k, v in create("bad-%d" % abs(hash(bad)), traceparent=bad).headers.items())
        t.ok(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", got["traceparent"]) and trace not in got["traceparent"],
             "traceparent %r is replaced" % bad, got)
    a.end()


def notes():
    """What a module hears of the cache is no message; a trace shows it all the same, and it counts as time of the module."""
    code, _, err = cli("module", "load", os.path.join(kit.BUILDDIR, "modules/controllers/namespace.so"))
    t.eq(code, 0, "a module that lives by notes " + err)
    a = Tapping("module", "trace", "controllers/namespace")
    b = Tapping("bus", "tap")
    r = api("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "noted"}})
    t.eq(r.status, 201, "something moves")
    t.ok(a.sees(r"^\d\d:\d\d:\d\d\.\d{6} cache -> controllers/namespace namespaces note revision \d+$"), "a trace has the note", a.text)
    t.ok(b.sees(r" storage\.txn reply "), "who taps the bus sees the bus", b.text)
    t.ok("cache -> " not in b.text, "and nothing else", b.text)
    a.end()
    b.end()
    code, out, _ = cli("module", "stats", "controllers/namespace", "--json")
    shard = json.loads(out)["shards"][0]
    t.ok(code == 0 and shard["callbacks"] > 0 and shard["busyNs"] > 0, "its callbacks are counted", out)
    code, _, err = cli("module", "unload", "controllers/namespace")
    t.eq(code, 0, "it goes " + err)


def tables():
    code, out, _ = cli("module", "list", "--wide")
    t.ok(code == 0 and re.search(r"^storage/lmdb +0\.1 +\d+\.\d+ +ready .* [0-9a-f]{16}$", out, re.M), "list --wide has builds", out)
    code, out, _ = cli("module", "stats", "storage")
    t.ok(code == 0 and "LONGEST-MS" in out and re.search(r"^storage/lmdb +\d+ ", out, re.M), "stats has time and links", out)
    code, out, _ = cli("module", "stats", "apiserver", "--json")
    t.ok(code == 0 and '"busyNs"' in out and '"module"' in out, "and the module's own", out)
    code, out, _ = cli("bus", "stats")
    t.ok(code == 0 and out.splitlines()[0].split() == ["LINK", "REQ-IN", "REQ-OUT", "OPEN", "FRAMES", "BYTES", "P50-US",
         "P99-US", "AGAIN", "QUEUED", "PEAK", "REFUSED", "RESET"], "bus stats is a table", out)
    code, out, _ = cli("bus", "stats", "-w", "--count", "2")
    t.ok(code == 0 and out.count("REQ-IN") == 2, "-w shows it again", out)
    code, out, _ = cli("module", "debug", "apiserver")
    t.ok(code == 0 and "last messages:" in out and "storage.txn" in out, "debug has the last messages", out[-1500:])
    code, _, _ = cli("module", "debug", "apiserver", "--log-level", "debug")
    create("logged")
    t.ok(code == 0 and kit.until("a debug line", lambda: "event=request" in d.log()), "a log level is set live")
    t.ok(re.search(r"event=request trace=[0-9a-f]{16} verb=create path=\S+/configmaps user=\S+ code=201", d.log()),
         "requests are logged with their trace", d.log()[-500:])
    code, _, _ = cli("module", "debug", "apiserver", "--log-level", "default")
    n = d.log().count("event=request")
    create("unlogged")
    t.ok(code == 0 and d.log().count("event=request") == n, "and taken back")


def refusals():
    for args, want in ((("module", "trace", "nobody"), "no module nobody is loaded"),
                       (("module", "stats", "nobody"), "no module nobody is loaded"),
                       (("module", "debug", "storage", "--log-level", "loud"), "there is no log level loud"),
                       (("module", "load", "storage/memory", "a=1", "b=2", "a=3"), "parameter a is given twice"),
                       (("module", "load", "storage/memory", "a=1"), "unknown parameter a; it has none"),
                       (("bus", "tap", "--link", "nobody"), "no module nobody is loaded"),
                       (("bus", "tap", "--op", "dance"), "there is no op dance"),
                       (("bus", "tap", "--trace", "xyz"), "not a trace id"),
                       (("bus", "tap", "--count", "x"), "not a number")):
        code, out, err = cli(*args)
        t.ok(code != 0 and want in err and err.count("\n") <= 2 and out == "", " ".join(args) + " is refused in words", err)


def speed():
    """A tap that nobody reads does not slow anybody."""
    def writes(n, prefix):
        t0 = time.monotonic()
        for i in range(n):
            if create("%s-%d" % (prefix, i)).status != 201:
                raise RuntimeError("a write failed")
        return time.monotonic() - t0

    alone = min(writes(150, "alone%d" % i) for i in range(2))
    stuck = [subprocess.Popen([kit.ORLOP, "bus", "tap", "--bodies", "--data-dir", data], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) for _ in range(3)]
    kit.until("taps", lambda: all("event=tap pid=%d " % p.pid in d.log() for p in stuck))
    # A machine that stops for a moment is slow once: who is slowed is so each time.
    for i in range(5):
        beside = writes(150, "beside%d" % i)
        if beside < alone * 3 + 0.5:
            break
    for p in stuck:
        p.kill()
        p.wait()
    t.ok(beside < alone * 3 + 0.5, "writes beside taps that nobody reads: %.0f ms, without %.0f ms" % (beside * 1e3, alone * 1e3))


for g in (taps, traces, notes, tables, refusals, speed):
    group(t, g)
t.eq(d.stop(), 0, "ends well")
t.done()
