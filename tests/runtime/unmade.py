#!/usr/bin/env python3
# run: timeout=120 alone
"""A container whose making is cut off at its worst moments: the OCI runtime is killed when the first process waits for its
start and nobody has noted it yet; the monitor is killed and `create` goes on without it; the daemon is killed too. Nothing
may be left, at once: not only what a later look finds."""
import os
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, skip_all, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import text  # noqa: E402

LOOP = "while :; do busybox sleep 1; done"
# As the OCI runtime; what is to happen stands in a file. "create" comes after its own options and has the id at its end.
WRAPPER = """#!/bin/sh
case " $* " in *" create "*) ;; *) exec "$REAL" "$@" ;; esac
for id; do :; done
case $(cat "$DIR/how") in
killed)	echo "$id" > "$DIR/began"; "$REAL" "$@" && rm -f "$ROOT/run/$id/status" "$ROOT/run/$id/state.json"; kill -9 $$ ;;
alone)	echo "$id" > "$DIR/began"; kill -9 $PPID; until [ -e "$DIR/go" ]; do sleep 0.05; done; exec "$REAL" "$@" ;;
waits)	echo "$id" > "$DIR/began"; until [ -e "$DIR/go" ]; do sleep 0.05; done; exec "$REAL" "$@" ;;
esac
exec "$REAL" "$@"
"""


def left(d, cid):
    """of a container: processes, files, cgroups, mounts"""
    found = []
    for p in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                line = f.read()
            if p.isdigit() and cid.encode() in line and int(p) != os.getpid():
                found.append(line)
        except OSError:
            pass
    for top, dirs, files in os.walk(d.root + "/oci"):
        found += [os.path.join(top, x) for x in dirs + files if cid in x]
    out = subprocess.run("find /sys/fs/cgroup -path '*%s/*%s*' -type d" % (rt.CGROUP, cid), shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True, check=False).stdout
    return found + out.split() + [m for m in d.mounts() if cid in m]


def how(d, word):
    for f in ("go", "began"):
        if os.path.exists(d.root + "/other/" + f):
            os.unlink(d.root + "/other/" + f)
    with open(d.root + "/other/how", "w", encoding="utf-8") as f:
        f.write(word)


def began(d):
    path = d.root + "/other/began"
    until(lambda: os.path.exists(path) and os.path.getsize(path) > 10)
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


def create(d, p, out):
    def ask():
        try:
            c = d.control()
            out.append(c.cri(rt.CREATE, {"podSandboxId": p.id, "sandboxConfig": p.config, "config": {
                "metadata": {"name": "c", "attempt": 0}, "image": {"image": rt.IMAGE}, "command": ["/bin/sh", "-c", LOOP], "logPath": "c.log"}})[:2])
        except (EOFError, OSError):
            out.append(None)
    t = threading.Thread(target=ask)
    t.start()
    return t


def main():
    rt.needs()
    real = shutil.which("crun") or shutil.which("runc")
    if not real:
        skip_all("needs an OCI runtime")
    name = os.path.basename(real)
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack", "runtime": "@/other/" + name})
    os.mkdir(d.root + "/other")
    with open(d.root + "/other/" + name, "w", encoding="utf-8") as f:
        f.write(WRAPPER.replace("$REAL", real).replace("$DIR", d.root + "/other").replace("$ROOT", d.root + "/oci"))
    os.chmod(d.root + "/other/" + name, 0o755)
    try:
        how(d, "")
        d.start()
        rt.image(d.root + "/image.tar")
        st, m = d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
        ok(st == 0, "an image", m)
        p = rt.Pod(d, "p")
        for tty in (False, True):
            what = "with a terminal" if tty else "without a terminal"
            how(d, "killed")
            got = p.create("c", LOOP, tty=tty)
            cid = began(d)
            how(d, "")
            ok(not isinstance(got, str) and (tty or "was killed while it made the container" in got[1]),
               "%s: the OCI runtime is killed when it has made a container: an answer" % what, got)
            ok(until(lambda c=cid: not left(d, c)), "%s: nothing is left" % what, left(d, cid))

        how(d, "alone")
        out = []
        t = create(d, p, out)
        cid = began(d)
        t.join()
        ok(out and out[0] and out[0][0] < 0, "the monitor is killed: an answer", out)
        with open(d.root + "/other/go", "w", encoding="utf-8"):
            pass
        ok(until(lambda: not left(d, cid)), "what went on without it is ended: nothing is left", left(d, cid))

        how(d, "waits")
        out = []
        t = create(d, p, out)
        cid = began(d)
        d.kill()
        t.join()
        d.start()
        with open(d.root + "/other/go", "w", encoding="utf-8"):
            pass
        ok(until(lambda: not left(d, cid)), "the daemon is killed and comes again: nothing is left of what nobody asked further", left(d, cid))
        how(d, "")
        p.c = d.c
        ok(isinstance(p.run("c", LOOP), str), "it goes on")
        ok(p.remove() == 0, "removed")
        ok(d.stop() == 0, "the daemon ends in order")
    finally:
        d.end()
        rt.sweep()
    done()


main()
