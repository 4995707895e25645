#!/usr/bin/env python3
# run: timeout=240 alone
"""kill -9 of everything at every step: the daemon while it makes, starts, stops and removes; conmon; crun. And what the
machine may lack: processes, disk, memory. Afterwards all that is listed works, and nothing is left."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import text  # noqa: E402

CG = "/sys/fs/cgroup"
LOOP = "while :; do busybox sleep 1; done"


def comm(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read()


def processes(word):
    """{pid: command line} of those whose command line has @word"""
    found = {}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                line = comm(int(p))
            except OSError:
                continue
            if word.encode() in line:
                found[int(p)] = line
    return found


def leftovers(d):
    """what a runtime that has nothing must not have"""
    o = d.root + "/oci/"
    left = []
    for sub in ("containers", "sandboxes", "run", "exits", "trash", "rw", "kept/containers", "kept/sandboxes"):
        left += ["%s/%s" % (sub, x) for x in os.listdir(o + sub)]
    left += [m for m in d.mounts() if m.startswith(o) and m[len(o):] not in rt.MEMORY]
    left += ["process %s" % line[:120] for p, line in processes(o).items() if p != d.p.pid]
    out = subprocess.run("find %s -path '*%s/*' -type d" % (CG, rt.CGROUP), shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return left + out.split()


def clear(d):
    """every container and sandbox that is listed can be stopped and removed; then nothing is left"""
    c = d.c
    why = []
    for x in c.cri(rt.C_LIST, {})[1].get("containers", []):
        for op, req in ((rt.STOP, {"containerId": x["id"], "timeout": 0}), (rt.RM, {"containerId": x["id"]})):
            st, doc, _ = c.cri(op, req)
            if st:
                why.append((op, x["id"], doc))
    for x in c.cri(rt.SB_LIST, {})[1].get("items", []):
        for op in (rt.STOP_SB, rt.RM_SB):
            st, doc, _ = c.cri(op, {"podSandboxId": x["id"]})
            if st:
                why.append((op, x["id"], doc))
    return why


def daemon_dies(d):
    """at moments spread over the life of a pod"""
    bad = []
    for i in range(24):
        def life(n=i):
            try:
                c = d.control()
                p = rt.Pod(d, "life%d" % n, c)
                cid = p.create("c", LOOP)
                c.cri(rt.START, {"containerId": cid})
                c.cri(rt.STOP, {"containerId": cid, "timeout": 0})
                c.cri(rt.RM, {"containerId": cid})
                p.remove()
            except (EOFError, OSError):
                pass
        t = threading.Thread(target=life)
        t.start()
        time.sleep(i * 0.004)		# where in its life does not matter, only that it differs
        d.kill()
        t.join()
        d.start()
        for x in d.c.cri(rt.C_LIST, {})[1].get("containers", []):
            s = rt.status(d.c, x["id"])
            if s.get("state") == "CONTAINER_RUNNING" and d.c.cri(rt.EXEC_SYNC, {"containerId": x["id"], "timeout": 25, "cmd": ["/bin/busybox", "true"]})[0]:
                bad.append((i, "exec", s))
            if s.get("state") == "CONTAINER_CREATED" and d.c.cri(rt.START, {"containerId": x["id"]})[0]:
                bad.append((i, "start", s))
        bad += clear(d)
    ok(not bad, "the daemon dies at 24 moments of a pod's life: what is listed afterwards works", bad)
    until(lambda: not leftovers(d), 60)
    ok(not leftovers(d), "and nothing is left", leftovers(d))


def monitor_dies(d):
    p = rt.Pod(d, "mon")
    c = d.c
    cid = p.run("c", LOOP)
    cid2 = p.run("other", LOOP)
    with open("%s/oci/containers/%s/conmon.pid" % (d.root, cid), encoding="utf-8") as f:
        os.kill(int(f.read()), signal.SIGKILL)
    s = rt.ended(d, cid)
    ok(s.get("state") == "CONTAINER_EXITED" and s.get("exitCode") == 137, "its conmon killed: the container is ended, with 137", s)
    ok(rt.status(c, cid2).get("state") == "CONTAINER_RUNNING", "others go on")
    with open("%s/oci/containers/%s/conmon.pid" % (d.root, cid2), encoding="utf-8") as f:
        pid = int(f.read())
    d.kill()
    os.kill(pid, signal.SIGKILL)
    d.start()
    p.c = c = d.c
    s = rt.ended(d, cid2)
    ok(s.get("exitCode") == 137, "killed while the daemon was away", s)
    ok(not c.cri(rt.STOP, {"containerId": cid, "timeout": 1})[0] and not c.cri(rt.RM, {"containerId": cid})[0], "it can be removed")
    # conmon and the OCI runtime while they make a container
    results = []
    for name in ("conmon", "crun", "runc"):
        for k in range(4):
            hit = []

            def hunter():
                end = time.monotonic() + 2
                while not hit and time.monotonic() < end:
                    for x in processes(d.root + "/oci"):
                        try:
                            if os.path.basename(os.readlink("/proc/%d/exe" % x)).startswith(name) or \
                               os.path.basename(comm(x).split(b"\0")[0].decode()) == name:
                                time.sleep(k * 0.003)	# at different moments of its work
                                os.kill(x, signal.SIGKILL)
                                hit.append(x)
                        except OSError:
                            pass
            if name != "conmon" and not shutil.which(name):
                continue
            t = threading.Thread(target=hunter)
            t.start()
            q = rt.Pod(d, "h%s%d" % (name, k))
            cid = q.create("c", LOOP)
            if isinstance(cid, str):
                st, why, _ = c.cri(rt.START, {"containerId": cid})
                results.append((name, st, why if st else rt.status(c, cid).get("state")))
            else:
                results.append((name,) + tuple(cid))
            t.join()
    ok(all(isinstance(x[1], int) for x in results), "conmon or the OCI runtime killed in the middle: always an answer", results)
    why = clear(d)
    ok(not why, "what is listed can be removed", why)
    until(lambda: not leftovers(d), 60)
    ok(not leftovers(d), "nothing is left", leftovers(d))


def bombs(d):
    """fork bomb within a limit of the pod's cgroup"""
    p = rt.Pod(d, "bomb")
    c = d.c
    quiet = p.run("quiet", LOOP)
    for base in (CG + "/pids", CG):
        limit = "%s%s/bomb/pids.max" % (base, rt.CGROUP)
        if os.path.exists(limit):
            with open(limit, "w", encoding="utf-8") as f:
                f.write("40")
            break
    else:
        print("# no pids controller")
        return
    bomb = p.run("bomb", "b() { b | b & }; b; while :; do busybox sleep 1; done")
    # older kernels count at the limit, others where the fork was tried
    hits = [limit.replace("pids.max", "pids.events"), limit.replace("pids.max", "%s/pids.events" % bomb)]
    ok(isinstance(bomb, str) and until(lambda: any(not open(x).read().startswith("max 0") for x in hits if os.path.exists(x))),
       "a fork bomb goes off within its limit", bomb)
    st, why, _ = c.cri(rt.EXEC_SYNC, {"containerId": quiet, "timeout": 10, "cmd": ["/bin/busybox", "true"]})
    print("# exec beside it: %s %s" % (st, why))
    ok(rt.status(c, quiet).get("state") == "CONTAINER_RUNNING", "its neighbour lives")
    ok(not c.cri(rt.STOP, {"containerId": bomb, "timeout": 1})[0], "it is stopped")
    ok(p.remove() == 0, "and removed")
    until(lambda: not leftovers(d), 60)
    ok(not leftovers(d), "nothing is left", leftovers(d))


def lacks(d):
    c = d.c
    # no disk: the module's directory is small
    p = rt.Pod(d, "disk")
    kept = p.run("kept", LOOP)
    filler = d.root + "/oci/filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"x" * 65536)
                f.flush()
        except OSError:
            pass
    got = p.create("full", LOOP)
    q = rt.Pod(d, "disk2")
    ok(not isinstance(got, str) and "No space left on device" in str(got[1]), "no disk: %s" % (got[1] if not isinstance(got, str) else got,), got)
    ok(q.id is None and "No space left on device" in str(q.doc), "no sandbox: %s" % (q.doc,), q.doc)
    ok(rt.status(c, kept).get("state") == "CONTAINER_RUNNING" and
       not c.cri(rt.STOP, {"containerId": kept, "timeout": 0})[0], "what runs runs on, and can be stopped")
    os.unlink(filler)
    ok(isinstance(p.run("again", LOOP), str), "with room again it goes on")
    ok(not clear(d), "removed")
    # no processes: the daemon's own cgroup is full
    own = CG + "/pids" if os.path.isdir(CG + "/pids") else CG
    own += "/orlop-crash-%d" % os.getpid()
    try:
        os.mkdir(own)
        with open(own + "/cgroup.procs", "w", encoding="utf-8") as f:
            f.write(str(d.p.pid))
        p = rt.Pod(d, "pids")
        with open(own + "/pids.current", encoding="utf-8") as f:
            now = f.read()
        with open(own + "/pids.max", "w", encoding="utf-8") as f:
            f.write(now)
        got = p.create("none", LOOP)
        got = c.cri(rt.START, {"containerId": got})[:2] if isinstance(got, str) else got
        ok(got[0] < 0 and "esource temporarily unavailable" in str(got[1]), "no processes: %s" % (got,), got)
        with open(own + "/pids.max", "w", encoding="utf-8") as f:
            f.write("max")
        ok(isinstance(p.run("some", LOOP), str), "with processes again it goes on")
        ok(not clear(d), "removed")
    finally:
        with open(os.path.dirname(own) + "/cgroup.procs", "w", encoding="utf-8") as f:
            f.write(str(d.p.pid))
        for x in until(lambda: not open(own + "/cgroup.procs").read(), 5) and [] or open(own + "/cgroup.procs").read().split():
            try:
                with open(os.path.dirname(own) + "/cgroup.procs", "w", encoding="utf-8") as f:
                    f.write(x)
            except ProcessLookupError:
                pass		# it went meanwhile
        os.rmdir(own)
    until(lambda: not leftovers(d), 60)
    ok(not leftovers(d), "nothing is left", leftovers(d))


rt.needs()
d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack"})
try:
    os.mkdir(d.root + "/oci")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "x", d.root + "/oci"], check=True)
    d.start()
    rt.image(d.root + "/image.tar")
    st, m = d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
    ok(st == 0, "an image", m)
    # what is being fetched leaves more room than this: how long it takes does not matter here
    subprocess.run(["mount", "-o", "remount,size=24m", d.root + "/oci"], check=True)
    daemon_dies(d)
    monitor_dies(d)
    bombs(d)
    lacks(d)
    ok(d.stop() == 0, "the daemon ends in order")
finally:
    d.end()
    rt.sweep()
done()
