#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Crash reports: each way to die leaves one that is complete, names the place, and is told at the next start."""
import glob
import os
import re
import shutil
import signal

import kit
from kit import Tap, group

WAYS = [
    (1, "a write to NULL", signal.SIGSEGV, "dying_writes_null"),
    (2, "abort()", signal.SIGABRT, "op_abort"),
    (3, "no stack left", signal.SIGSEGV, "dying_digs"),
    (4, "a jump to NULL", signal.SIGSEGV, "op_jump"),
    (5, "on a worker thread", signal.SIGSEGV, "dying_writes_null"),
    (6, "with a lock held and a broken heap", signal.SIGABRT, "op_locked"),  # or SIGSEGV, as the library finds it
    (7, "behind the end of a file", signal.SIGBUS, "op_bus"),
    (8, "in two threads at once", signal.SIGSEGV, "dying_writes_null"),
]
t = Tap()
d = kit.Daemon([(kit.test_module("dying"), {}), (kit.test_module("good"), {})])


def die(op):
    d.start()
    c = d.control()
    c.forward("echo", 1)
    try:
        c.forward("crash", op)
    except (EOFError, ConnectionError):
        pass
    status = d.proc.wait(30 * kit.FACTOR)
    d.proc = None
    return status


def one(op, what, sig, name):
    old = set(glob.glob(d.data + "/crash/*"))
    status = die(op)
    if op == 6 and status == -signal.SIGSEGV:
        sig = signal.SIGSEGV
    t.eq(status, -sig, "%s: it ends by that signal" % what)
    new = [f for f in glob.glob(d.data + "/crash/*.new")]
    t.eq(len(new), 1, "%s: one report" % what)
    text = open(new[0]).read()
    t.ok(text.startswith("orlopd crashed: signal %d " % sig) and text.endswith("end of the report\n"),
         "%s: it is complete" % what, text)
    frames = text.split("\nframes\n")[1]
    t.ok(re.search(r"/dying\.so\+0x", frames), "%s: the frames have the module" % what, frames)
    t.ok("module test/dying 0.1 ABI" in text and "path " + kit.test_module("dying") in text,
         "%s: modules are named" % what)
    t.ok(re.search(r"^object 0x\w+ build-id \w{8,} .*/dying\.so$", text, re.M), "%s: objects have build-ids" % what)
    t.ok(re.search(r"^bus test/good request .*address=echo op=1", text, re.M), "%s: the last messages are there" % what)
    t.ok(oct(os.stat(new[0]).st_mode & 0o777) == "0o600", "%s: only root may read it" % what)
    if not shutil.which("addr2line"):
        t.skip("%s: show names the function" % what, "no addr2line")
    else:
        code, out, err = d.cli("crash", "show", new[0])
        t.ok(code == 0 and name in out.split("\nframes\n")[-1], "%s: show names the function" % what, out[-3000:] + err)
    said = d.log().count("event=previous_crash")
    d.start()
    t.eq(d.log().count("event=previous_crash"), said + 1, "%s: the next start says so, once" % what)
    t.eq(d.stop(), 0, "%s: and works" % what)
    t.ok(not glob.glob(d.data + "/crash/*.new") and len(glob.glob(d.data + "/crash/*")) == min(len(old) + 1, 11),
         "%s: nothing is new any more" % what, os.listdir(d.data + "/crash"))


def commands():
    code, out, _ = d.cli("crash", "list")
    t.ok(code == 0 and out.count("orlopd crashed: signal") == len(WAYS), "list has them all", out)
    code, out, _ = d.cli("crash", "show")
    t.ok(code == 0 and "orlopd crashed" in out, "show takes the last", out)
    bad = os.path.join(d.dir, "bad")
    with open(bad, "w") as f:
        f.write("orlopd is fine\n\x1b[31m")
    code, _, err = d.cli("crash", "show", bad)
    t.ok(code == 1 and err == "orlop: %s: not a crash report of orlopd\n" % bad, "what is no report is refused", err)
    with open(bad, "w") as f:
        f.write("orlopd crashed: signal 11\n\x1b[31m\n  0x1 /no/such+0x1\nobject x build-id y /no/such\n")
    code, out, _ = d.cli("crash", "show", bad)
    t.ok(code == 0 and "\x1b" not in out and "(the report is not complete)" in out, "half a report is shown, harmless", out)
    code, _, err = d.cli("crash", "show", bad + ".not")
    t.ok(code == 1 and err.count("\n") == 1, "no such file: one line", err)
    code, out, _ = d.cli("crash", "list", data=kit.tempdir())
    t.ok(code == 0 and out == "no crash is known\n", "none: it says so", out)


def isolated():
    """In a process of its own, which may not look into any process: the report tells as much."""
    w = kit.Daemon([])
    with open(w.conf, "w") as f:
        f.write(w.head + 'modules = ( { module = "%s"; isolation = "process"; } );\n' % kit.test_module("dying"))
    w.start()
    status, m = w.control().forward("crash", 1)
    t.ok(status < 0, "isolated: who asked hears of it", (status, m))
    kit.until("the report is there", lambda: [f for f in glob.glob(w.data + "/crash/*.txt") if "\nend of the report\n" in open(f).read()])
    text = open(glob.glob(w.data + "/crash/*.txt")[0]).read()
    t.ok(text.startswith("orlopd crashed: signal 11 ") and text.endswith("end of the report\n"), "isolated: it is complete", text)
    t.ok("module test/dying 0.1 ABI" in text, "isolated: the module is named", text)
    t.ok(re.search(r"^object 0x\w+ build-id \w{8,} .*/dying\.so$", text, re.M) and " build-id none " not in text,
         "isolated: objects have build-ids", text)
    t.ok(re.search(r"stack that point into code\n  0x", text), "isolated: the stack was looked through", text)
    t.ok(re.search(r"^bus .*request .*address=crash op=1", text, re.M), "isolated: the last messages are there", text)
    if not shutil.which("addr2line"):
        t.skip("isolated: show names the function", "no addr2line")
    else:
        code, out, err = w.cli("crash", "show")
        t.ok(code == 0 and "dying_writes_null" in out.split("\nframes\n")[-1], "isolated: show names the function", out[-3000:] + err)
    t.eq(w.stop(), 0, "isolated: the daemon ends in order")


if kit.SANITIZED:
    t.skip("crash reports", "sanitizers have their own")
else:
    for way in WAYS:
        group(t, one, *way)
    group(t, commands)
    group(t, isolated)
t.done()
