#!/usr/bin/env python3
# run: timeout=240 alone
"""What is told of containers after the daemon or the machine was away: when they really began, and why they ended."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import text  # noqa: E402

LOOP = "while :; do busybox sleep 1; done"
HOG = "x=; while :; do x=$x$(busybox head -c 1000000 /dev/zero | busybox tr '\\0' x); done"
LITTLE = {"resources": {"memoryLimitInBytes": 8 << 20}}


def times(s):
    return [int(s.get(k, 0)) for k in ("createdAt", "startedAt", "finishedAt")]


def processes(d):
    found = []
    for p in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                if p.isdigit() and d.root.encode() in f.read():
                    found.append(int(p))
        except OSError:
            pass
    return found


def runs(pid):
    """and does not only wait for somebody to take note of its end"""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return bool(f.read())
    except OSError:
        return False


def reboot(d, pids):
    """no process, and nothing of what was in memory; monitors first, which would tell of ends"""
    for p in processes(d) + pids:
        try:
            os.kill(p, signal.SIGKILL)
        except OSError:
            pass
    until(lambda: not processes(d) and not any(map(runs, pids)))
    for m in reversed(d.mounts()):
        if m != d.root + "/oci":
            subprocess.run(["umount", "-l", m], check=True)


def exit_file(d, cid):
    return os.path.exists("%s/oci/exits/%s" % (d.root, cid))


def go(d, cid):
    with open("%s/oci/containers/%s/rootfs/go" % (d.root, cid), "w", encoding="utf-8"):
        pass


def started_unnoted(d):
    """The OCI runtime started them and the daemon died before it knew: the same is `crun start` without a daemon."""
    p = rt.Pod(d, "unnoted")
    lives = p.create("lives", LOOP)
    ends = p.create("ends", "exit 3")
    waits = p.create("waits", LOOP)
    d.kill()
    before = time.time_ns()
    for c in (lives, ends):
        r = subprocess.run(START + ["--root", d.root + "/oci/run", "start", c], stderr=subprocess.PIPE, check=False)
        ok(r.returncode == 0, "started behind its back", r.stderr)
    ok(until(lambda: exit_file(d, ends)), "one has ended")
    after = time.time_ns()
    d.start()
    coarse = 20 * 1000 * 1000		# the clock of files ticks slower
    s = rt.status(d.c, lives)
    ok(s.get("state") == "CONTAINER_RUNNING" and before - coarse <= times(s)[1] <= after, "it runs since it was started, not since it was made", (before, s, after))
    s = rt.status(d.c, ends)
    t = times(s)
    ok(s.get("state") == "CONTAINER_EXITED" and s.get("exitCode") == 3 and before - coarse <= t[1] <= t[2], "so did one that has ended", (before, s, after))
    s = rt.status(d.c, waits)
    ok(s.get("state") == "CONTAINER_CREATED" and not times(s)[1], "one that waits for its start has not begun", s)
    return p


def machine_away(d):
    p = rt.Pod(d, "machine")
    c = p.run("c", LOOP)
    was = times(rt.status(d.c, c))
    ok(was[0] < was[1], "it was started after it was made", was)
    own = os.listdir("%s/oci/rw/%s/upper" % (d.root, c))
    ok(not own, "nothing was made in its own layer to mount on", own)
    d.kill()
    d.start()
    ok(times(rt.status(d.c, c)) == was, "another daemon says the same", (was, rt.status(d.c, c)))
    p.c = d.c
    told = p.run("told", HOG, linux=LITTLE)
    s = rt.ended(d, told)
    ok(s.get("reason") == "OOMKilled", "a memory hog is named so", s)
    hog = p.run("hog", "until [ -e /go ]; do busybox sleep 0.05; done; " + HOG, linux=LITTLE)
    late = p.run("late", "until [ -e /go ]; do busybox sleep 0.05; done; " + HOG, linux=LITTLE)
    pid = rt.status(d.c, c).get("pid")
    d.kill()
    go(d, hog)
    ok(until(lambda: exit_file(d, hog)), "one ends while the daemon is away")
    d.start()
    s = rt.status(d.c, told)
    ok(s.get("reason") == "OOMKilled", "the next daemon knows why the first has ended", s)
    s = rt.status(d.c, hog)
    ok(s.get("exitCode") == 137 and s.get("reason") == "OOMKilled", "and why the other has", s)
    d.kill()
    go(d, late)
    ok(until(lambda: exit_file(d, late)), "one more ends")
    reboot(d, [pid])
    d.start()
    s = rt.status(d.c, c)
    ok(s.get("state") == "CONTAINER_EXITED" and s.get("exitCode") == 255 and s.get("reason") == "Unknown" and times(s)[:2] == was[:2] and times(s)[2] >= was[1],
       "after a reboot: when it began", (was, s))
    for cid, what in ((told, "the first"), (hog, "the second"), (late, "the one that nobody had seen")):
        s = rt.status(d.c, cid)
        ok(s.get("exitCode") == 137 and s.get("reason") == "OOMKilled", "after a reboot: why %s has ended" % what, s)
    return p


rt.needs()
d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack"})
try:
    os.chdir(d.root)	# where the daemon runs; its monitors leave nothing there
    d.start()
    info = d.c.cri(rt.STATUS, {})[1].get("info", {})
    # where crun has to be kept from seeing the unified hierarchy
    START = ([BUILD + "/libexec/oci-pause", "hide"] if info.get("cgroups") == "hybrid" else []) + [info.get("runtime", "crun")]
    rt.image(d.root + "/image.tar")
    st, m = d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
    ok(st == 0, "an image", m)
    before = set(os.listdir(d.root))
    pods = [started_unnoted(d), machine_away(d)]
    for pod in pods:
        pod.c = d.c
        ok(pod.remove() == 0, "removed")
    more = {x for x in set(os.listdir(d.root)) - before if not x.endswith(".log")}
    ok(not more, "nothing is left where the daemon was started", more)
    ok(d.stop() == 0, "the daemon ends in order")
finally:
    os.chdir("/")
    d.end()
    rt.sweep()
done()
