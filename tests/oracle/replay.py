#!/usr/bin/env -S python3 -B
# run: timeout=400
"""The same requests to upstream's API server and to ours: what differs, and is not in `differences`, is a failed test.

    replay.py [--oracle] [--record] [--show] [TOPIC...]

Without options the answers of upstream are those recorded in tests/recorded/. --oracle starts upstream's control plane
($ORLOP_PEER, a folder with upstream-up, upstream-down and lib.sh) and asks it; --record writes its answers anew.
--show prints ours. ORLOP_ORACLE=1 in the environment is --oracle. With ORLOP_ORACLE_KUBECONFIG an upstream that runs
already is asked; it must be empty, and keeps what was made.
"""
import fnmatch
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "api"))
from oracle import Peer                             # noqa: E402
from rig import SRCDIR, Api, Daemon, Tap, until     # noqa: E402
import plain                                        # noqa: E402
import script                                       # noqa: E402

RECORDED = os.path.join(SRCDIR, "tests", "recorded")
# what upstream's controllers do, and ours do not, is not asked here: neither of these runs
IDLE = """attachdetach bootstrapsigner tokencleaner cronjob daemonset deployment endpoint endpointslice endpointslicemirroring
horizontalpodautoscaling job nodeipam nodelifecycle persistentvolume-binder persistentvolume-expander podgc pv-protection pvc-protection
replicaset replicationcontroller root-ca-cert-publisher route service statefulset ttl ttl-after-finished""".split()
OURS = ["controllers/" + c for c in ("namespace", "serviceaccount", "resourcequota", "garbage-collector", "disruption")]


# the scripts speak of the versions that came after the oracle
OLD = {"policy/v1": "policy/v1beta1", "discovery.k8s.io/v1": "discovery.k8s.io/v1beta1"}


class Server:
    """Asks one server the steps of a script."""

    def __init__(self, ask, old=None):
        self.ask = ask
        self.old = old or {}
        self.kept = {}

    def put_in(self, text):
        for new, old in self.old.items():
            text = text and re.sub(re.escape(new) + r"(?=/|\"|$)", old, text)
        return text and re.sub(r"\$([A-Za-z]\w*)", lambda m: self.kept.get(m.group(1), m.group()), text)

    def came(self, text):
        for new, old in self.old.items():
            text = text.replace(old, new)
        return text

    def once(self, step):
        a = self.ask(step.method, self.put_in(step.path), self.put_in(step.body),
                     headers={k: self.put_in(v) for k, v in step.headers.items()})
        try:
            return a, json.loads(self.came(a.text))
        except ValueError:
            return a, self.came(a.text)

    def answer(self, step):
        a, body = None, None

        def there():
            nonlocal a, body
            a, body = self.once(step)
            if not step.until:
                return True
            if len(step.until) == 1:
                return a.status == int(step.until[0])
            return str(plain.at(body, step.until[0])) == step.until[1]
        try:
            until("%s: %s" % (step.topic, step.name), there)
        except TimeoutError:
            pass                # the answer tells
        for name, path in step.keep:
            self.kept[name] = str(plain.at(body, path))
        got = {"status": a.status, "body": plain.plain(body, step, self.kept)}
        w = [v for k, v in a.headers.items() if k.lower() == "warning"]
        if w:
            got["warnings"] = w
        return json.loads(json.dumps(got))


class Oracle:
    """Upstream's control plane, for as long as this runs."""

    def __init__(self):
        self.dir = None
        kubeconfig = os.environ.get("ORLOP_ORACLE_KUBECONFIG")
        if not kubeconfig:
            self.dir = os.environ["ORLOP_PEER"]
            args = "--controllers=" + ",".join("-" + c for c in IDLE)
            for again in range(3):      # its controllers give up when its API server is slow to start
                subprocess.run([self.dir + "/upstream-up", "--control-plane-only"], check=True, stderr=subprocess.DEVNULL,
                               env=dict(os.environ, KCM_ARGS=args))
                if again == 2 or self.lib('alive kcm "$UP/run" && echo yes'):
                    break
                self.end()
            kubeconfig = self.lib('echo "$UP/kubeconfig"').strip()
            self.lib('stop scheduler "$UP/run"')
        self.ask = Peer(kubeconfig)

    def lib(self, words):
        return subprocess.run(["bash", "-c", '. "$0/lib.sh"; eval "$*"', self.dir, words], check=False, text=True,
                              stdout=subprocess.PIPE).stdout

    def end(self):
        if self.dir:
            subprocess.run([self.dir + "/upstream-down", "--wipe"], check=False)


class Rules:
    """What may differ: lines STEP | PATH | OUR VALUE, with a reason above each group."""

    def __init__(self, path):
        self.rules = []
        with open(path) as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    r = [x.strip() for x in line.split(" | ", 2)]
                    self.rules.append((self.glob(r[0]), self.glob(r[1]), self.glob(r[2]) if len(r) > 2 else None, line.strip()))
        self.used = set()

    @staticmethod
    def glob(text):
        return re.compile(re.escape(text).replace(r"\*", ".*") + "$", re.S)

    def allow(self, step, path, ours):
        ours = "absent" if ours is plain.ABSENT else json.dumps(ours, sort_keys=True)
        for s, p, v, line in self.rules:
            if s.match(step) and p.match(path) and (v is None or v.match(ours)):
                self.used.add(line)
                return True
        return False


def main():
    args = sys.argv[1:]
    options = {a for a in args if a.startswith("--")}
    topics = sorted(os.path.basename(f)[:-4] for f in glob.glob(os.path.join(HERE, "*.req")))
    asked = [a for a in args if not a.startswith("--")]
    chosen = [x for x in topics if not asked or any(fnmatch.fnmatch(x, a) for a in asked)]
    tap = Tap()
    live = options & {"--oracle", "--record"} or os.environ.get("ORLOP_ORACLE")
    oracle = Oracle() if live else None
    try:
        rules = Rules(os.path.join(HERE, "differences"))
        daemon = Daemon(modules=OURS).start()
        api = Api(daemon)
        for topic in chosen:
            replay(tap, topic, api, oracle, rules, options)
        if not asked:
            for r in rules.rules:
                if r[3] not in rules.used:
                    print("# no longer differs: " + r[3])
        tap.ok(daemon.alive() and daemon.stop() == 0, "the daemon ends well")
    finally:
        if oracle:
            oracle.end()
    tap.done()


def replay(tap, topic, api, oracle, rules, options):
    steps = script.load(topic, os.path.join(HERE, topic + ".req"))
    path = os.path.join(RECORDED, "oracle-%s.json" % topic)
    mine, theirs = Server(api), Server(oracle.ask, OLD) if oracle else None
    for s in (mine, theirs):
        if s:
            s.kept["NS"] = topic
    if oracle:
        want = {s.name: theirs.answer(s) for s in steps}
        if "--record" in options:
            with open(path, "w") as f:
                f.write(plain.pretty(want) + "\n")
    else:
        with open(path) as f:
            want = json.load(f)
    api.close()         # it may have been idle for long
    for s in steps:
        got, w = mine.answer(s), want.get(s.name)
        if "--show" in options:
            print("# " + plain.pretty({s.name: got}).replace("\n", "\n# "))
        name = "%s/%s" % (topic, s.name)
        bad = [(p, a, b) for p, a, b in plain.differ(w, got) if not rules.allow(name, p, b)]
        tap.ok(not bad, name, "\n".join("%s\n  upstream %s\n  ours     %s" % (p, show(a), show(b)) for p, a, b in bad))


def show(v):
    return "absent" if v is plain.ABSENT else json.dumps(v, sort_keys=True)[:900]


if __name__ == "__main__":
    main()
