#!/usr/bin/env python3
"""runtime/oci alone: sandbox, container, start → its first process runs; stop, remove → gone; one at a time and 30 at
once. Beside it conmon + the OCI runtime's create and start (then kill and delete) for the same container, without
anything of ours, in turn on the same machine. And what a running container costs beyond its own processes."""
import concurrent.futures
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon  # noqa: E402
import runtime as contract  # noqa: E402
from ctl import text  # noqa: E402

RUNS, MANY = int(os.environ.get("ORLOP_BENCH_RUNS", "15")), 30
crun = shutil.which("crun") or shutil.which("runc")
HIDE = []
if os.path.basename(crun) == "crun" and os.path.isdir("/sys/fs/cgroup/unified"):
    HIDE = ["unshare", "-m", "--propagation", "slave", "sh", "-c", 'umount -l /sys/fs/cgroup/unified; exec "$@"', "x"]


def bundle(root):
    b = root + "/bundle"
    os.makedirs(b + "/rootfs/bin")
    shutil.copy(shutil.which("busybox"), b + "/rootfs/bin/busybox")
    subprocess.run([crun, "spec"], cwd=b, check=True)
    with open(b + "/config.json", encoding="utf-8") as f:
        spec = json.load(f)
    spec["root"]["path"] = b + "/rootfs"
    spec["process"].update(terminal=False, args=["/bin/busybox", "sleep", "600"])
    with open(b + "/config.json", "w", encoding="utf-8") as f:
        json.dump(spec, f)
    return b


def floor(root, b, i):
    me, run = "orlop-floor-%s" % i, root + "/run"
    own = root + "/bundle-" + me		# conmon puts a fifo into it
    os.mkdir(own)
    shutil.copy(b + "/config.json", own)
    argv = ["conmon", "--api-version", "1", "-c", me, "-u", me, "-r", crun, "-b", own, "-p", "%s/%s.pid" % (root, me), "-P",
                   "%s/%s.conmon" % (root, me), "-l", "k8s-file:%s/%s.log" % (root, me), "--exit-dir", root, "--persist-dir", root,
                   "--runtime-arg", "--root", "--runtime-arg", run, "--socket-dir-path", root, "--no-sync-log", "--no-new-keyring",
                   "--log-level", "error"]
    t0 = time.monotonic()
    r, w = os.pipe()
    os.set_inheritable(w, True)
    subprocess.run(argv, check=True, env=dict(os.environ, _OCI_SYNCPIPE=str(w)), pass_fds=(w,), stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    os.close(w)
    line = os.read(r, 4096)
    os.close(r)
    if not line or json.loads(line.split(b"\n")[0])["data"] < 0:
        raise SystemExit("conmon: %s" % line)
    subprocess.run([crun, "--root", run, "start", me], check=True, timeout=60)
    t1 = time.monotonic()
    subprocess.run([crun, "--root", run, "delete", "--force", me], check=True, timeout=60)
    return (t1 - t0) * 1000, (time.monotonic() - t1) * 1000


def floor_serve(root, b):
    """in a mount namespace of its own, once for all: lines "NAME N" in, times of N at once out"""
    with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
        for line in sys.stdin:
            name, n = line.split()
            print(json.dumps(list(pool.map(lambda i: floor(root, b, "%s-%d" % (name, i)), range(int(n))))), flush=True)


class Floor:
    def __init__(self, root):
        self.p = subprocess.Popen(HIDE + [sys.executable, "-B", os.path.abspath(__file__), "floor", root, bundle(root)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, name, n):
        self.p.stdin.write("%s %d\n" % (name, n))
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())


def pod(d, c, i):
    t0 = time.monotonic()
    p = contract.Pod(d, "b%s" % i, c)
    cid = p.create("c", "exec /bin/busybox sleep 600")
    if not isinstance(cid, str):
        raise SystemExit(cid)
    st, doc, _ = c.cri(contract.START, {"containerId": cid})
    if st:
        raise SystemExit(doc)
    t1 = time.monotonic()
    if c.cri(contract.STOP, {"containerId": cid, "timeout": 0})[0] or c.cri(contract.RM, {"containerId": cid})[0] or p.remove():
        raise SystemExit("remove")
    return (t1 - t0) * 1000, (time.monotonic() - t1) * 1000


def pss(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="utf-8") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("Pss:"))


def memory(d):
    """kilobytes beyond its own processes: the monitors, each counted with its share of what all map"""
    pods = [contract.Pod(d, "m%d" % i) for i in range(MANY)]
    for p in pods:
        p.run("c", "exec /bin/busybox sleep 600")
    found = subprocess.run(["pgrep", "-f", "conmon .*" + d.root + "/"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    kb = [pss(int(x)) for x in found]
    for p in pods:
        p.remove()
    return len(kb), statistics.mean(kb)


def say(name, ours, theirs):
    mid = statistics.median
    print(json.dumps({"name": name, "p50_ms": round(mid(ours), 1), "max_ms": round(max(ours), 1), "n": len(ours), "floor_p50_ms": round(mid(theirs), 1),
                      "ratio": round(mid(ours) / mid(theirs), 2), "goal_ratio": 1.5, "runtime": os.path.basename(crun)}, separators=(",", ":")))
    sys.stdout.flush()


def main():
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack"})
    try:
        d.start()
        f = Floor(d.root)
        contract.image(d.root + "/image.tar")
        d.c.forward("runtime", contract.IMPORT, text(13, d.root + "/image.tar"))
        pairs = [(pod(d, d.c, i), f.ask("one%d" % i, 1)[0]) for i in range(RUNS + 1)][1:]
        say("runtime: create to running", [x[0][0] for x in pairs], [x[1][0] for x in pairs])
        say("runtime: stop to gone", [x[0][1] for x in pairs], [x[1][1] for x in pairs])
        ours, theirs = [], []
        with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
            ctl = [d.control() for _ in range(MANY)]
            for k in range(3):
                ours += pool.map(lambda i: pod(d, ctl[i], "%d-%d" % (k, i)), range(MANY))
                theirs += f.ask("many%d" % k, MANY)
        say("runtime: create to running, 30 at once", [x[0] for x in ours], [x[0] for x in theirs])
        say("runtime: stop to gone, 30 at once", [x[1] for x in ours], [x[1] for x in theirs])
        n, kb = memory(d)
        print(json.dumps({"name": "runtime: memory per container beyond its own processes", "pss_kib": round(kb), "n": n, "goal_kib": 1536},
                         separators=(",", ":")))
        f.p.stdin.close()
        f.p.wait()
    finally:
        d.end()
        subprocess.run("find /sys/fs/cgroup -depth -path '*%s*' -type d -exec rmdir {} ';'" % contract.CGROUP, shell=True, check=False)


if len(sys.argv) == 4 and sys.argv[1] == "floor":
    floor_serve(*sys.argv[2:])
else:
    main()
