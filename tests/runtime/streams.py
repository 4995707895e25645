#!/usr/bin/env python3
# run: timeout=120 alone
"""Streams of runtime/oci, by the OCI runtime that is named or crun: attach, commands on a terminal and ports, used by a
module of the same daemon (tests/modules/piper.c); who leaves and who comes late; a container goes on as if nobody had been."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import num, processes, text  # noqa: E402

EXEC, ATTACH, FORWARD = 17, 18, 19


def pipe(c, op, request, given="", until="", keep=False):
    """what was said: status, stdout, stderr, number of descriptors; or status and why"""
    st, m = c.forward("test/piper", 1, num(1, op) + text(2, json.dumps(request)) + text(3, given) + text(4, until) + num(8, keep))
    if st < 0:
        return st, m.get(4, b"").decode(), "", 0
    return st, m.get(5, b"").decode(), m.get(6, b"").decode(), m.get(7)


def all_of(cid, **more):
    return dict({"containerId": cid, "stdin": True, "stdout": True, "stderr": True, "tty": False}, **more)


def attach(d, p):
    c = d.c
    cid = p.run("echo", "while read -r x; do echo out $x; echo err $x >&2; done; echo over", stdin=True, stdinOnce=True)
    st, out, err, n = pipe(c, ATTACH, all_of(cid), "one\ntwo\n")
    ok(st == 0 and n == 3 and "out one\nout two\nover\n" in out and err == "err one\nerr two\n", "attach: input, output and errors",
       (st, out, err, n))
    ok(rt.ended(d, cid).get("exitCode", 0) == 0, "the end of the input is the end of a container that has it once")

    cid = p.run("stays", "while read -r x; do echo out $x; done", stdin=True)
    for word in ("first", "second"):
        st, out, _, _ = pipe(c, ATTACH, all_of(cid), word + "\n", "out " + word, keep=True)
        ok(st == 0 and "out " + word in out, "attach: the %s, who leaves" % word, (st, out))
    ok(rt.status(c, cid).get("state") == "CONTAINER_RUNNING", "and what was attached goes on")
    with open("%s/%s-stays.log" % (d.root, p.name), encoding="utf-8") as f:
        log = f.read()
    ok("out first" in log and "out second" in log, "its log has what was said", log)

    cid = p.run("tty", "read -r x; echo got $x; stty size", stdin=True, stdinOnce=True, tty=True)
    st, out, _, n = pipe(c, ATTACH, all_of(cid, stderr=False, tty=True), "word\n", keep=True)
    ok(st == 0 and n == 1 and "got word\r\n" in out, "attach: a terminal is one stream for both ways", (st, out, n))
    rt.ended(d, cid)
    st, why, _, _ = pipe(c, ATTACH, all_of(cid))
    ok(st < 0 and why, "attach: to one that has ended there is no way", (st, why))
    st, why, _, _ = pipe(c, ATTACH, all_of("0" * 64))
    ok(st < 0 and "not found" in why, "attach: nor to none", (st, why))


def terminal(d, p):
    cid = p.run("sleeps", "busybox sleep 1000")
    st, out, _, n = pipe(d.c, EXEC, dict(all_of(cid, stderr=False, tty=True), consoleSize={"width": 77, "height": 33},
                                         cmd=["/bin/sh", "-c", "until busybox stty size 2> /dev/null | busybox grep '33 77'; do :; done"]),
                          until="33 77", keep=True)
    ok(st == 0 and n == 1 and out.strip() == "33 77", "a command's terminal has the size that was asked for", (st, out, n))
    st, out, err, n = pipe(d.c, EXEC, dict(all_of(cid), cmd=["/bin/sh", "-c", "read -r x; echo out $x; echo err $x >&2"]), "word\n")
    ok(st == 0 and n == 3 and out == "out word\n" and err == "err word\n", "without one it has three streams", (st, out, err, n))


def ports(d, p):
    c = d.c
    cid = p.run("server", "exec busybox nc -ll -p 7000 -e /bin/sh -c 'read -r x; echo you said $x'")
    st, doc, _ = c.cri(rt.EXEC_SYNC, {"containerId": cid, "timeout": 30,
                                      "cmd": ["/bin/sh", "-c", "until echo me | busybox nc 127.0.0.1 7000; do busybox sleep 0.1; done"]})
    ok(st == 0 and "you said me" in doc.get("stdout", ""), "a server in the pod", (st, doc))
    for i in range(2):
        st, out, _, n = pipe(c, FORWARD, {"podSandboxId": p.id, "port": [7000]}, "hello %d\n" % i)
        ok(st == 0 and n == 1 and out == "you said hello %d\n" % i, "a port: connection %d" % (i + 1), (st, out, n))
    st, why, _, _ = pipe(c, FORWARD, {"podSandboxId": p.id, "port": [7001]})
    ok(st < 0 and "refused" in why, "a port where nobody listens", (st, why))
    st, why, _, _ = pipe(c, FORWARD, {"podSandboxId": "0" * 64, "port": [7000]})
    ok(st < 0 and why, "a sandbox that is not there", (st, why))
    st, why, _, _ = pipe(c, FORWARD, {"podSandboxId": p.id, "port": [70000]})
    ok(st < 0 and why, "a number that is no port", (st, why))


def main():
    rt.needs()
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack", "runtime": sys.argv[1] if len(sys.argv) > 1 else ""})
    with open(d.root + "/orlop.conf", encoding="utf-8") as f:
        conf = f.read()
    with open(d.root + "/orlop.conf", "w", encoding="utf-8") as f:
        f.write(conf.replace(" } );", ' }, { module = "%s/tests/modules/piper.so"; } );' % BUILD))
    try:
        d.start()
        rt.image(d.root + "/image.tar")
        d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
        p = rt.Pod(d, "pod")
        subprocess.run(["nsenter", "--net=" + p.fields[3].decode(), "ip", "link", "set", "lo", "up"], check=False)
        attach(d, p)
        terminal(d, p)
        ports(d, p)
        ok(p.remove() == 0, "all of it removed")
        ok(d.stop() == 0, "the daemon ends in order")
        ok(until(lambda: not processes(d.root + "/")), "no process is left", processes(d.root + "/"))
    finally:
        d.end()
        rt.sweep()


main()
done()
