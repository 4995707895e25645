#!/usr/bin/env python3
# run: timeout=120 alone
"""runtime/oci where there is one hierarchy of cgroups, version 2, and no other: here a mount namespace in which only that one is
mounted. Controllers that the machine's other hierarchies hold are not in it, so limits are tried only where they are; places,
commands, statistics and ends need none. By runc where root may not raise its limits, as crun would."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, skip_all  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import text  # noqa: E402

FS = "/sys/fs/cgroup"
SHARED = {"securityContext": {"namespaceOptions": {"pid": "POD"}}}
CHILDREN = 300		# more than are waited for at once when they are ended


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def pids(path):
    return [int(x) for x in read(path + "/cgroup.procs").split()]


def ended(pid):
    """waits for its end"""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select
    select.select([fd], [], [], 60)
    os.close(fd)


class Pod(rt.Pod):
    def __init__(self, d, name, sc=None):
        self.d, self.c, self.name = d, d.c, name
        self.config = {"metadata": {"name": name, "namespace": "v2", "uid": "uid-" + name, "attempt": 0}, "hostname": name,
                       "logDirectory": d.root, "linux": {"cgroupParent": rt.CGROUP + "/" + name, "securityContext": sc or {}}}
        self.st, self.doc, self.fields = self.c.cri(rt.RUN, {"config": self.config})
        self.id = self.doc.get("podSandboxId") if self.st == 0 else None


def alone(d, controllers):
    p = Pod(d, "alone")
    cid = p.run("c", "trap 'exit 7' TERM; echo > /ready; while :; do busybox sleep 0.1; done")
    at = "%s%s/alone/%s" % (FS, rt.CGROUP, cid)
    if not ok(isinstance(cid, str) and os.path.isdir(at), "a container has a cgroup where it was asked for", cid):
        return
    pid = rt.status(d.c, cid).get("pid")
    ok(pid in pids(at) and "0::%s" % at[len(FS):] in read("/proc/%d/cgroup" % pid).splitlines(), "and is in that", read("/proc/%d/cgroup" % pid))
    st, doc, _ = d.c.cri(rt.EXEC_SYNC, {"containerId": cid, "timeout": 20, "cmd": ["/bin/sh", "-c", "until [ -e /ready ]; do busybox sleep 0.05; done; busybox cat /proc/self/cgroup"]})
    ok(st == 0 and "0::/" in doc.get("stdout", "").splitlines(), "a command joins it, which is all that there is for those in it", doc)
    st, doc, _ = d.c.cri(rt.STATS, {"filter": {"id": cid}})
    used = doc["stats"][0].get("cpu", {}).get("usageCoreNanoSeconds", {}).get("value", 0) if st == 0 and doc.get("stats") else 0
    ok(int(used) > 0, "what it has used is told", doc)
    if "memory" in controllers:
        st, doc, _ = d.c.cri(rt.UPDATE, {"containerId": cid, "linux": {"memoryLimitInBytes": 64 << 20}})
        ok(st == 0 and read(at + "/memory.max") == "%d\n" % (64 << 20), "a limit is changed", doc)
    d.kill()
    d.start()
    p.c = d.c
    ok(rt.status(d.c, cid).get("state") == "CONTAINER_RUNNING", "another daemon finds it running", rt.status(d.c, cid))
    d.c.cri(rt.STOP, {"containerId": cid, "timeout": 20})
    ok(rt.status(d.c, cid).get("exitCode") == 7, "it ends as asked", rt.status(d.c, cid))
    deaf = p.run("deaf", "trap '' TERM; while :; do busybox sleep 1; done")
    d.c.cri(rt.STOP, {"containerId": deaf, "timeout": 1})
    ok(rt.status(d.c, deaf).get("exitCode") == 137, "one that ignores signals is killed", rt.status(d.c, deaf))
    ok(p.remove() == 0 and not os.path.exists(os.path.dirname(at)), "the pod is removed, its cgroups too")


def shared(d):
    p = Pod(d, "shared", {"namespaceOptions": {"pid": "POD"}})
    cid = p.run("c", "i=0; while [ $i -lt %d ]; do busybox sleep 100000 & i=$((i+1)); done; echo > /ready; until [ -e /go ]; do busybox sleep 0.1; done; exit 8" %
                CHILDREN, linux=SHARED)
    other = p.run("other", "while :; do busybox sleep 1; done", linux=SHARED)
    d.c.cri(rt.EXEC_SYNC, {"containerId": cid, "timeout": 30, "cmd": ["/bin/sh", "-c", "until [ -e /ready ]; do busybox sleep 0.05; done"]})
    at = "%s%s/shared/%s" % (FS, rt.CGROUP, cid)
    all_of_it = pids(at)
    ok(len(all_of_it) > CHILDREN, "%d processes in a PID namespace that is the pod's" % len(all_of_it))
    d.c.cri(rt.EXEC_SYNC, {"containerId": cid, "timeout": 25, "cmd": ["/bin/sh", "-c", "echo > /go"]})
    s = rt.ended(d, cid)
    ok(s.get("exitCode") == 8, "its first process ends", s)
    for pid in all_of_it:
        ended(pid)
    ok(not pids(at), "and takes the others along", pids(at))
    ok(rt.status(d.c, other).get("state") == "CONTAINER_RUNNING", "of its own only", rt.status(d.c, other))
    ok(p.remove() == 0 and not os.path.exists(os.path.dirname(at)), "the pod is removed, its cgroups too")


def main():
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack", "runtime": RUNTIME})
    try:
        d.start()
        rt.image(d.root + "/image.tar")
        d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
        st, doc, _ = d.c.cri(rt.STATUS, {})
        ok(st == 0 and doc.get("info", {}).get("cgroups") == "v2", "the runtime sees version 2 alone", doc)
        alone(d, read(FS + "/cgroup.controllers").split())
        shared(d)
        ok(d.stop() == 0, "the daemon ends in order")
    finally:
        d.end()
        rt.sweep()


rt.needs("unshare", "mount", "umount")
if sys.argv[1:] != ["inside"]:
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B", os.path.abspath(__file__), "inside"])
subprocess.run(["umount", "-R", FS], check=False)
if subprocess.run(["mount", "-t", "cgroup2", "none", FS], check=False).returncode:
    skip_all("needs cgroups of version 2")
RAISE = 1 << 24		# CAP_SYS_RESOURCE
MAY = int([x for x in read("/proc/self/status").splitlines() if x.startswith("CapEff:")][0].split()[1], 16) & RAISE
RUNTIME = (MAY and shutil.which("crun")) or shutil.which("runc")
if not RUNTIME:
    skip_all("needs runc, or crun and the right to raise limits")
main()
done()
