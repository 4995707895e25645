#!/usr/bin/env python3
# run: timeout=120 alone
"""RuntimeClass handlers of runtime/oci: a second OCI runtime is used by the sandboxes that ask for it and by no other,
also after the daemon was killed; a handler that nobody configured is refused in the words that people know."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, skip_all, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import processes, text  # noqa: E402


class Pod(rt.Pod):
    """with a handler"""

    def __init__(self, d, name, handler):
        self.d, self.c, self.name = d, d.c, name
        self.config = {"metadata": {"name": name, "namespace": "h", "uid": "uid-" + name, "attempt": 0}, "hostname": name,
                       "logDirectory": d.root, "linux": {"cgroupParent": rt.CGROUP + "/" + name}}
        self.st, self.doc, self.fields = self.c.cri(rt.RUN, {"config": self.config, "runtimeHandler": handler})
        self.id = self.doc.get("podSandboxId") if self.st == 0 else None


def calls(d):
    """what the second runtime was called for: {container: verbs}"""
    said = {}
    try:
        with open(d.root + "/other/log", encoding="utf-8") as f:
            for line in f:
                words = line.split()
                verb = next((w for w in words if w in ("create", "start", "exec", "delete", "kill")), "?")
                said.setdefault(words[-1], set()).add(verb)
    except FileNotFoundError:
        pass
    return said


def main():
    rt.needs()
    real = shutil.which("runc") or shutil.which("crun")
    if not real:
        skip_all("needs an OCI runtime")
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack",
                               "handlers": "other=@/other/%s, again=@/other/%s" % ((os.path.basename(real),) * 2)})
    os.mkdir(d.root + "/other")
    other = d.root + "/other/" + os.path.basename(real)
    with open(other, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\necho "$@" >> "%s/other/log"\nexec "%s" "$@"\n' % (d.root, real))
    os.chmod(other, 0o755)
    try:
        d.start()
        rt.image(d.root + "/image.tar")
        d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
        st, doc, _ = d.c.cri(rt.STATUS, {})
        names = [h["name"] for h in doc.get("runtimeHandlers", [])] if st == 0 else doc
        ok(names == ["", "other", "again"], "the status names the handlers", names)

        p = Pod(d, "none", "gvisor")
        ok(p.st and "failed to get sandbox runtime: no runtime for \"gvisor\" is configured" in str(p.doc),
           "a handler that is not configured", p.doc)
        st, doc, _ = d.c.cri(rt.SB_LIST, {})
        ok(st == 0 and not doc.get("items"), "leaves nothing", doc)

        plain, o = Pod(d, "plain", ""), Pod(d, "odd", "other")
        st, doc, _ = d.c.cri(rt.SB_STATUS, {"podSandboxId": o.id})
        ok(st == 0 and doc["status"].get("runtimeHandler") == "other", "the sandbox says which", doc)
        a = plain.run("a", "sleep 1000")
        b = o.run("b", "sleep 1000")
        ok(isinstance(a, str) and isinstance(b, str), "containers by both", (a, b))
        st, doc, _ = d.c.cri(rt.EXEC_SYNC, {"containerId": b, "timeout": 20, "cmd": ["busybox", "echo", "there"]})
        ok(st == 0 and doc.get("exitCode", 0) == 0, "a command by the second", doc)
        said = calls(d)
        ok(a not in said and {"create", "start", "exec"} <= said.get(b, set()), "which made one of them, and no other", said)

        d.kill()
        d.start()
        plain.c = o.c = d.c
        st, doc, _ = d.c.cri(rt.EXEC_SYNC, {"containerId": b, "timeout": 20, "cmd": ["busybox", "echo", "there"]})
        ok(st == 0 and doc.get("exitCode", 0) == 0, "a daemon that was killed knows its container", doc)
        st, doc, _ = d.c.cri(rt.SB_STATUS, {"podSandboxId": o.id})
        ok(st == 0 and doc["status"].get("runtimeHandler") == "other", "and its handler", doc)
        ok(o.remove() == 0 and plain.remove() == 0, "all of it removed")
        ok(a not in calls(d), "the first was never asked for by the second")
        ok(d.stop() == 0, "the daemon ends in order")
        ok(until(lambda: not processes(d.root + "/")), "no process is left", processes(d.root + "/"))

        with open(d.root + "/orlop.conf", encoding="utf-8") as f:
            conf = f.read()
        for value, want in (("other", "is not NAME=PROGRAM"), ("x=/nowhere/kata", "no such program")):
            with open(d.root + "/orlop.conf", "w", encoding="utf-8") as f:
                f.write(conf.replace("handlers = \"other=", "handlers = \"%s, other=" % value))
            try:
                d.start()
                ok(False, "handlers = %s" % value)
                d.stop()
            except RuntimeError as e:
                ok(want in str(e), "handlers = %s is refused in words" % value, e)
    finally:
        d.end()
        rt.sweep()


main()
done()
