#!/usr/bin/env python3
# run: timeout=120 alone
"""runtime/oci and cni/bridge for real: containers that behave and that do not, and a killed daemon."""
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctl import Control, num, processes, text

BUILD = os.path.abspath(os.environ.get("builddir", "."))
RUN, STOP_SB, RM_SB, CREATE, START, STOP, RM, STATUS, LIST_C, EXEC_SYNC, EVENTS, IMPORT = (
    3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 21, 27)
count = failed = 0


def ok(good, name, extra=""):
    global count, failed
    count += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", count, name))
    if not good:
        print("# %s" % str(extra).replace("\n", "\n# "))
    sys.stdout.flush()


class Daemon:
    def __init__(self, root, bridge):
        self.root = root
        self.sock = root + "/o.sock"
        with open(root + "/orlop.conf", "w") as f:
            f.write('''data_dir = "%s/d"; log_level = "info"; module_dir = "%s/modules"; control = "%s";
modules = ( { module = "runtime/oci"; params = { root = "%s/oci"; unpack = "%s/libexec/oci-unpack"; }; },
	{ module = "cni/bridge"; params = { bridge = "%s"; subnet = "10.213.7.0/24"; leases = "%s/leases"; }; } );
''' % (root, BUILD, self.sock, root, BUILD, bridge, root))
        os.mkdir(root + "/d")

    def start(self):
        r, w = os.pipe()
        self.p = subprocess.Popen([BUILD + "/orlopd", "-f", "-c", self.root + "/orlop.conf", "--ready-fd", str(w)],
                                  pass_fds=(w,), stderr=open(self.root + "/log", "a"))
        os.close(w)
        if not select.select([r], [], [], 60)[0] or not os.read(r, 16):
            raise RuntimeError(open(self.root + "/log").read())
        os.close(r)
        self.c = Control(self.sock)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        return self.p.wait(60)


def image(path, config, tag):
    top = tempfile.mkdtemp(prefix="orlop-img-")
    os.makedirs(top + "/tree/bin")
    shutil.copy(shutil.which("busybox"), top + "/tree/bin/busybox")
    os.symlink("busybox", top + "/tree/bin/sh")
    with tarfile.open(top + "/layer.tar", "w") as t:
        t.add(top + "/tree", ".")
    diff = hashlib.sha256(open(top + "/layer.tar", "rb").read()).hexdigest()
    doc = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                      "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff]}}).encode()
    name = hashlib.sha256(doc).hexdigest() + ".json"
    open(top + "/" + name, "wb").write(doc)
    open(top + "/manifest.json", "w").write(json.dumps(
        [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]))
    with tarfile.open(path, "w") as t:
        for f in ("manifest.json", name, "layer.tar"):
            t.add(top + "/" + f, f)
    shutil.rmtree(top)


class Pod:
    def __init__(self, d, uid):
        self.d = d
        self.made = []
        st, doc, m = d.c.cri(RUN, {"config": {"metadata": {"name": uid, "namespace": "t", "uid": uid},
                                              "hostname": uid, "logDirectory": d.root,
                                              "linux": {"cgroupParent": "/orlop-test/" + uid}}})
        self.id = doc["podSandboxId"] if st == 0 else None
        self.netns = m.get(3, b"")
        self.status = (st, doc)

    def attach(self):
        return self.d.c.forward("cni", 1, text(1, self.id) + text(2, self.netns))

    def create(self, name, image_name, cmd=None, **more):
        config = {"metadata": {"name": name}, "image": {"image": image_name}, "logPath": name + ".log"}
        if cmd:
            config["command"] = ["/bin/sh", "-c", cmd]
        config.update(more)
        st, doc, m = self.d.c.cri(CREATE, {"podSandboxId": self.id, "config": config})
        if st == 0:
            self.made.append(doc["containerId"])
            return doc["containerId"]
        return doc

    def remove(self):
        for c in self.made:
            self.d.c.cri(STOP, {"containerId": c, "timeout": 0})
            self.d.c.cri(RM, {"containerId": c})
        self.d.c.forward("cni", 2, text(1, self.id))
        self.d.c.cri(STOP_SB, {"podSandboxId": self.id})
        return self.d.c.cri(RM_SB, {"podSandboxId": self.id})[0]


def status(d, cid):
    return d.c.cri(STATUS, {"containerId": cid})[1].get("status", {})


def wait_state(d, cid, want, cursor=1):
    """by the module's own events, never by time alone"""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        s = status(d, cid)
        if s.get("state") == want:
            return s
        st, m = d.c.forward("runtime", EVENTS, num(8, cursor) + num(9, 2000000000))
        cursor = m.get(8, cursor)
    return status(d, cid)


def mounts(root):
    return [l for l in open("/proc/self/mountinfo") if root in l]


def main():
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    for prog in ("conmon", "skopeo", "busybox"):
        if not shutil.which(prog):
            print("1..0 # SKIP %s is not installed" % prog)
            return 0
    root = tempfile.mkdtemp(prefix="orlop-oci-")
    bridge = "ot%d" % (os.getpid() % 1000000)
    d = Daemon(root, bridge)
    try:
        d.start()
        image(root + "/good.tar", {"Cmd": ["/bin/sh", "-c", "exit 0"], "Env": ["PATH=/bin"]}, "good:1")
        image(root + "/nocmd.tar", {}, "nocmd:1")
        for f in ("good", "nocmd"):
            st, m = d.c.forward("runtime", IMPORT, text(13, "%s/%s.tar" % (root, f)))
            ok(st == 0, "image %s imported" % f, m)
        open(root + "/rubbish.tar", "w").write("no archive")
        st, m = d.c.forward("runtime", IMPORT, text(13, root + "/rubbish.tar"))
        ok(st < 0 and b"rubbish.tar" in m[4], "rubbish is refused by name", m)

        p = Pod(d, "pod-a")
        ok(p.id, "a sandbox", p.status)
        st, m = p.attach()
        ok(st == 0 and b"10.213.7.2/24" in m[5], "an address", m)
        c = p.create("web", "good:1", "echo out; echo err >&2; trap 'exit 7' TERM; "
                     "echo ready > /ready; while :; do busybox sleep 0.1; done")
        ok(d.c.cri(START, {"containerId": c})[0] == 0, "a container starts")
        # its own sign that the trap is set
        st, doc, m = d.c.cri(EXEC_SYNC, {"containerId": c, "timeout": 25, "cmd": [
            "/bin/sh", "-c", "until [ -e /ready ]; do busybox sleep 0.05; done; busybox hostname; echo x >&2; exit 3"]})
        ok(st == 0 and doc.get("exitCode") == 3 and doc.get("stdout") == "pod-a\n" and doc.get("stderr") == "x\n",
           "a command in it: output and exit code", (st, doc))
        st, doc, m = d.c.cri(EXEC_SYNC, {"containerId": c, "timeout": 25, "cmd": ["/no/such"]})
        ok(st < 0 or doc.get("exitCode"), "a command that does not exist fails", doc)
        st, doc, m = d.c.cri(EXEC_SYNC, {"containerId": c, "timeout": 1, "cmd": ["/bin/sh", "-c",
                                         "while :; do busybox sleep 1; done"]})
        ok(st < 0 and "timed out" in doc, "one that does not end is ended", doc)
        st, doc, m = d.c.cri(EXEC_SYNC, {"containerId": c, "timeout": 1, "cmd": ["busybox", "sleep", "1001"]})
        st, doc, m = d.c.cri(EXEC_SYNC, {"containerId": c, "timeout": 25, "cmd": ["/bin/sh", "-c", "busybox ps -o args | busybox grep '[s]leep 1001'"]})
        ok(st == 0 and doc.get("exitCode") == 1 and not doc.get("stdout"), "and does not run on", (st, doc))
        pid = status(d, c)["pid"]

        d.kill()
        os.kill(pid, 0)
        d.start()
        s = status(d, c)
        ok(s.get("state") == "CONTAINER_RUNNING" and s.get("pid") == pid,
           "kill -9 of the daemon: the container never noticed", s)
        dies = p.create("dies", "good:1", "exit 42")
        d.c.cri(START, {"containerId": dies})
        s = wait_state(d, dies, "CONTAINER_EXITED")
        ok(s.get("exitCode") == 42 and s.get("reason") == "Error", "a crash is told with its code", s)

        away = p.create("away", "good:1", "until [ -e /go ]; do busybox sleep 0.05; done; exit 5")
        d.c.cri(START, {"containerId": away})
        host = "%s/oci/containers/%s/rootfs/go" % (root, away)
        d.kill()
        open(host, "w").close()
        exit_file = "%s/oci/exits/%s" % (root, away)
        end = time.monotonic() + 60
        while not os.path.exists(exit_file) and time.monotonic() < end:
            select.select([], [], [], 0.02)
        d.start()
        s = status(d, away)
        ok(s.get("state") == "CONTAINER_EXITED" and s.get("exitCode") == 5,
           "what ended while the daemon was away is known", s)

        t = time.monotonic()
        d.c.cri(STOP, {"containerId": c, "timeout": 25})
        ok(status(d, c).get("exitCode") == 7 and time.monotonic() - t < 20, "SIGTERM lets it end itself")
        deaf = p.create("deaf", "good:1", "trap '' TERM; echo up > /up; while :; do busybox sleep 1; done")
        d.c.cri(START, {"containerId": deaf})
        d.c.cri(EXEC_SYNC, {"containerId": deaf, "timeout": 25, "cmd": [
            "/bin/sh", "-c", "until [ -e /up ]; do busybox sleep 0.05; done"]})
        d.c.cri(STOP, {"containerId": deaf, "timeout": 1})
        ok(status(d, deaf).get("exitCode") == 137, "one that ignores SIGTERM is killed", status(d, deaf))
        hog = p.create("hog", "good:1", "x=; while :; do x=$x$(busybox head -c 1000000 /dev/zero | busybox tr '\\0' x); done",
                       linux={"resources": {"memoryLimitInBytes": 8 << 20}})
        d.c.cri(START, {"containerId": hog})
        s = wait_state(d, hog, "CONTAINER_EXITED")
        ok(s.get("exitCode") == 137 and s.get("reason") == "OOMKilled", "a memory hog is told as such", s)

        why = p.create("nocmd", "nocmd:1")
        ok("no command" in why and "nocmd" in why, "an image without a command: %s" % why)
        why = p.create("none", "none:1")
        ok("none:1" in why and "not found" in why, "an image that is not there: %s" % why)
        why = p.create("exec", "good:1", None, command=["/does/not/exist"])
        st = d.c.cri(START, {"containerId": why})[0] if len(why) == 64 else -1
        ok(st < 0, "a program that is not there does not start", why)

        q = Pod(d, "pod-b")
        c = q.create("runs", "good:1", "while :; do busybox sleep 1; done")
        d.c.cri(START, {"containerId": c})
        ok(d.c.cri(STOP_SB, {"podSandboxId": q.id})[0] == 0 and status(d, c).get("exitCode") == 137,
           "a stopped sandbox ends what runs in it", status(d, c))
        ok(d.c.cri(RM_SB, {"podSandboxId": q.id})[0] == 0 and d.c.cri(STATUS, {"containerId": c})[0] < 0,
           "a removed one takes it along")
        ok(p.remove() == 0, "all of it removed")
        ok(d.c.cri(LIST_C, {})[1]["containers"] == [], "no container is left")
        ok(d.c.forward("cni", 6)[0] == 0, "the network too")
        ok(subprocess.run(["ip", "link", "show", bridge], capture_output=True).returncode != 0, "no bridge is left")
        ok(d.stop() == 0, "the daemon ends in order")
        left = [m for m in mounts(root) if m.split()[4] not in [root + "/oci" + x for x in ("", "/run", "/sandboxes", "/containers")]]
        ok(not left, "no mount is left", left)
        end = time.monotonic() + 30
        while processes(root) and time.monotonic() < end:
            select.select([], [], [], 0.02)
        ok(not processes(root), "no process is left", processes(root))
    finally:
        d.p.kill()
        subprocess.run(["pkill", "-9", "-f", root])
        for m in reversed(mounts(root)):
            subprocess.run(["umount", "-l", m.split()[4]])
        subprocess.run(["ip", "link", "del", bridge], capture_output=True)
        subprocess.run("find /sys/fs/cgroup -depth -path '*/orlop-test*' -type d -exec rmdir {} ';'", shell=True,
                       capture_output=True)
        shutil.rmtree(root, ignore_errors=True)
    print("1..%d" % count)
    return failed != 0


sys.exit(main())
