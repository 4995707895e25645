#!/usr/bin/env python3
# run: timeout=300 alone
"""The contract of the class runtime (abi/orlop/runtime.h): real containers. Without arguments ours, otherwise MODULE.so
[param=value …]; @ in a value is the directory of the test."""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon import BUILD, Daemon, arguments, done, ok, skip_all, until  # noqa: E402
from ctl import num, processes, text  # noqa: E402

(VERSION, STATUS, RUN, STOP_SB, RM_SB, SB_STATUS, SB_LIST, CREATE, START, STOP, RM, C_STATUS, C_LIST) = range(1, 14)
UPDATE, REOPEN, EXEC_SYNC, FORWARD, STATS, EVENTS, I_LIST, I_STATUS, I_REMOVE, FS_INFO, IMPORT, SB_STATS = 14, 15, 16, 19, 20, 21, 22, 23, 25, 26, 27, 30
IMAGE = "localhost/contract:1"
MEMORY = ("run", "sandboxes", "containers")     # of runtime/oci: mounted as long as the machine runs
CGROUP = "/orlop-contract-" + os.urandom(4).hex()


def needs(*programs):
    """a container, and these programs; else the whole test is skipped"""
    if os.geteuid():
        skip_all("needs root")
    for prog in ("conmon", "busybox") + programs:
        if not shutil.which(prog):
            skip_all("needs " + prog)


def sweep():
    """the cgroups of what is left"""
    subprocess.run("find /sys/fs/cgroup -depth -path '*%s*' -type d -exec rmdir {} ';'" % CGROUP, shell=True, check=False)


def image(path, tree=None, tag=None):
    """busybox and nothing else, or a tree of files, as docker save writes it"""
    top = tempfile.mkdtemp(prefix="orlop-image-")
    if not tree:
        os.makedirs(top + "/tree/bin")
        shutil.copy(shutil.which("busybox"), top + "/tree/bin/busybox")
        os.symlink("busybox", top + "/tree/bin/sh")
    with tarfile.open(top + "/layer.tar", "w") as t:
        t.add(tree or top + "/tree", ".")
    with open(top + "/layer.tar", "rb") as f:
        diff = hashlib.sha256(f.read()).hexdigest()
    doc = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin", "FROM=image"], "Cmd": ["/bin/sh", "-c", "exit 9"]},
                      "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff]}}).encode()
    name = hashlib.sha256(doc).hexdigest() + ".json"
    with open(top + "/" + name, "wb") as f:
        f.write(doc)
    with open(top + "/manifest.json", "w", encoding="utf-8") as f:
        json.dump([{"Config": name, "RepoTags": [tag or IMAGE], "Layers": ["layer.tar"]}], f)
    with tarfile.open(path, "w") as t:
        for n in ("manifest.json", name, "layer.tar"):
            t.add(top + "/" + n, n)
    shutil.rmtree(top)


class Pod:
    def __init__(self, d, name, c=None):
        self.d, self.c, self.name = d, c or d.c, name
        self.config = {"metadata": {"name": name, "namespace": "contract", "uid": "uid-" + name, "attempt": 0}, "hostname": name,
                       "logDirectory": d.root, "labels": {"app": name, "all": "yes"}, "annotations": {"note": "kept"},
                       "linux": {"cgroupParent": CGROUP + "/" + name}}
        self.st, self.doc, self.fields = self.c.cri(RUN, {"config": self.config})
        self.id = self.doc.get("podSandboxId") if self.st == 0 else None

    def create(self, name, command, **more):
        config = {"metadata": {"name": name, "attempt": 0}, "image": {"image": IMAGE}, "command": ["/bin/sh", "-c", command],
                  "logPath": "%s-%s.log" % (self.name, name), "labels": {"c": name}}
        config.update(more)
        st, doc, _ = self.c.cri(CREATE, {"podSandboxId": self.id, "config": config, "sandboxConfig": self.config})
        return doc.get("containerId") if st == 0 else (st, doc)

    def run(self, name, command, **more):
        cid = self.create(name, command, **more)
        st, doc, _ = self.c.cri(START, {"containerId": cid})
        return cid if st == 0 else (st, doc)

    def remove(self):
        return self.c.cri(STOP_SB, {"podSandboxId": self.id})[0] or self.c.cri(RM_SB, {"podSandboxId": self.id})[0]


def status(c, cid):
    st, doc, _ = c.cri(C_STATUS, {"containerId": cid})
    return doc.get("status", {}) if st == 0 else {}


def ended(d, cid):
    """by the runtime's own events"""
    st, m = d.c.forward("runtime", EVENTS)
    cursor, end = m.get(8, 1), time.monotonic() + 60
    while time.monotonic() < end:
        s = status(d.c, cid)
        if s.get("state") == "CONTAINER_EXITED":
            return s
        st, m = d.c.forward("runtime", EVENTS, num(8, cursor) + num(9, 2000000000))
        cursor = m.get(8, cursor)
    return status(d.c, cid)


def told(d, cursor, enough):
    """the events after the cursor until there are enough of them; None when some were lost"""
    events, end = [], time.monotonic() + 60
    while not enough(events) and time.monotonic() < end:
        st, m = d.c.forward("runtime", EVENTS, num(8, cursor) + num(9, 1000000000))
        if st:
            break
        if m.get(11):
            return None
        events += [(e["type"], e["containerId"]) for e in json.loads(m.get(10, b"[]"))]
        cursor = m.get(8, cursor)
    return events


def main():
    needs()
    module, params = arguments("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack"})
    d = Daemon(module, params)
    try:
        d.start()
        c = d.c
        st, doc, _ = c.cri(VERSION, {})
        ok(st == 0 and doc.get("runtimeName") and doc.get("runtimeApiVersion") == "v1", "version", doc)
        st, doc, _ = c.cri(STATUS, {})
        conditions = {x["type"]: x["status"] for x in doc.get("status", {}).get("conditions", [])} if st == 0 else {}
        ok(conditions.get("RuntimeReady") is True, "status: ready", doc)

        # images
        image(d.root + "/image.tar")
        st, m = c.forward("runtime", IMPORT, text(13, d.root + "/image.tar"))
        ok(st == 0, "an archive is imported", m)
        st, doc, _ = c.cri(I_LIST, {})
        ok(st == 0 and any(IMAGE in i.get("repoTags", []) for i in doc.get("images", [])), "and listed", doc)
        st, doc, _ = c.cri(I_STATUS, {"image": {"image": IMAGE}})
        ok(st == 0 and doc.get("image", {}).get("id") and int(doc["image"].get("size", 0)) > 0, "and known by its name", doc)
        st, doc, _ = c.cri(I_STATUS, {"image": {"image": "localhost/none:1"}})
        ok(st == 0 and not doc.get("image"), "one that is not there is no error, and no image", doc)
        st, doc, _ = c.cri(FS_INFO, {})
        ok(st == 0 and doc.get("imageFilesystems"), "where images are", doc)

        # sandboxes
        p = Pod(d, "one")
        if not ok(p.id and p.fields.get(3), "a sandbox, with the path of its network namespace", (p.st, p.doc)):
            return
        ok(os.path.exists(p.fields[3].decode()), "which exists")
        st, doc, m = c.cri(SB_STATUS, {"podSandboxId": p.id})
        s = doc.get("status", {}) if st == 0 else {}
        ok(s.get("state") == "SANDBOX_READY" and s.get("metadata", {}).get("uid") == "uid-one" and s.get("labels", {}).get("app") == "one" and
           s.get("annotations", {}).get("note") == "kept" and m.get(3) == p.fields[3], "its status", doc)
        q = Pod(d, "two")
        for what, f, want in (("id", {"id": p.id}, {p.id}), ("label", {"labelSelector": {"app": "two"}}, {q.id}),
                              ("state", {"state": {"state": "SANDBOX_NOTREADY"}}, set()), ("nothing", {}, {p.id, q.id})):
            st, doc, _ = c.cri(SB_LIST, {"filter": f})
            ok(st == 0 and {x["id"] for x in doc.get("items", [])} == want, "sandboxes listed by " + what, doc)

        # containers
        st, m = c.forward("runtime", EVENTS)
        cursor = m.get(8)
        ok(st == 0 and cursor, "events have a cursor", m)
        web = p.create("web", "trap 'exit 7' TERM; echo ready > /ready; echo out; echo err >&2; while :; do busybox sleep 0.1; done",
                       envs=[{"key": "MINE", "value": "pod"}])
        ok(isinstance(web, str) and status(c, web).get("state") == "CONTAINER_CREATED", "a container is made", web)
        ok(c.cri(START, {"containerId": web})[0] == 0, "and started")
        s = status(c, web)
        ok(s.get("state") == "CONTAINER_RUNNING" and int(s.get("startedAt", 0)) > 0 and s.get("labels", {}).get("c") == "web" and
           s.get("image", {}).get("image") == IMAGE, "its status", s)
        ok(c.cri(START, {"containerId": web})[0] < 0, "what runs is not started again")
        st, doc, _ = c.cri(EXEC_SYNC, {"containerId": web, "timeout": 20, "cmd": ["/bin/sh", "-c",
                           "until [ -e /ready ]; do busybox sleep 0.05; done; echo $FROM $MINE; busybox hostname; echo x >&2; exit 3"]})
        ok(st == 0 and doc.get("exitCode") == 3 and doc.get("stdout") == "image pod\none\n" and doc.get("stderr") == "x\n",
           "a command in it: environment, output, exit code", (st, doc))
        st, doc, _ = c.cri(EXEC_SYNC, {"containerId": web, "timeout": 1, "cmd": ["/bin/sh", "-c", "busybox sleep 60"]})
        ok(st < 0, "one that takes too long is ended", doc)
        for what, f, want in (("id", {"id": web}, 1), ("sandbox", {"podSandboxId": p.id}, 1), ("another sandbox", {"podSandboxId": q.id}, 0),
                              ("label", {"labelSelector": {"c": "web"}}, 1), ("state", {"state": {"state": "CONTAINER_EXITED"}}, 0)):
            st, doc, _ = c.cri(C_LIST, {"filter": f})
            ok(st == 0 and len(doc.get("containers", [])) == want, "containers listed by " + what, doc)
        started = ("CONTAINER_STARTED_EVENT", web)
        kinds = told(d, cursor, lambda events: started in events)
        ok(kinds is None or started in kinds, "events told of it", kinds)

        def lines():
            with open(d.root + "/one-web.log", encoding="utf-8") as f:
                return f.read().splitlines()
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(Z|[+-]\d\d:\d\d) "
        ok(until(lambda: all(any(re.fullmatch(stamp + what, x) for x in lines()) for what in ("stdout F out", "stderr F err"))),
           "the log, line by line in CRI's form", lines())

        # what it uses, and may use
        for what, op, f in (("containers", STATS, {"filter": {"podSandboxId": p.id}}), ("of a pod", SB_STATS, {"filter": {"id": p.id}})):
            st, doc, _ = c.cri(op, f)
            if op == SB_STATS and st in (-38, -95):	# since ABI 1.1
                print("# no statistics of pods: built for ABI 1.0")
                continue
            one = doc.get("stats", [{}])[0] if st == 0 and doc.get("stats") else {}
            use = one.get("linux", one)
            ok(st == 0 and len(doc["stats"]) == 1 and int(use.get("cpu", {}).get("usageCoreNanoSeconds", {}).get("value", 0)) > 0 and
               int(use.get("memory", {}).get("workingSetBytes", {}).get("value", 0)) > 0 and one["attributes"]["metadata"]["name"] in ("web", "one"),
               "statistics " + what, doc)
            inner = use["containers"][0] if op == SB_STATS else one
            ok(int(inner["writableLayer"]["inodesUsed"]["value"]) > 0, "with its writable layer", inner)
        ok(c.cri(STATS, {"filter": {"id": "f" * 64}})[1].get("stats") == [], "none of what is not there")
        st, doc, _ = c.cri(UPDATE, {"containerId": web, "linux": {"memoryLimitInBytes": 64 << 20, "cpuShares": 512, "cpuQuota": 50000, "cpuPeriod": 100000}})
        ok(st == 0, "its limits are changed", doc)
        got = status(c, web).get("resources", {}).get("linux", {})
        ok(int(got.get("memoryLimitInBytes", 0)) == 64 << 20 and int(got.get("cpuQuota", 0)) == 50000, "and told", got)
        st, doc, _ = c.cri(STATS, {"filter": {"id": web}})
        ok(0 < int(doc["stats"][0]["memory"].get("availableBytes", {}).get("value", 0)) <= 64 << 20, "and count", doc)
        os.rename(d.root + "/one-web.log", d.root + "/one-web.log.1")
        ok(c.cri(REOPEN, {"containerId": web})[0] == 0, "its log is opened anew")
        ok(until(lambda: os.path.exists(d.root + "/one-web.log")), "where it was")
        st, why, _ = c.cri(FORWARD, {"podSandboxId": p.id, "port": [9]})
        ok(st < 0 and "failed to connect to localhost:9 inside namespace" in why, "a port nobody listens on: %s" % why)

        # short lives: the start is told before the end
        st, m = c.forward("runtime", EVENTS)
        cursor = m.get(8)
        short = [p.run("short%d" % i, "exit 0") for i in range(12)]
        for x in short:
            ended(d, x)
        events = told(d, cursor, lambda events: all(("CONTAINER_STOPPED_EVENT", x) in events for x in short))
        order = {}
        for kind, x in events or []:
            order.setdefault(x, []).append(kind.split("_")[1])
        ok(events is None or all(order.get(x, [])[-2:] == ["STARTED", "STOPPED"] for x in short), "short lives: the start is told before the end", order)

        # ends
        s = ended(d, p.run("fails", "exit 42"))
        ok(s.get("exitCode") == 42 and s.get("reason") == "Error" and int(s.get("finishedAt", 0)) >= int(s.get("startedAt", 1)),
           "an exit code, a reason, when", s)
        s = ended(d, p.run("succeeds", "exit 0"))
        ok(not s.get("exitCode") and s.get("reason") == "Completed", "success", s)
        s = ended(d, p.run("hog", "x=a; while :; do x=$x$x; done", linux={"resources": {"memoryLimitInBytes": 16 << 20}}))
        ok(s.get("exitCode") == 137 and s.get("reason") == "OOMKilled", "a memory hog is named so", s)
        ok(c.cri(STOP, {"containerId": web, "timeout": 20})[0] == 0 and status(c, web).get("exitCode") == 7, "stop lets it end itself", status(c, web))
        ok(c.cri(STOP, {"containerId": web, "timeout": 1})[0] == 0, "stop of what has stopped")
        deaf = p.run("deaf", "trap '' TERM; echo up > /up; while :; do busybox sleep 1; done")
        c.cri(EXEC_SYNC, {"containerId": deaf, "timeout": 20, "cmd": ["/bin/sh", "-c", "until [ -e /up ]; do busybox sleep 0.05; done"]})
        ok(c.cri(STOP, {"containerId": deaf, "timeout": 1})[0] == 0 and status(c, deaf).get("exitCode") == 137, "who does not listen is killed")
        ok(c.cri(RM, {"containerId": web})[0] == 0 and not status(c, web), "removed")
        ok(c.cri(RM, {"containerId": web})[0] == 0, "remove of what is gone")

        # wrong
        for op, req, what in ((C_STATUS, {"containerId": "f" * 64}, "status of a container"), (START, {"containerId": "f" * 64}, "start"),
                              (SB_STATUS, {"podSandboxId": "f" * 64}, "status of a sandbox"),
                              (EXEC_SYNC, {"containerId": "f" * 64, "cmd": ["x"]}, "exec"),
                              (CREATE, {"podSandboxId": "f" * 64, "config": {"metadata": {"name": "x"}, "image": {"image": IMAGE}}}, "create")):
            st, why, _ = c.cri(op, req)
            ok(st < 0 and why, "%s that is not there: %s" % (what, why if isinstance(why, str) else ""), why)
        st, why = p.create("noimage", "true", image={"image": "localhost/none:1"})
        ok(st < 0 and "localhost/none:1" in why, "an image that is not there is named: %s" % why)
        st, why, _ = c.cri(RUN, {})
        ok(st < 0, "a sandbox of nothing: %s" % why)

        # the daemon dies
        stays = q.run("stays", "while :; do busybox sleep 1; done")
        leaves = q.run("leaves", "until [ -e /tmp-go/go ]; do busybox sleep 0.05; done; exit 5",
                       mounts=[{"hostPath": d.root, "containerPath": "/tmp-go"}])
        before = status(c, stays)
        d.kill()
        with open(d.root + "/go", "w", encoding="utf-8"):
            pass
        d.start()
        c = p.c = q.c = d.c
        s = status(c, stays)
        ok(s.get("state") == "CONTAINER_RUNNING" and s.get("startedAt") == before.get("startedAt"), "after kill -9 what ran runs", s)
        s = ended(d, leaves)
        ok(s.get("exitCode") == 5, "and what ended meanwhile is known", s)
        st, doc, _ = c.cri(SB_LIST, {})
        ok({x["id"] for x in doc.get("items", [])} == {p.id, q.id}, "sandboxes too", doc)

        # many
        def whole(i):
            pod = Pod(d, "many%d" % i, d.control())
            cid = pod.run("c", "while :; do busybox sleep 1; done")
            return pod, cid, status(pod.c, cid).get("state") if isinstance(cid, str) else cid
        t0 = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            pods = list(pool.map(whole, range(30)))
        ok(all(x[2] == "CONTAINER_RUNNING" for x in pods), "thirty pods side by side", [x[2] for x in pods])
        print("# in %.1f s" % (time.monotonic() - t0))
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            ok(not any(pool.map(lambda x: x[0].remove(), pods)), "and their end")

        # the end
        ok(c.cri(STOP_SB, {"podSandboxId": q.id})[0] == 0 and status(c, stays).get("exitCode") == 137, "a stopped sandbox ends what runs in it")
        st, doc, _ = c.cri(SB_STATUS, {"podSandboxId": q.id})
        ok(st == 0 and doc["status"]["state"] == "SANDBOX_NOTREADY", "and is not ready", doc)
        ok(c.cri(STOP_SB, {"podSandboxId": q.id})[0] == 0, "stop of a stopped one")
        ok(q.remove() == 0 and not status(c, stays), "a removed one takes its containers along")
        ok(c.cri(RM_SB, {"podSandboxId": q.id})[0] == 0, "remove of what is gone")
        ok(p.remove() == 0 and not os.path.exists(p.fields[3].decode()), "the namespace goes with it")
        ok(not c.cri(C_LIST, {})[1].get("containers") and not c.cri(SB_LIST, {})[1].get("items"), "nothing is listed")
        ok(c.cri(I_REMOVE, {"image": {"image": IMAGE}})[0] == 0 and c.cri(I_REMOVE, {"image": {"image": IMAGE}})[0] == 0,
           "an image is removed, and again")
        ok(d.stop() == 0, "the daemon ends in order")
        ok(until(lambda: not processes(d.root + "/")), "no process is left", processes(d.root + "/"))
        found = subprocess.run("find /sys/fs/cgroup -path '*%s/*' -type d" % CGROUP, shell=True, stdout=subprocess.PIPE, text=True, check=False).stdout
        ok(not found, "no cgroup of a pod is left", found)
        ok("module_left" not in d.log(), "and nothing in the daemon", d.log())
    finally:
        d.end()
        sweep()


if __name__ == "__main__":
    main()
    done()
