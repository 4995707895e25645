#!/usr/bin/env -S python3 -B
# run: timeout=600 alone
"""A pod starts while an allocation, a write or a call fails: sooner or later it runs, the daemon lives, nothing is left.

PODS=n tries so many places of each kind.
"""
import os
import random
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import faults                                           # noqa: E402
from faults import Tap, kit, page, rig                       # noqa: E402

t = Tap()
HERE = os.path.dirname(os.path.abspath(__file__))
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: { name: %s }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", command: [ "/bin/sh", "-c", "trap exit TERM; sleep 1000 & wait" ] }
"""
tmp = kit.tempdir()
data = tmp + "/d"


def run(*args, stdin=None, timeout=90, env=None):
    r = subprocess.run(args, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=timeout * kit.FACTOR, env=env)
    return r.returncode, r.stdout + r.stderr


def k(*args, **kw):
    return run("kubectl", "--kubeconfig", data + "/admin.kubeconfig", "--cache-dir", tmp + "/cache", *args, **kw)


def log():
    return open(data + "/log/orlopd.log", errors="replace").read()


def containers():
    """processes of containers of this daemon"""
    code, out = run("pgrep", "-fc", "conmon.*" + data)
    return int(out.split()[0]) if out.split() else 0


def one(name):
    """from nothing to running to nothing; what went wrong"""
    code, out = k("apply", "-f", "-", stdin=MANIFEST % name)
    for _ in range(3):
        if code == 0:
            break
        code, out = k("apply", "-f", "-", stdin=MANIFEST % name)
    if code:
        return "apply: " + out[-300:]
    end = time.monotonic() + 60 * kit.FACTOR
    while time.monotonic() < end:
        code, out = k("wait", "--for=condition=Ready", "pod/" + name, "--timeout=20s")
        if code == 0:
            return None
    return "never ready: %s\n%s" % (out[-300:], k("get", "pod", name, "-o", "jsonpath={.status}")[1][-900:])


def gone(name):
    for _ in range(4):
        code, out = k("delete", "pod", name, "--ignore-not-found", "--timeout=20s")
        if code == 0:
            return None
    return "not deleted: " + out[-300:]


def sweep(pid, kind, places, rng):
    name = "p%s0" % kind[0]
    struct.pack_into("<I", page.m, 4, pid)
    page.arm(kind, 0)
    wrong = one(name)
    total, _ = page.disarm()
    wrong = wrong or gone(name)
    if not t.ok(not wrong and total, "a pod starts and goes, %d %ss" % (total, kind), wrong):
        return
    bad, hit = [], 0
    for i, n in enumerate(sorted(rng.sample(range(1, total + 1), min(places, total)))):
        name = "p%s%d" % (kind[0], i + 1)
        page.arm(kind, n)
        wrong = one(name)
        _, what = page.disarm()
        hit += what is not None
        wrong = wrong or gone(name)
        if not os.path.exists("/proc/%d" % pid):
            bad.append("%d: %s: the daemon ended\n%s" % (n, what, log()[-1500:]))
            break
        if wrong:
            bad.append("%d: %s: %s" % (n, what, wrong))
            if len(bad) > 3:
                break
    t.ok(not bad, "a pod starts in the end, whatever %s fails: %d of %d tried" % (kind, hit, total), "\n".join(bad))


def main():
    for program in ("conmon", "kubectl", "busybox"):
        if not shutil.which(program):
            return t.skip("pods", "needs " + program)
    if os.geteuid() or not (shutil.which("crun") or shutil.which("runc")):
        return t.skip("pods", "needs root and crun or runc")
    code, out = run(kit.ORLOP, "up", "--data-dir", data, "--port", "0", "--kubelet-port", "0", env=page.env())
    if not t.eq(code, 0, "up"):
        return print("# " + out)
    try:
        pid = int(open(data + "/orlopd.pid").read())
        code, out = run(os.path.join(rig.SRCDIR, "examples/hello/make-image"), tmp + "/image.tar", "1")
        code, out = run(kit.ORLOP, "image", "import", "--data-dir", data, tmp + "/image.tar")
        t.ok(code == 0, "an image", out)
        rng = random.Random(5)
        for kind in ("call", "write", "allocation"):
            sweep(pid, kind, int(os.environ.get("PODS", "8")), rng)
        t.ok(kit.until("containers", lambda: containers() == 0, 30), "no container is left")
        t.ok(os.path.exists("/proc/%d" % pid), "the daemon is the same")
    finally:
        run(kit.ORLOP, "down", "--wipe", "--grace", "0", "--data-dir", data)
    return None


if kit.SANITIZED or not os.path.exists(faults.SHIM) or b"_dl_find_object" not in open(faults.SHIM, "rb").read():
    t.skip("pods", "no shim")
else:
    faults.group(t, main)
t.done()
