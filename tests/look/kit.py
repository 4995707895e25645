"""An orlopd with modules of one's choice, without keys and certificates: for tests of looking inside and of faults."""
import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "api"))
sys.path.insert(0, os.path.join(HERE, "..", "runtime"))
import ctl                                              # noqa: E402
from rig import BUILDDIR, FACTOR, Tap, group, say, until        # noqa: E402,F401

ORLOP = os.path.join(BUILDDIR, "orlop")
ORLOPD = os.path.join(BUILDDIR, "orlopd")
SANITIZED = any(w in os.environ.get("SANITIZERS", "") for w in ("address", "thread"))


def tempdir():
    d = tempfile.mkdtemp(prefix="orlop-look.")
    atexit.register(shutil.rmtree, d, True)
    return d


def test_module(name):
    return os.path.join(BUILDDIR, "tests", "modules", name + ".so")


def quoted(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    return str(v) if isinstance(v, int) else '"%s"' % v


class Daemon:
    """modules: (module, {parameter: value}) each. Nothing of it outlives the program."""

    def __init__(self, modules, directory=None, log_level="info", head=""):
        self.dir = directory or tempdir()
        self.data = os.path.join(self.dir, "data")
        self.conf = os.path.join(self.dir, "orlopd.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.proc = None
        self.head = 'data_dir = "%s"; log_level = "%s"; module_dir = "%s/modules"; control = "%s/c"; %s\n' % (
            self.data, log_level, BUILDDIR, self.dir, head)
        self.modules(modules)
        atexit.register(self.kill)
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, lambda n, f: sys.exit(1))

    def modules(self, modules):
        with open(self.conf, "w") as f:
            f.write(self.head + "modules = (\n" + ",\n".join(
                ' { module = "%s"; params = { %s }; }' % (m, " ".join("%s = %s;" % (k, quoted(v)) for k, v in p.items()))
                for m, p in modules) + "\n);\n")
        os.makedirs(self.data, exist_ok=True)
        with open(os.path.join(self.data, "setup.json"), "w") as f:
            json.dump({"control": os.path.join(self.dir, "c")}, f)

    def start(self, prefix=(), env=None, wait=True):
        r, w = os.pipe()
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen([*prefix, ORLOPD, "-f", "-c", self.conf, "--ready-fd", str(w)], pass_fds=(w,),
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        os.close(w)
        try:
            ready, _, _ = select.select([r], [], [], 30 * FACTOR)
            word = os.read(r, 16) if ready else b""
        finally:
            os.close(r)
        if not word.startswith(b"READY") and wait:
            raise RuntimeError("orlopd did not become ready: " + self.log()[-2000:])
        return self

    def control(self, timeout=30):
        return ctl.Control(os.path.join(self.dir, "c"), timeout * FACTOR)

    def cli(self, *args, timeout=60, data=None):
        """exit code, output, errors"""
        r = subprocess.run([ORLOP, *args, "--data-dir", data or self.data], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=timeout * FACTOR)
        return r.returncode, r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace")

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def stop(self):
        """In order; the exit status."""
        if self.proc is None:
            return None
        self.proc.terminate()
        try:
            r = self.proc.wait(60 * FACTOR)
        except subprocess.TimeoutExpired:
            self.kill()
            return "hangs"
        self.proc = None
        return r

    def kill(self):
        if self.proc is not None:
            self.proc.kill()
            self.proc.wait()
            self.proc = None
