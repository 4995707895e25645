#!/usr/bin/env -S python3 -B
# run: timeout=400
"""orlop snapshot save|restore|info and orlop storage check: hot, whole or not at all, damage told and survived."""
import glob
import os
import random
import re
import struct
import subprocess
import threading
import time

import kit
from kit import Tap, ctl, group

RANGE, TXN, CHANGES, REVISION, COMPACT, SNAPSHOT, RESTORE, STATUS, CHECK = range(1, 10)
t = Tap()
tmp = kit.tempdir()
N = 0


def record(name, uid, extra="", ns="default", meta=""):
    """as abi/orlop/record.h has it"""
    json = '"metadata":{"name":"%s","namespace":"%s","uid":"%s","creationTimestamp":"2026-01-01T00:00:00Z"%s},"data":{"x":"%s"}' % (
        name, ns, uid, meta, extra)
    json = json.encode()
    return struct.pack("<IHHHHIIIIIII", 0x31524f4c, 40, 1, 0, 0, 1, 0, len(json), 12, 0, 0, 0) + json


def op(key, value):
    f = ctl.text(18, key) + (ctl.text(19, value) if value is not None else b"")
    return ctl.field(17, 3, f)


def put(c, key, value):
    status, m = c.forward("storage", TXN, op(key, value))
    if status < 0 or m.get(22) != 1:
        raise RuntimeError("put %r: %d %r" % (key, status, m))
    return m[3]


def fill(c, n=60, seed=1):
    rng = random.Random(seed)
    for i in range(n):
        put(c, "configmaps/default/c%03d" % i, record("c%03d" % i, "uid-%d" % i, "v" * rng.randrange(3000)))
    for i in range(0, n, 3):
        put(c, "configmaps/default/c%03d" % i, record("c%03d" % i, "uid-%d" % i, "again"))
    for i in range(1, n, 7):
        put(c, "configmaps/default/c%03d" % i, None)
    put(c, "!private", b"anything")


def everything(c):
    """{key: (mod, create, value)}"""
    out, start = {}, b"\0"
    while True:
        status, m = c.forward("storage", RANGE, ctl.text(1, start) + ctl.text(2, b""))
        items = m.get(6, b"")
        p = 0
        while p < len(items):
            mod, create, _, kl, vl = struct.unpack_from("<QQQII", items, p)
            key = items[p + 32:p + 32 + kl]
            out[key] = (mod, create, items[p + 32 + kl:p + 32 + kl + vl])
            start = key + b"\0"
            p += (32 + kl + vl + 7) & ~7
        if not m.get(7):
            return out


def lmdb(path=None):
    d = kit.Daemon([], directory=kit.tempdir())
    d.modules([("storage/lmdb", {"path": path or d.data + "/db/data.mdb", "map_mb": 1024})])
    import json
    json.dump({"control": d.dir + "/c", "config": d.conf}, open(d.data + "/setup.json", "w"))
    return d


def memory():
    d = kit.Daemon([], directory=kit.tempdir())
    d.modules([("storage/memory", {})])
    import json
    json.dump({"control": d.dir + "/c", "config": d.conf}, open(d.data + "/setup.json", "w"))
    return d


def refused(d, what, *args, want, code=1):
    r, out, err = d.cli(*args)
    return t.ok(r == code and want in err and err.count("\n") == 1 and err.startswith("orlop: "), what,
                "code %s\n%s%s" % (r, out, err))


def hot():
    """A file of one revision, made while writes go on."""
    d = lmdb().start()
    c = d.control()
    fill(c)
    for i in range(300):        # enough to take a while
        put(c, "secrets/default/s%03d" % i, record("s%03d" % i, "suid-%d" % i, "s" * 20000))
    stop, acked, bad = threading.Event(), [], []

    def write():
        try:
            w = d.control()
            i = 0
            while not stop.is_set():
                # two keys in one transaction: a snapshot has both or none
                v = ("%d" % i).encode()
                status, m = w.forward("storage", TXN, op("!pair/a", v) + op("!pair/b", v))
                acked.append(m[3])
                i += 1
        except Exception as e:      # noqa
            bad.append(e)
    th = threading.Thread(target=write)
    th.start()
    f = os.path.join(tmp, "hot")
    for i in range(5):
        end = time.monotonic() + 60
        while True:     # again if who writes stood still just then
            n = len(acked)
            code, out, err = d.cli("snapshot", "save", f, *(["--force"] if os.path.exists(f) else []))
            if code or len(acked) > n or time.monotonic() > end:
                break
        t.ok(code == 0 and len(acked) > n, "saved while %d writes went on" % (len(acked) - n), out + err)
    stop.set()
    th.join()
    t.ok(not bad, "no write failed", bad)
    refused(d, "a file is not overwritten", "snapshot", "save", f, want="exists; --force replaces it")
    t.eq(sorted(os.listdir(tmp)), ["hot"], "nothing else is left")
    t.ok(oct(os.stat(f).st_mode & 0o777) == "0o600", "only root can read it")
    code, out, _ = d.cli("storage", "check")
    t.ok(code == 0 and "all is well" in out, "the store is whole, while it runs", out)
    t.eq(d.stop(), 0, "ends")
    code, out, _ = d.cli("storage", "check")
    t.ok(code == 0 and "all is well" in out and "the module's own tables" in out, "and afterwards", out)
    e = lmdb()
    code, out, err = e.cli("snapshot", "restore", f)
    t.ok(code == 0 and "are back" in out, "restored into a new directory", out + err)
    e.start()
    a = everything(e.control())
    t.ok(a[b"!pair/a"][2] == a[b"!pair/b"][2] and a[b"!pair/a"][0] == a[b"!pair/b"][0],
         "it is one revision", (a[b"!pair/a"], a[b"!pair/b"]))
    e.stop()
    return f


def there_and_back():
    """From each storage into each: the same keys, revisions and values; numbering goes on above."""
    src = lmdb().start()
    fill(src.control())
    f1 = os.path.join(tmp, "from-lmdb")
    t.eq(src.cli("snapshot", "save", f1)[0], 0, "saved from lmdb")
    want = everything(src.control())
    rev = src.control().forward("storage", REVISION)[1][3]
    src.stop()
    mem = memory().start()
    code, out, err = mem.cli("snapshot", "restore", f1)
    t.ok(code == 0, "restored into memory, which runs", out + err)
    t.eq(everything(mem.control()), want, "the same keys, revisions and values")
    refused(mem, "once only", "snapshot", "restore", f1, want="its store is not empty")
    code, out, _ = mem.cli("storage", "check")
    t.ok(code == 0 and "all is well" in out, "check works on memory", out)
    now = mem.control().forward("storage", REVISION)[1]
    t.ok(now[3] > rev + 1000, "revisions begin far above what is known", now)
    f2 = os.path.join(tmp, "from-memory")
    t.eq(mem.cli("snapshot", "save", f2)[0], 0, "saved from memory")
    t.eq(mem.stop(), 0, "memory ends")
    refused(mem, "memory does not run", "snapshot", "restore", f2, want="keeps nothing")
    d = lmdb()
    t.eq(d.cli("snapshot", "restore", f2)[0], 0, "restored into lmdb")
    d.start()
    c = d.control()
    t.eq(everything(c), want, "the same again")
    status, m = c.forward("storage", CHANGES, ctl.num(3, rev))
    t.eq(status, -116, "who waits for an old revision is told to begin anew (%s)" % m.get(4))
    last = c.forward("storage", REVISION)[1][3]
    t.ok(put(c, "configmaps/default/new", record("new", "uid-new")) > last, "writing goes on above")
    put(c, "configmaps/default/c003", None)
    d.kill()                    # an unclean end: numbers up to the ceiling may have been given out
    refused(d, "a store that is there is not replaced", "snapshot", "restore", f1, want="--force puts it aside")
    code, out, err = d.cli("snapshot", "restore", f1, "--force")
    t.ok(code == 0 and "the store that was there: " in out, "unless it must be, then it is kept", out + err)
    aside = glob.glob(d.data + "/db/data.mdb.before-restore-*")
    t.ok(len(aside) == 1, "aside", os.listdir(d.data + "/db"))
    d.start()
    now = d.control().forward("storage", REVISION)[1][3]
    t.ok(now > last + 2, "numbering goes on above what was given out since", (now, last))
    t.eq(everything(d.control()), want, "with what the snapshot has")
    refused(d, "not while it runs", "snapshot", "restore", f1, "--force", want="orlopd runs")
    d.stop()
    old = lmdb(aside[0])
    old.start()
    t.ok(b"configmaps/default/new" in everything(old.control()), "the one aside has what came later")
    old.stop()
    return f1


def bad_files(good):
    """Files that are no snapshot, or not whole: one line, and nothing has changed."""
    whole = open(good, "rb").read()
    d = lmdb().start()
    put(d.control(), "configmaps/default/mine", record("mine", "u"))
    d.stop()
    before = open(d.data + "/db/data.mdb", "rb").read()
    rng = random.Random(7)
    f = os.path.join(tmp, "bad")
    files = [("empty", b""), ("text", b"hello\n"), ("zeros", bytes(5000)), ("noise", rng.randbytes(100000)),
             ("a program", open("/bin/true", "rb").read()), ("the head alone", whole[:64]), ("half a head", whole[:30]),
             ("a newer format", whole[:8] + struct.pack("<I", 9) + whole[12:]),
             ("one byte more", whole + b"x"), ("one byte less", whole[:-1]), ("twice", whole + whole)]
    files += [("cut at %d" % n, whole[:n]) for n in sorted(rng.randrange(64, len(whole)) for _ in range(25))]
    for i in range(60):
        p, b = rng.randrange(len(whole)), 1 << rng.randrange(8)
        files.append(("bit %d of byte %d" % (b, p), whole[:p] + bytes([whole[p] ^ b]) + whole[p + 1:]))
    bad = []
    for what, content in files:
        with open(f, "wb") as out:
            out.write(content)
        harmless = what.startswith("bit") and content[24:64] != whole[24:64]       # the time and who wrote it: still summed
        for args in (("snapshot", "info", f), ("snapshot", "restore", f, "--force")):
            r = subprocess.run([kit.ORLOP, *args] + ([] if args[1] == "info" else ["--data-dir", d.data]),
                               capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
            err = r.stderr.decode("utf-8", "replace")
            if r.returncode != 1 or err.count("\n") != 1 or not err.startswith("orlop: "):
                bad.append((what, args[1], r.returncode, err, harmless))
    t.eq(bad, [], "%d damaged files are refused in one line, by info and by restore" % len(files))
    t.ok(open(d.data + "/db/data.mdb", "rb").read() == before, "the store is as it was")
    t.eq([x for x in os.listdir(d.data + "/db") if "restor" in x], [], "nothing is left beside it")
    refused(d, "no such file", "snapshot", "restore", f + ".not", want="No such file")
    refused(d, "a directory", "snapshot", "restore", tmp, want="Is a directory")
    refused(d, "save into no directory", "snapshot", "save", tmp + "/no/such", want="No such file")
    refused(d, "save over a directory", "snapshot", "save", tmp, "--force", want="not a regular file")
    os.unlink(f)


def elsewhere(good):
    """Into a data directory in which nothing is yet: the next machine."""
    d = lmdb()
    info = subprocess.run([kit.ORLOP, "snapshot", "info", good], capture_output=True, timeout=60 * kit.FACTOR).stdout.decode()
    n = int(re.search(r"^keys +(\d+)$", info, re.M)[1])
    new = os.path.join(kit.tempdir(), "new")
    code, out, err = d.cli("snapshot", "restore", good, data=new)
    t.ok(code == 0 and out.startswith("%d keys of revision " % n) and "go on:  orlop up --data-dir " + new in out,
         "into a directory that is not there", out + err)
    t.ok(os.stat(new).st_mode & 0o777 == 0o700 and os.path.exists(new + "/db/data.mdb"), "it is made, where up will look for it")
    r, out, err = d.cli("snapshot", "restore", good + ".not", data=new + "2")
    t.ok(r == 1 and err.count("\n") == 1 and not os.path.exists(new + "2"), "nothing is made if there is no snapshot", err)
    # as up will find it
    d.modules([("storage/lmdb", {"path": new + "/db/data.mdb", "map_mb": 1024})])
    d.start()
    t.eq(len(everything(d.control())), n, "all of it is there")
    t.eq(d.stop(), 0, "ends")


def full_disk():
    """No space while saving: the old file stays."""
    small = os.path.join(tmp, "small")
    os.mkdir(small)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small],
                                      stderr=subprocess.DEVNULL).returncode:
        t.skip("a full disk", "cannot mount")
        return
    try:
        d = lmdb().start()
        c = d.control()
        f = os.path.join(small, "snap")
        put(c, "configmaps/default/a", record("a", "u"))
        t.eq(d.cli("snapshot", "save", f)[0], 0, "it fits")
        old = open(f, "rb").read()
        for i in range(40):
            put(c, "configmaps/default/b%d" % i, record("b%d" % i, "u%d" % i, "x" * 20000))
        refused(d, "then it does not", "snapshot", "save", f, "--force", want="No space left on device")
        t.ok(open(f, "rb").read() == old and os.listdir(small) == ["snap"], "the old file stays, whole", os.listdir(small))
        t.eq(d.stop(), 0, "nothing else happened")
    finally:
        subprocess.run(["umount", small])


def check_objects():
    """What is wrong is said by key."""
    d = lmdb().start()
    c = d.control()
    put(c, "configmaps/default/good", record("good", "u1"))
    put(c, "configmaps/default/twin", record("twin", "u1"))
    put(c, "configmaps/default/other", record("name", "u3"))
    put(c, "configmaps/default/nojson", record("nojson", "u4")[:-5] + b"}}}}}")
    put(c, "configmaps/default/short", b"LOR1")
    put(c, "configmaps/default/magic", b"x" * 100)
    put(c, "configmaps/default/long", record("long", "u5") + b"more")
    put(c, "configmaps/default/nouid", record("nouid", ""))
    put(c, "configmaps/default/rv", record("rv", "u6", meta=',"resourceVersion":"5"'))
    put(c, "spaceships/default/x", record("x", "u7"))
    put(c, "nokey", record("x", "u8"))
    put(c, "configmaps/default/\x1b[31m", record("x", "u9"))
    want = ["configmaps/default/twin: has the uid of configmaps/default/good", 'configmaps/default/other: its name is "name"',
            "configmaps/default/nojson: its JSON cannot be read", "configmaps/default/short: 4 bytes are no record",
            "configmaps/default/magic: not a record", "configmaps/default/long: its parts have",
            "configmaps/default/nouid: it has no uid", "configmaps/default/rv: it has a resourceVersion of its own",
            "spaceships/default/x: no such resource: spaceships", "nokey: not a key of an object",
            "configmaps/default/\\x1b[31m: its name is"]
    for when in ("while it runs", "afterwards"):
        code, out, err = d.cli("storage", "check")
        t.ok(code == 1 and not err, "check finds something " + when, err)
        t.eq([w for w in want if w not in out], [], "all of it")
        t.ok(out.endswith("%d problems found\n" % len(want)) and "default/good:" not in out and "\x1b" not in out,
             "and nothing else", out)
        d.stop()


def bit_flips(n):
    """Damage in the database file: told, or without consequence; never a crash of what asks."""
    d = lmdb().start()
    fill(d.control(), 40)
    d.stop()
    path = d.data + "/db/data.mdb"
    code, out, _ = d.cli("storage", "check")
    t.ok(code == 0, "whole at first", out)
    whole = open(path, "rb").read()
    rng = random.Random(11)
    told = died = silent = 0
    bad = []
    for i in range(n):
        pos, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
        with open(path, "r+b") as f:
            f.seek(pos)
            f.write(bytes([whole[pos] ^ bit]))
        r, out, err = d.cli("storage", "check")
        if r == 0:
            silent += 1
        elif r == 1 and (out or err) and "\x1b" not in out:
            told += 1
            died += "ended with signal" in out
        else:
            bad.append((pos, bit, r, out[-200:], err[-200:]))
        with open(path, "r+b") as f:
            f.seek(pos)
            f.write(bytes([whole[pos]]))
    t.eq(bad, [], "%d flipped bits: %d told (%d by the end of the process that reads), %d in places nobody reads" %
         (n, told, died, silent))
    t.ok(told > n / 4, "most of what matters is found")
    # a value is damaged where JSON does not notice: the checksum does
    runs = [m.start() for m in re.finditer(b"v{100,}", whole)]      # some in pages that are free again
    with open(path, "r+b") as f:
        for at in runs:
            f.seek(at)
            f.write(b"w")
    r, out, _ = d.cli("storage", "check")
    t.ok(r == 1 and "its checksum is another" in out and "configmaps/default/c" in out, "a letter in a value is found", out)
    for size in (0, 100, 4096, 8192, len(whole) // 2):
        with open(path, "wb") as f:
            f.write(whole[:size])
        r, out, err = d.cli("storage", "check")
        t.ok(r == 1 and (out or err), "cut off at %d: told" % size, (r, out, err))
    for junk in (b"no database\n" * 1000, rng.randbytes(len(whole))):
        with open(path, "wb") as f:
            f.write(junk)
        r, out, err = d.cli("storage", "check")
        t.ok(r == 1 and "is not a database of orlop; restore a snapshot" in out + err, "not a database: told", (r, out, err))
    os.unlink(path)
    r, out, err = d.cli("storage", "check")
    t.ok(r == 1 and (out + err).count("\n") <= 2 and "data.mdb: No such file" in out + err, "no file: told", (r, out, err))
    empty = kit.tempdir()
    r, out, err = d.cli("storage", "check", data=empty)
    t.ok(r == 1 and "was Orlop ever up here?" in err, "no configuration: told", err)
    t.eq(os.listdir(empty), [], "and nothing is made")


group(t, hot)
good = os.path.join(tmp, "from-lmdb")
group(t, there_and_back)
if os.path.exists(good):
    group(t, bad_files, good)
    group(t, elsewhere, good)
group(t, full_disk)
group(t, check_objects)
group(t, bit_flips, int(os.environ.get("LOOK_FLIPS", "60")))
t.done()
