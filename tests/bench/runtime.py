#!/usr/bin/env python3
"""runtime/oci alone: sandbox, container, start → its first process runs; stop, remove → gone; one at a time and 30 at
once. Beside it conmon + the OCI runtime's create and start, then delete, without anything of ours, in turn on the same
machine (floor.py; no links here, which the class cni makes). And what a running container costs beyond its own processes."""
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon  # noqa: E402
import runtime as contract  # noqa: E402
from ctl import text  # noqa: E402
from floor import Floor, say  # noqa: E402

RUNS, MANY = int(os.environ.get("ORLOP_BENCH_RUNS", "15")), 30


def create(d, c, i):
    p = contract.Pod(d, "b%s" % i, c)
    cid = p.create("c", "exec /bin/busybox sleep 600")
    if not isinstance(cid, str):
        raise SystemExit(cid)
    st, doc, _ = c.cri(contract.START, {"containerId": cid})
    if st:
        raise SystemExit(doc)
    return time.monotonic(), p, cid


def remove(c, p, cid):
    if c.cri(contract.STOP, {"containerId": cid, "timeout": 0})[0] or c.cri(contract.RM, {"containerId": cid})[0] or p.remove():
        raise SystemExit("remove")
    return time.monotonic()


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


def measure(d, f, n, runs):
    """@n at once, ours and the floor's in turn; the first run of each is not counted"""
    made, gone, floor_made, floor_gone = [], [], [], []
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        ctl = [d.control() for _ in range(n)]
        for k in range(runs + 1):
            name = "%d-%d" % (n, k)
            t0 = time.monotonic()
            pods = list(pool.map(lambda i: create(d, ctl[i], "%s-%d" % (name, i)), range(n)))
            t1 = time.monotonic()
            made.append([(x[0] - t0) * 1000 for x in pods])
            gone.append([(t - t1) * 1000 for t in pool.map(lambda i: remove(ctl[i], *pods[i][1:]), range(n))])
            floor_made.append(f.ask("create", name, n))
            floor_gone.append(f.ask("delete", name, n))
    many = ", %d at once" % n if n > 1 else ""
    say("runtime: create to running" + many, made[1:], floor_made[1:])
    say("runtime: stop to gone" + many, gone[1:], floor_gone[1:])


def main():
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack"})
    try:
        d.start()
        f = Floor(d.root, links=False)
        contract.image(d.root + "/image.tar")
        d.c.forward("runtime", contract.IMPORT, text(13, d.root + "/image.tar"))
        measure(d, f, 1, RUNS)
        measure(d, f, MANY, max(5, RUNS // 3))
        n, kb = memory(d)
        print(json.dumps({"name": "runtime: memory per container beyond its own processes", "pss_kib": round(kb), "n": n, "goal_kib": 1536},
                         separators=(",", ":")))
        f.end()
    finally:
        d.end()
        contract.sweep()


main()
