#!/usr/bin/env python3
"""Requests from module to module: both in the daemon, the answerer in a process of its own, both in processes of their own;
one at a time and 64 at once. The floor beside it: a byte through a socket pair to another process and back."""
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("srcdir") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("builddir", "."))
sys.path.insert(0, os.path.join(SRC, "tests", "runtime"))
from ctl import Control, num  # noqa: E402

COMMAND = "builddir=%s %s" % (BUILD, os.path.abspath(__file__))


def floor():
    a, b = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        while b.recv(1):
            b.send(b"x")
        os._exit(0)
    n, t = 20000, time.monotonic()
    for _ in range(n):
        a.send(b"x")
        a.recv(1)
    us = (time.monotonic() - t) / n * 1e6
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return round(us, 1)


def measure(where, asker, echo):
    tmp = tempfile.mkdtemp(prefix="orlop-bench-")
    isolation = {True: ' isolation = "process";', False: ""}
    with open(tmp + "/orlopd.conf", "w", encoding="utf-8") as f:
        f.write('data_dir = "%s/d";\nmodules = ( { module = "%s/tests/modules/good.so";%s }, { module = "%s/tests/modules/asker.so";%s } );\n' % (
            tmp, BUILD, isolation[echo], BUILD, isolation[asker]))
    r, w = os.pipe()
    with open(tmp + "/log", "w", encoding="utf-8") as log:
        p = subprocess.Popen([BUILD + "/orlopd", "-f", "-c", tmp + "/orlopd.conf", "--ready-fd", str(w)], pass_fds=[w], stderr=log)
    os.close(w)
    try:
        if not select.select([r], [], [], 30)[0] or os.read(r, 5) != b"READY":
            with open(tmp + "/log", encoding="utf-8") as f:
                sys.exit(f.read())
        c = Control(tmp + "/d/orlop.sock", 120)
        for clients, size in ((1, 64), (64, 64), (64, 16384)):
            status, m = c.forward("bench/asker", 1, num(1, 20000 if size > 64 else 100000 if clients > 1 else 20000) + num(2, clients) + num(3, size))
            if status < 0:
                sys.exit(str(m))
            doc = json.loads(m[4])
            doc = {"name": "bus, %s" % where, "at_once": clients, "bytes": size, **doc, "floor_us": floor() if clients == 1 else None, "command": COMMAND}
            print(json.dumps({k: v for k, v in doc.items() if v is not None}, separators=(",", ":")))
    finally:
        p.terminate()
        p.wait()
        shutil.rmtree(tmp)


measure("both in the daemon", False, False)
measure("answerer isolated", False, True)
measure("both isolated", True, True)
