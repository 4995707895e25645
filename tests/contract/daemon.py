"""orlopd with one module, for contracts that need the kernel: TAP, a daemon of its own in a temporary directory, killed
and started again, and what must not be left."""
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("srcdir") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("builddir", "."))
sys.path.append(os.path.join(SRC, "tests", "runtime"))
ORLOPD = os.environ.get("ORLOPD") or BUILD + "/orlopd"
MODULES = os.environ.get("ORLOP_MODULES") or BUILD + "/modules"
from ctl import Control  # noqa: E402

count = failed = 0


def until(cond, seconds=60):
    """What @cond says when it is true, or too late; for states that nobody announces (files, cgroups, a log)"""
    end = time.monotonic() + seconds
    while not cond() and time.monotonic() < end:
        time.sleep(0.02)
    return cond()


def ok(good, name, extra=""):
    global count, failed
    count += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", count, name))
    if not good and extra != "":
        print("# %s" % str(extra)[:2000].replace("\n", "\n# "))
    sys.stdout.flush()
    return good


def skip_all(why):
    print("1..0 # SKIP %s" % why)
    sys.exit(0)


def done():
    print("1..%d" % count)
    sys.exit(failed != 0)


class Daemon:
    """@params: {name: value}; text is quoted, numbers and truths are not."""

    def __init__(self, module, params, isolation=None):
        self.root = tempfile.mkdtemp(prefix="orlop-contract-")
        self.sock = self.root + "/o.sock"
        self.p = None
        os.mkdir(self.root + "/d")
        values = " ".join("%s = %s;" % (k, v if isinstance(v, int) else '"%s"' % v.replace("@", self.root))
                          for k, v in params.items())
        with open(self.root + "/orlop.conf", "w", encoding="utf-8") as f:
            f.write('data_dir = "%s/d"; module_dir = "%s"; control = "%s";\nmodules = ( { module = "%s"; %sparams = { %s }; } );\n' % (
                self.root, MODULES, self.sock, module, 'isolation = "%s"; ' % isolation if isolation else "", values))

    def start(self):
        r, w = os.pipe()
        with open(self.root + "/log", "a", encoding="utf-8") as log:
            self.p = subprocess.Popen([ORLOPD, "-f", "-c", self.root + "/orlop.conf", "--ready-fd", str(w)],
                                      pass_fds=(w,), stderr=log)
        os.close(w)
        said = select.select([r], [], [], 60)[0] and os.read(r, 16)
        os.close(r)
        if not said:
            raise RuntimeError(self.log())
        self.c = Control(self.sock)

    def log(self):
        with open(self.root + "/log", encoding="utf-8") as f:
            return f.read()

    def control(self):
        """another connection: requests of one wait for each other"""
        return Control(self.sock)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        return self.p.wait(60)

    def mounts(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            return [line.split()[4] for line in f if self.root in line]

    def end(self):
        if self.p and self.p.poll() is None:
            self.kill()
        subprocess.run(["pkill", "-9", "-f", self.root + "/"], check=False)
        for m in reversed(self.mounts()):
            subprocess.run(["umount", "-l", m], check=False)
        shutil.rmtree(self.root, ignore_errors=True)


def arguments(default_module, default_params):
    """MODULE.so [param=value …] of the command line, or ours"""
    if len(sys.argv) < 2:
        return default_module, default_params
    params = {}
    for a in sys.argv[2:]:
        k, _, v = a.partition("=")
        params[k] = int(v) if v.lstrip("-").isdigit() else v
    return os.path.abspath(sys.argv[1]), params
