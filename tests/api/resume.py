#!/usr/bin/env -S python3 -B
# run: timeout=300
"""The process of an isolated API server is killed, and at once clients come to the next one with what they have from the
one before: watches from any old resourceVersion, exact lists of the past. Its cache begins with the present; what
happened before it has to ask for. Every event once, in order; never 410 for what is known, never a gap."""
import http.client
import os
import signal
import ssl
import subprocess
import sys

from rig import BUILDDIR, CM, Api, Daemon, Tap, Watch, config_map, group, in_threads, until

LOST = (http.client.HTTPException, ConnectionError, ssl.SSLError, OSError)
GADGETS = "/apis/test.example/v1/namespaces/default/gadgets"
N = 1500
t = Tap()


def isolated():
    d = Daemon()
    with open(d.conf) as f:
        text = f.read()
    with open(d.conf, "w") as f:
        f.write(text.replace('{ module = "apiserver"; params', '{ module = "apiserver"; isolation = "process"; params'))
    return d.start()


def server(d):
    """The pid of the API server's process."""
    for child in subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(d.proc.pid)], stdout=subprocess.PIPE,
                                check=True).stdout.decode().splitlines():
        if "--isolated" in child:
            return int(child.split()[0])
    return 0


def kill(d):
    old = until("its process", lambda: server(d))
    os.kill(old, signal.SIGKILL)


def again(fn):
    """fn() until somebody is there to answer."""
    def one():
        try:
            return fn()
        except LOST:
            return None
    return until("the next API server", one)


class Story:
    """What was done to some objects of one resource: (rv, type, name, value), by the answers of the writes."""

    def __init__(self, api, path, doc):
        self.api, self.path, self.doc, self.done, self.there, self.first = api, path, doc, [], {}, 0

    def step(self, i):
        name = "o%d" % (i * 7 % 23)
        where = self.path + "/" + name
        if name not in self.there:
            kind, a = "ADDED", self.api.post(self.path, self.doc(name, i))
        elif i % 5 == 0:
            kind, a = "DELETED", self.api.delete(where)
        else:
            kind, a = "MODIFIED", self.api.patch(where, self.doc(name, i))
        if a.status >= 300:
            raise RuntimeError(str(a))
        if kind == "DELETED":
            # its answer says the last state; the event's revision is found by the watch that was always there
            del self.there[name]
            self.done.append((None, kind, name, None))
            return
        self.there[name] = str(i)
        self.done.append((int(a.rv), kind, name, str(i)))

    def value(self, o):
        return o.get("data", {}).get("v") or o.get("spec", {}).get("v")

    def event(self, e):
        o = e["object"]
        gone = e["type"] == "DELETED"
        return (int(o["metadata"]["resourceVersion"]), e["type"], o["metadata"]["name"], None if gone else self.value(o))

    def settle(self, events):
        """The revisions of deletions, by a watch that saw all of it; what it saw must be what was done."""
        same = [(a[1], a[2], a[3]) for a in events] == [(b[1], b[2], b[3]) for b in self.done]
        same = same and all(b[0] in (None, a[0]) for a, b in zip(events, self.done))
        self.done = events
        return same

    def state(self, rv):
        s = {}
        for at, kind, name, value in self.done:
            if at > rv:
                break
            if kind == "DELETED":
                s.pop(name, None)
            else:
                s[name] = value
        return s


def read(story, rv, n):
    """n events of a watch after rv, from whoever answers."""
    def one():
        w = Watch(story.api, "%s?watch=1&resourceVersion=%d" % (story.path, rv))
        if w.status != 200:
            return w.answer
        events = []
        while len(events) < n:
            e = w.next()
            if e is None:
                raise http.client.IncompleteRead(b"")
            if e["type"] == "ERROR":
                return e
            events.append(story.event(e))
        w.close()
        return events
    return again(one) if n else []


def check(d, stories, name):
    """Killed; watches of all revisions and exact lists come at once, all at the same time."""
    jobs, bad = [], []
    for s in stories:
        revs = [s.first] + [x[0] for x in s.done]
        for i in range(0, len(revs), max(1, len(revs) // 12)):
            jobs.append((s, "watch", revs[i], s.done[i:]))
            jobs.append((s, "list", revs[i], s.state(revs[i])))
    jobs.reverse()      # the newest first: what is older is asked for while that is under way
    kill(d)

    def run(i):
        s, what, rv, want = jobs[i]
        api = Api(d)
        if what == "watch":
            got = read(s, rv, len(want))
        else:
            a = again(lambda: api.get("%s?resourceVersion=%d&resourceVersionMatch=Exact" % (s.path, rv)))
            got = a if a.status != 200 else {o["metadata"]["name"]: s.value(o) for o in a.json["items"]}
        if got != want:
            bad.append("%s %s of %d: %s" % (s.path, what, rv, str(got)[:300]))
    for s in stories:
        s.api.close()
    ts, wrong = in_threads(len(jobs), run)
    for x in ts:
        x.join(100)
    wrong += ["no end"] * sum(x.is_alive() for x in ts)
    t.eq((bad + wrong)[:3], [], "%s: %d watches and exact lists of the past" % (name, len(jobs)))


def main():
    d = isolated()
    api = Api(d)
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "gadgets.test.example"},
           "spec": {"group": "test.example", "scope": "Namespaced", "names": {"plural": "gadgets", "kind": "Gadget"},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                        "type": "object", "properties": {"spec": {"type": "object", "properties": {"v": {"type": "string"}}}}}}}]}}
    t.eq(api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).status, 201, "a resource of one's own")
    until("it is served", lambda: api.get(GADGETS).status == 200)
    stories = [
        Story(api, CM, lambda n, i: config_map(n, {"v": str(i)})),
        Story(api, GADGETS, lambda n, i: {"apiVersion": "test.example/v1", "kind": "Gadget", "metadata": {"name": n}, "spec": {"v": str(i)}}),
    ]
    for s in stories:
        s.first = int(api.get(s.path).rv)
    for i in range(N):
        for s in stories if i % 3 == 0 else stories[:1]:
            s.step(i)
    t.ok(all(s.settle(read(s, s.first, len(s.done))) for s in stories), "watches see what was done")

    def crashed():
        check(d, stories, "killed")
        for i in range(N, N + 100):
            for s in stories:
                s.step(i)
        t.ok(all(s.settle(read(s, s.first, len(s.done))) for s in stories), "and what is done to the next one")
        check(d, stories, "killed again")

    def unknown():
        kill(d)
        a = again(lambda: read(stories[0], 1, 1))
        code = a.get("object", {}).get("code") if isinstance(a, dict) else a
        t.ok(code == 410 or isinstance(code, list) and code[0][0] > 1, "from the beginning of time: all of it, or 410", str(a)[:300])

    def waits():
        """A watch of the present that nobody told anything is woken by what happens next."""
        now = int(api.get(CM).rv)
        kill(d)
        w = again(lambda: Watch(api, "%s?watch=1&resourceVersion=%d" % (CM, now)))
        again(lambda: api.post(CM, config_map("last", {"v": "x"})).status in (201, 409))
        t.eq(w.short(1), [("ADDED", "last")], "from the present on")
        w.close()

    group(t, crashed)
    def unclean():
        """The whole daemon, killed again and again before anybody is told a newer revision."""
        now = int(api.get(CM).rv)
        for _ in range(6):
            d.kill9()
            d.start()
        a = again(lambda: api.post(CM, config_map("after", {"v": "x"})))
        t.ok(a.status == 201 and int(a.rv) - now < 5000, "revisions go on, not far above", (now, str(a)[:200]))
        w = again(lambda: Watch(api, "%s?watch=1&resourceVersion=%d" % (CM, now)))
        t.eq(w.short(1), [("ADDED", "after")], "who watched before six unclean ends goes on")
        w.close()

    group(t, waits)
    group(t, unknown)
    t.ok(until("the last one", lambda: d.log().count("event=module_restarted name=apiserver") == 4) and d.alive(),
         "only its process died")
    group(t, unclean)
    t.eq(d.stop(), 0, "it ends well")
    t.done()


if __name__ == "__main__":
    if not os.path.exists(os.path.join(BUILDDIR, "orlopd")):
        sys.exit("no orlopd in " + BUILDDIR)
    # The thread sanitizer takes the child of a clone that shares its memory for the parent.
    if "thread" in os.environ.get("SANITIZERS", ""):
        print("1..0 # SKIP the thread sanitizer does not know of processes that share memory")
    else:
        main()
