#!/usr/bin/env python3
# run: timeout=120
"""Images with hostile content: oci-unpack keeps them inside their layer directory or refuses them."""
import gzip, hashlib, io, json, os, shutil, stat, subprocess, sys, tarfile, tempfile

UNPACK = os.path.join(os.environ.get("builddir", "."), "libexec/oci-unpack")
n = 0
bad = 0


def ok(good, name, extra=""):
    global n, bad
    n += 1
    bad += not good
    print("%sok %d - %s" % ("" if good else "not ", n, name))
    if not good and extra:
        print("# " + extra.replace("\n", "\n# "))


def sha(b):
    return hashlib.sha256(b).hexdigest()


def layer(entries, compress=False):
    """entries: (name, kind, data); a tar, and its plain digest"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, data in entries:
            i = tarfile.TarInfo(name)
            i.mode = 0o755 if kind == "dir" else 0o644
            if kind == "file":
                i.size = len(data)
                t.addfile(i, io.BytesIO(data))
                continue
            i.type = {"dir": tarfile.DIRTYPE, "sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
                      "chr": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}[kind]
            if kind in ("sym", "hard"):
                i.linkname = data
            if kind == "chr":
                i.devmajor, i.devminor = data
            t.addfile(i)
    plain = out.getvalue()
    return (gzip.compress(plain) if compress else plain), sha(plain)


class Image:
    def __init__(self, layers, break_digest=None, break_diff=None, cut=0, config=None):
        self.dir = tempfile.mkdtemp(prefix="orlop-unpack-")
        self.blobs = os.path.join(self.dir, "blobs")
        self.layers = os.path.join(self.dir, "l")
        os.mkdir(self.blobs)
        os.mkdir(self.layers)
        diffs, refs = [], []
        for i, (blob, diff) in enumerate(layers):
            digest = sha(blob)
            if cut:
                blob = blob[:-cut]
            if break_digest == i:
                blob = blob[:-1] + bytes([blob[-1] ^ 1])
            if break_diff == i:
                diff = "0" * 64
            with open(os.path.join(self.blobs, digest), "wb") as f:
                f.write(blob)
            diffs.append("sha256:" + diff)
            refs.append({"digest": "sha256:" + digest, "size": len(blob)})
        text = json.dumps(config or {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]},
                                     "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
        with open(os.path.join(self.blobs, sha(text)), "wb") as f:
            f.write(text)
        with open(os.path.join(self.blobs, "manifest.json"), "w") as f:
            json.dump({"schemaVersion": 2, "config": {"digest": "sha256:" + sha(text)}, "layers": refs}, f)
        self.diffs = diffs

    def run(self):
        p = subprocess.run([UNPACK, "image", self.blobs, self.layers], capture_output=True, text=True,
                           timeout=30)
        self.err = p.stderr
        return p.returncode

    def path(self, i, *parts):
        return os.path.join(self.layers, self.diffs[i][7:31], *parts)

    def left(self):
        return sorted(os.listdir(self.layers))

    def done(self):
        shutil.rmtree(self.dir)


def main():
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return
    # an honest one, gzip and plain, with all kinds of entries
    im = Image([layer([("etc", "dir", None), ("etc/a", "file", b"1"), ("etc/gone", "file", b"x"),
                       ("b", "sym", "/etc/a"), ("c", "hard", "etc/a"), ("d", "fifo", None)], True),
                layer([("etc/.wh.gone", "file", b""), ("opt/.wh..wh..opq", "file", b""),
                       ("opt", "dir", None), ("opt/new", "file", b"n")])])
    ok(im.run() == 0, "an honest image", im.err)
    ok(open(im.path(0, "etc/a")).read() == "1", "its file is there")
    ok(os.readlink(im.path(0, "b")) == "/etc/a", "an absolute link stays a link")
    ok(os.stat(im.path(0, "c")).st_ino == os.stat(im.path(0, "etc/a")).st_ino, "a hard link is one")
    w = os.lstat(im.path(1, "etc/gone"))
    ok(stat.S_ISCHR(w.st_mode) and w.st_rdev == 0, "a whiteout is a character device 0/0")
    ok(os.getxattr(im.path(1, "opt"), "trusted.overlay.opaque") == b"y", "an opaque directory is marked")
    ok(im.run() == 0, "a second time changes nothing", im.err)
    im.done()

    outside = tempfile.mkdtemp(prefix="orlop-outside-")
    victim = os.path.join(outside, "victim")
    with open(victim, "w") as f:
        f.write("untouched")
    up = "../" * 12 + victim[1:]
    hostile = {
        "a path with ..": [(up, "file", b"evil")],
        "an absolute path": [(victim, "file", b"evil")],
        "a link out, then a file through it": [("x", "sym", outside), ("x/victim", "file", b"evil")],
        "a relative link out, then a file through it": [("x", "sym", "../" * 12 + outside[1:]),
                                                        ("x/victim", "file", b"evil")],
        "a hard link out": [("x", "hard", victim), ("x", "file", b"evil")],
        "a whiteout out": [("../" * 12 + outside[1:] + "/.wh.victim", "file", b"")],
        "a whiteout through a link": [("x", "sym", outside), ("x/.wh.victim", "file", b"")],
        "an opaque mark through a link": [("x", "sym", outside), ("x/.wh..wh..opq", "file", b"")],
        "a whiteout of ..": [("d", "dir", None), ("d/.wh...", "file", b"")],
    }
    for name, entries in sorted(hostile.items()):
        im = Image([layer(entries)])
        im.run()
        try:
            marked = os.getxattr(outside, "trusted.overlay.opaque")
        except OSError:
            marked = None
        ok(os.path.isfile(victim) and open(victim).read() == "untouched" and not marked and
           os.listdir(outside) == ["victim"], "%s does nothing outside" % name, im.err)
        ok(not [d for d in im.left() if d.startswith("tmp-")], "%s: nothing half done is left" % name)
        im.done()
    shutil.rmtree(outside)

    refused = {
        "a blob with another digest": dict(break_digest=0),
        "a layer with another diffID": dict(break_diff=0),
        "a truncated blob": dict(cut=200),
        "a config that names no layers": dict(config={"rootfs": {"diff_ids": []}}),
    }
    for name, how in sorted(refused.items()):
        im = Image([layer([("f", "file", b"content" * 1000)], True)], **how)
        ok(im.run() != 0, "%s is refused" % name)
        ok(len(im.err.strip().splitlines()) >= 1 and not im.left(), "%s: with a reason, leaving nothing" % name,
           im.err + str(im.left()))
        im.done()
    print("1..%d" % n)
    sys.exit(bad != 0)


main()
