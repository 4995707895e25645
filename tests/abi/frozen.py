#!/usr/bin/env python3
# run: timeout=120
"""Modules written for a frozen ABI, built from its headers, load and serve in today's core: for each
tests/abi/MAJOR.MINOR/ the sources in modules/ with include/."""
import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

srcdir = os.environ.get("srcdir") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
builddir = os.environ.get("builddir", ".")
sys.path.insert(0, os.path.join(srcdir, "tests", "runtime"))
import ctl  # noqa: E402

n = bad = 0


def ok(true, what, more=""):
    global n, bad
    n += 1
    print(f"{'ok' if true else 'not ok'} {n} - {what}", flush=True)
    if not true:
        bad = 1
        for line in str(more).splitlines()[-20:]:
            print("#", line)
    return true


def try_one(d, tmp):
    abi = os.path.basename(d)
    cc = shlex.split(os.environ.get("CC", "cc"))
    built = {}
    for c in sorted(glob.glob(os.path.join(d, "modules", "*.c"))):
        so = os.path.join(tmp, os.path.basename(c)[:-2] + ".so")
        r = subprocess.run(cc + ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Werror", "-fPIC", "-fvisibility=hidden", "-shared",
                                 "-Wl,-z,defs", "-I", os.path.join(d, "include"), "-o", so, c, "-lpthread"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if not ok(r.returncode == 0, f"ABI {abi}: {os.path.basename(c)} builds from its headers", r.stdout):
            return
        built[os.path.basename(c)[:-2]] = so
    conf = os.path.join(tmp, "orlopd.conf")
    with open(conf, "w", encoding="utf-8") as f:
        mods = ",\n".join('\t{ module = "%s"; }' % so for so in built.values())
        f.write(f'data_dir = "{tmp}/data";\nmodules = (\n{mods}\n);\n')
    r, w = os.pipe()
    with open(os.path.join(tmp, "log"), "w+", encoding="utf-8") as log:
        p = subprocess.Popen([os.path.join(builddir, "orlopd"), "-f", "-c", conf, "--ready-fd", str(w)],
                             pass_fds=[w], stderr=log)
        os.close(w)
        try:
            said = os.fdopen(r).read(5)
            log.seek(0)
            if ok(said == "READY", f"ABI {abi}: they load", log.read()):
                c = ctl.Control(os.path.join(tmp, "data", "orlop.sock"))
                status, m = c.forward("test/caller", 1, ctl.text(7, "round and round"))
                ok(status == 0 and m.get(7) == b"round and round", f"ABI {abi}: one asks the other", (status, m))
                _, m = c.call(2)
                states = m.get(3, b"").decode()
                ok(states.count('"state":"ready"') == len(built), f"ABI {abi}: all are ready", states)
        finally:
            p.terminate()
            code = p.wait(60)
        ok(code == 0, f"ABI {abi}: and unload in order")
        log.seek(0)
        text = log.read()
        ok("module_left" not in text, f"ABI {abi}: leaving nothing", text)


for d in sorted(glob.glob(os.path.join(srcdir, "tests", "abi", "[0-9]*"))):
    tmp = tempfile.mkdtemp()
    try:
        try_one(d, tmp)
    finally:
        shutil.rmtree(tmp)
print(f"1..{n}" if n else "1..0 # SKIP no ABI is frozen yet")
sys.exit(bad)
