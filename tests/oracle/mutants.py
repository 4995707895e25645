#!/usr/bin/env -S python3 -B
# run: timeout=400
"""Objects with one field wrong, to upstream's API server and to ours: codes, reasons, causes and what is made of them.

    mutants.py [--oracle] [--record] [--groups] [KIND...]

mutants.obj has the objects, mutate.py makes the mutants; each is sent as a creation, as an update of the object as it
was, and as an update of its status, all as dry runs. Without options the answers of upstream are those in
tests/recorded/mutants.json. --oracle asks it (as replay.py does) about all there are, thousands, and sums up;
--record writes the answers to those already recorded, to the first with each cause and to a sample of the others; not to
those that differ. What may differ stands in `excuses`, in the form of replay.py's `differences`. --groups shows differences by field.
"""
import collections
import fnmatch
import http.client
import json
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "api"))
from oracle import Peer                             # noqa: E402
from rig import SRCDIR, Answer, Api, Daemon, Tap, until     # noqa: E402
import mutate                                       # noqa: E402
import plain                                        # noqa: E402
import replay                                       # noqa: E402
import script                                       # noqa: E402

RECORDED = os.path.join(SRCDIR, "tests", "recorded", "mutants.json")
SAMPLE = 60             # of those that do not differ every so manieth is recorded
COMMON = ("configmaps", "pods, small")      # of these metadata is looked at, too


class Kept(Peer):
    """Upstream, by one connection."""

    conn = None

    def __call__(self, method, path, body=None, headers=None, type=None):
        for again in (False, True):
            if not self.conn:
                self.conn = http.client.HTTPSConnection(self.host, int(self.port), context=self.ctx, timeout=60)
            try:
                self.conn.request(method, path, body.encode() if isinstance(body, str) else body,
                                  dict({"Accept": "application/json", "User-Agent": self.agent,
                                        "Content-Type": type or "application/json"}, **headers or {}))
                r = self.conn.getresponse()
                return Answer(r.status, r.headers, r.read())
            except (http.client.HTTPException, OSError):
                self.conn.close()
                self.conn = None
                if again:
                    raise
        return None


def compact(status, body, base, step, kept):
    """An answer in short: what was refused and why, or what differs from the answer to the unchanged object."""
    body = plain.plain(body, step, kept)
    if status < 300:
        # what is empty in one version is absent in another
        return {"status": status, "changes": {p: "absent" if b is plain.ABSENT else b for p, a, b in plain.differ(base, body)}}
    if not isinstance(body, dict):
        return {"status": status, "message": str(body)}
    causes = {}
    for c in (body.get("details") or {}).get("causes") or ():
        key = "%s %s" % (c.get("field", ""), c.get("reason", ""))
        c["message"] = c.get("message", "").split("\n")[0]      # behind it are the differences as Go shows them
        while causes.get(key, c.get("message", "")) != c.get("message", ""):     # some are said twice
            key += "'"
        causes[key] = c.get("message", "")
    out = {"status": status, "reason": body.get("reason")}
    out.update({"causes": causes} if causes else {"message": body.get("message")})
    return out


class Side:
    """One of the two servers."""

    def __init__(self, ask, old=None):
        self.server = replay.Server(ask, old)
        self.server.kept = {"NS": "mutants", "CSR": csr()}
        for path, body in (("/api/v1/namespaces", {"metadata": {"name": "mutants"}}),
                           ("/api/v1/namespaces/mutants/serviceaccounts", {"metadata": {"name": "default"}})):
            self.send("POST", path, body)

    def send(self, method, path, body):
        step = script.Step("mutants", ["## x", method + " " + path])
        step.body = json.dumps(body) if body is not None else None
        return self.server.once(step)

    def dry(self, method, path, body):
        return self.send(method, path + "?dryRun=All", body)

    def prepare(self, step, part):
        """What a mutation is made of, and what comes of it unchanged."""
        self.step, self.part = step, part
        self.obj = json.loads(self.server.put_in(step.body))
        self.method, self.path = "POST", step.path
        if part != "create":
            a, body = self.send("GET", step.path + "/" + self.obj["metadata"]["name"], None)
            if a.status != 200:
                raise RuntimeError("%s: %s" % (step.name, a))
            status = self.obj.get("status")
            self.obj = body
            self.method, self.path = "PUT", step.path + "/" + self.obj["metadata"]["name"]
            if part == "status":
                self.path += "/status"
                self.obj["status"] = status
        a, body = self.dry(self.method, self.path, self.obj)
        self.base = plain.plain(body, step, self.server.kept) if a.status < 300 else {}
        return compact(a.status, body, {}, step, self.server.kept)

    def make(self, tap):
        a, body = self.send("POST", self.step.path, json.loads(self.server.put_in(self.step.body)))
        if a.status < 300 and body.get("kind") == "CustomResourceDefinition":     # what may change depends on that
            path = self.step.path + "/" + body["metadata"]["name"]
            until("it is served", lambda: any(c["type"] == "Established" and c["status"] == "True" for c in
                                              self.send("GET", path, None)[1]["status"].get("conditions") or ()))
        return a.status < 300 or tap.ok(False, "%s is made" % self.step.name, a)

    def answer(self, name):
        obj = mutate.mutant(self.obj, name)
        if obj is None:
            return None
        a, body = self.dry(self.method, self.path, obj)
        if a.status == 409 and self.part != "create":       # somebody else has written
            self.prepare(self.step, self.part)
            a, body = self.dry(self.method, self.path, mutate.mutant(self.obj, name))
        return json.loads(json.dumps(compact(a.status, body, self.base, self.step, self.server.kept)))


def csr():
    """A request for a certificate, the same each time."""
    with open(os.path.join(HERE, "mutants.csr")) as f:
        return f.read().strip()


def kind_of(path, a, b):
    if path.startswith("causes"):
        return "cause missing" if b is plain.ABSENT else "cause too many" if a is plain.ABSENT else "words"
    return {"status": "code", "reason": "reason", "message": "words"}.get(path.split(".")[0], "result")


def parts_of(step):
    return ["create", "update"] + (["status"] if '"status"' in step.body else [])


class Sums:
    def __init__(self):
        self.sent = collections.Counter()
        self.found = collections.Counter()
        self.groups = collections.defaultdict(list)

    def add(self, kind, name, bad):
        place = re.sub(r"/\d+(?=/|$)", "/*", re.sub(r" (gone|twice|= .*)$", "", name, flags=re.S))
        for p, a, b in bad:
            self.groups[kind, place, kind_of(p, a, b)].append((name, p, a, b))
            self.found[kind_of(p, a, b)] += 1

    def show(self):
        for (kind, place, what), rows in sorted(self.groups.items(), key=lambda g: -len(g[1])):
            print("# %4d  %s  %s  %s" % (len(rows), kind, place, what))
            for name, p, a, b in rows:
                print("#         %s | %s | %s | %s" % (name[:150], p, replay.show(a)[:300], replay.show(b)[:300]))


def main():
    args = sys.argv[1:]
    options = {a for a in args if a.startswith("--")}
    asked = [a for a in args if not a.startswith("--")]
    steps = [s for s in script.load("mutants", os.path.join(HERE, "mutants.obj"))
             if not asked or any(fnmatch.fnmatch(s.name, a) for a in asked)]
    tap = Tap()
    oracle, recorded = None, {}
    if os.path.exists(RECORDED):
        with open(RECORDED) as f:
            recorded = json.load(f)
    try:
        if options & {"--oracle", "--record"} or os.environ.get("ORLOP_ORACLE"):
            oracle = replay.Oracle()
            oracle.ask.__class__ = Kept
        # a CronJob is batch/v1beta1 to upstream: so it is to both
        daemon = Daemon(modules=["controllers/serviceaccount"], params="old_versions = true;").start()
        run(tap, steps, Side(Api(daemon)), Side(oracle.ask, replay.OLD) if oracle else None, recorded, options)
        tap.ok(daemon.alive() and daemon.stop() == 0, "the daemon ends well")
    finally:
        if oracle:
            oracle.end()
    if "--record" in options:
        with open(RECORDED, "w") as f:
            f.write(plain.pretty(recorded) + "\n")
    tap.done()


def run(tap, steps, mine, theirs, recorded, options):
    rules = replay.Rules(os.path.join(HERE, "excuses"))
    sums = Sums()
    shapes = words = None
    if theirs:
        shapes = mutate.Shapes(json.loads(theirs.send("GET", "/openapi/v2", None)[0].text))
        words = mutate.Words(os.path.join(SRCDIR, "api"))
    for step in steps:
        for part in parts_of(step):
            kind = "%s %s" % (step.name, part)
            if part == "update":
                if [side for side in (mine, theirs) if side and not side.make(tap)]:
                    break
            want = recorded.setdefault(kind, {})
            if theirs:
                want = ask(kind, step, part, mine, theirs, shapes, words)
            else:
                mine.prepare(step, part)
            compare(tap, kind, want, mine, rules, sums, recorded, options, theirs)
    print("# sent: " + json.dumps(sums.sent))
    print("# found: " + json.dumps(sums.found))
    if "--groups" in options:
        sums.show()


def ask(kind, step, part, mine, theirs, shapes, words):
    """Upstream's answers to all mutants."""
    a, b = mine.prepare(step, part), theirs.prepare(step, part)
    if a["status"] >= 300 or b["status"] >= 300:
        print("# %s unchanged: ours %s, upstream %s" % (kind, a, b))
    # as upstream calls it, since fields that came later are unknown to it
    obj = json.loads(json.dumps(theirs.obj))
    want = {"": b}
    for name in mutate.names(obj, shapes, words, part, step.name in COMMON):
        want[name] = theirs.answer(name)
    return want


def compare(tap, kind, want, mine, rules, sums, recorded, options, live):
    bad_of = {}
    for name, w in want.items():
        if not name:
            continue
        got = mine.answer(name)
        if got is None or w is None:
            continue
        bad = list(plain.differ(w, got))
        if bad:
            sums.sent["differ at all"] += 1
        left = [x for x in bad if not rules.allow("%s %s" % (kind, name), x[0], x[2])]
        if bad and not left:
            sums.sent["excused"] += 1
        sums.sent[kind.rsplit(" ", 1)[1]] += 1
        if left:
            bad_of[name] = left
            sums.add(kind, name, left)
    why = "\n".join("%s: %s\n  upstream %s\n  ours     %s" % (n[:200], p, replay.show(a), replay.show(b))
                    for n, bad in bad_of.items() for p, a, b in bad)
    tap.ok(not bad_of, "%s: %d mutants, %d differ" % (kind, len(want), len(bad_of)), None if "--groups" in options else why)
    if live and "--record" in options:
        old = recorded.get(kind, {})
        told = set()
        recorded[kind] = {n: w for n, w in want.items() if n and w and n not in bad_of and mutate.LONG not in n and (
            is_first(told, w) or n in old or zlib.crc32((kind + n).encode()) % SAMPLE == 0)}


def is_first(told, answer):
    """Is there a cause in the answer that no answer had before?"""
    new = {re.sub(r"\[\d+\]", "[]", c).rstrip("'") for c in answer.get("causes", {})} - told
    told |= new
    return bool(new)


if __name__ == "__main__":
    main()
