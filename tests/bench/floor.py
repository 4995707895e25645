#!/usr/bin/env python3
"""What a container cannot be had without: conmon and the OCI runtime's create, a veth pair into the network namespace
which that made, the runtime's start; then the delete of the link and of the container. Nothing of ours, same machine, as many at once as asked for.

A process of its own: it hides the unified cgroups once for all (crun 1.8 refuses to see both kinds), starts every program
by posix_spawn and waits in the kernel, so that its own time is next to nothing; links are made by netlink, without `ip`."""
import concurrent.futures
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

crun = shutil.which("crun") or shutil.which("runc") or ""
HIDE = []
if os.path.basename(crun) == "crun" and os.path.isdir("/sys/fs/cgroup/unified"):
    HIDE = ["unshare", "-m", "--propagation", "slave", "sh", "-c", 'umount -l /sys/fs/cgroup/unified; exec "$@"', "x"]


def bundle(root):
    """busybox, the runtime's own default configuration: all namespaces, all cgroups, no seccomp profile (as pods without one)"""
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


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def netlink(kind, flags, body, what):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        e = struct.unpack_from("=i", s.recv(4096), 16)[0]
    if e:
        raise SystemExit("%s: %s" % (what, os.strerror(-e)))


def veth(name, pid):
    """name here, eth0 in the network namespace of pid"""
    info = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0)
    peer = info + attr(3, b"eth0\0") + attr(19, struct.pack("=I", pid))     # IFLA_IFNAME, IFLA_NET_NS_PID
    link = attr(1, b"veth\0") + attr(2, attr(1, peer))                      # IFLA_INFO_KIND, IFLA_INFO_DATA(VETH_INFO_PEER)
    body = info + attr(3, name.encode() + b"\0") + attr(18, link)           # IFLA_LINKINFO
    netlink(16, 0x605, body, "veth " + name)                                # RTM_NEWLINK: REQUEST, ACK, EXCL, CREATE


def run(argv, env=None, actions=()):
    pid = os.posix_spawn(argv[0], argv, env or os.environ, file_actions=actions)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("failed: %s" % argv)


conmon = shutil.which("conmon") or ""
QUIET = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)]


def create(root, me, link):
    own = root + "/bundle-" + me
    argv = [conmon, "--api-version", "1", "-c", me, "-u", me, "-r", crun, "-b", own, "-p", "%s/%s.pid" % (root, me), "-P",
            "%s/%s.conmon" % (root, me), "-l", "k8s-file:%s/%s.log" % (root, me), "--exit-dir", root, "--persist-dir", root,
            "--runtime-arg", "--root", "--runtime-arg", root + "/run", "--full-attach", "--no-sync-log", "--no-new-keyring",
            "--log-level", "error"]
    r, w = os.pipe()
    run(argv, dict(os.environ, _OCI_SYNCPIPE="3"), QUIET + [(os.POSIX_SPAWN_DUP2, w, 3)])
    os.close(w)
    line = os.read(r, 4096)     # conmon says the pid once the runtime has created it
    os.close(r)
    pid = json.loads(line.split(b"\n")[0])["data"] if line else -1
    if pid < 0:
        raise SystemExit("conmon: %s" % line)
    if link:
        veth(link, pid)
    run([crun, "--root", root + "/run", "start", me])
    return time.monotonic()


def delete(root, me, link):
    if link:
        netlink(17, 5, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + attr(3, link.encode() + b"\0"), "delete of " + link)     # RTM_DELLINK
    run([crun, "--root", root + "/run", "delete", "--force", me])
    return time.monotonic()


def serve(root, b, links):
    """lines "create NAME N" and "delete NAME N" in, the times of N at once out"""
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for line in sys.stdin:
            verb, name, n = line.split()
            names = ["orlop-floor-%s-%d" % (name, i) for i in range(int(n))]
            link = ["of%s-%d" % (name, i) if links else None for i in range(int(n))]
            for me in names if verb == "create" else ():
                os.mkdir(root + "/bundle-" + me)        # conmon puts a fifo into it
                shutil.copy(b + "/config.json", root + "/bundle-" + me)
            t0 = time.monotonic()
            if verb == "create":
                ends = pool.map(lambda i: create(root, names[i], link[i]), range(int(n)))
            else:
                ends = pool.map(lambda i: delete(root, names[i], link[i]), range(int(n)))
            print(json.dumps([(t - t0) * 1000 for t in ends]), flush=True)


class Floor:
    def __init__(self, root, links=True):
        self.p = subprocess.Popen(HIDE + [sys.executable, "-B", os.path.abspath(__file__), root, bundle(root), "links" if links else ""],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb, name, n):
        """ms from the beginning, of all at the same moment, until each was done"""
        self.p.stdin.write("%s %s %d\n" % (verb, name, n))
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def end(self):
        self.p.stdin.close()
        self.p.wait()


def say(name, ours, theirs, **more):
    """each: runs of as many times as were at once. p50 of all, and the median of how long a whole run took"""
    def both(runs):
        return statistics.median(x for r in runs for x in r), statistics.median(max(r) for r in runs)
    (a, a_all), (b, b_all) = both(ours), both(theirs)
    out = {"name": name, "p50_ms": round(a, 1), "floor_p50_ms": round(b, 1), "ratio": round(a / b, 2)}
    if len(ours[0]) > 1:
        out.update(all_ms=round(a_all, 1), floor_all_ms=round(b_all, 1), ratio_all=round(a_all / b_all, 2))
    out.update(n=len(ours), goal_ratio=1.5, runtime=os.path.basename(crun), **more)
    print(json.dumps(out, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3] != "")
