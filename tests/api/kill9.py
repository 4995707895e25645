#!/usr/bin/env -S python3 -B
# run: timeout=300
"""orlopd is killed ten times under eight writers: what it acknowledged is there, versions only grow, and watchers
that resume from the last version they saw are told each change once, in order."""
import http.client
import random
import select
import socket
import ssl
import sys
import threading
import time

from rig import Api, Daemon, FACTOR, Tap, Watch, config_map, in_threads, say

N_WRITERS, N_WATCHERS, N_KILLS = 8, 3, 10
NS = "/api/v1/namespaces/default/configmaps"
LOST = (http.client.HTTPException, ConnectionError, ssl.SSLError, socket.timeout, OSError, ValueError)

seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 30)
rnd = random.Random(seed)
say("seed %d" % seed)
t = Tap()
d = Daemon().start()
up = threading.Event()
up.set()
done = threading.Event()
acks = threading.Semaphore(0)


class Writer:
    """Creates, changes and deletes its own objects; keeps what each may look like now."""

    def __init__(self, i):
        self.i = i
        self.rnd = random.Random(seed + 1 + i)
        self.api = Api(d)
        self.sure = {}      # name → value acknowledged last, None: deleted; sure unless in maybe
        self.maybe = {}     # name → value of a write whose answer never came
        self.acked = []     # (rv, name, value) in the order of acknowledgement
        self.bad = []

    def run(self, _):
        n = 0
        while not done.is_set():
            up.wait(1)
            n += 1
            name = "w%d-%d" % (self.i, self.rnd.randrange(20))
            try:
                self.step(name, "%d" % n)
            except LOST:
                self.api.close()
                up.wait(0.05)
        self.api.close()

    def step(self, name, value):
        exists = self.sure.get(name) is not None
        unsure = name in self.maybe
        if unsure:      # what became of it?
            a = self.api.get(NS + "/" + name)
            if a.status not in (200, 404):
                raise ConnectionError(str(a))
            now = a.json["data"]["v"] if a.status == 200 else None
            if now not in (self.sure.get(name), self.maybe[name]):
                self.bad.append("%s is %r, was %r and perhaps %r" % (name, now, self.sure.get(name), self.maybe[name]))
            self.sure[name] = now
            del self.maybe[name]
            return
        what = self.rnd.random()
        if not exists:
            self.write(name, value, 201, "POST", NS, config_map(name, {"v": value}))
        elif what < 0.3:
            self.write(name, None, 200, "DELETE", NS + "/" + name)
        elif what < 0.6:
            self.write(name, value, 200, "PUT", NS + "/" + name, config_map(name, {"v": value}))
        else:
            self.write(name, value, 200, "PATCH", NS + "/" + name, {"data": {"v": value}},
                       type="application/merge-patch+json")

    def write(self, name, value, want, method, path, body=None, **kw):
        self.maybe[name] = value
        a = self.api(method, path, body, **kw)
        if a.status >= 500:     # stopped in mid-write: as if no answer had come
            raise ConnectionError(str(a))
        del self.maybe[name]
        if a.status != want:
            self.bad.append("%s %s: %s" % (method, path, a))
            return
        self.sure[name] = value
        rv = int(a.json["metadata"]["resourceVersion"]) if value is not None else 0
        self.acked.append((rv, name, value))
        acks.release()


class Watcher:
    """Follows all ConfigMaps over every crash, from the last version it has seen."""

    def __init__(self, i):
        self.i = i
        self.api = Api(d)
        self.parts = []         # between lists: [from version, to version, state it began with, events]
        self.bad = []
        self.rv = None
        self.until = None       # stop after this version
        self.w = None

    def list(self):
        a = self.api.get(NS)
        if a.status != 200:
            raise ConnectionError(str(a))
        self.rv = int(a.rv)
        self.parts.append([self.rv, self.rv, {o["metadata"]["name"]: o["data"]["v"] for o in a.json["items"]}, []])

    def run(self, _):
        while True:
            up.wait(1)
            try:
                if self.rv is None:
                    self.list()
                self.follow(self.parts[-1])
                return
            except LOST:
                self.api.close()
                if self.w:
                    self.w.close()
                up.wait(0.05)

    def follow(self, part):
        self.w = Watch(self.api, NS + "?watch=1&allowWatchBookmarks=true&resourceVersion=%d" % self.rv, timeout=5)
        if self.w.status == 410:
            self.list()
            raise ConnectionError("again")
        if self.w.status != 200:
            raise ConnectionError(str(self.w.answer))
        while not (self.until and self.rv >= self.until):
            e = self.w.next()
            if e is None:
                raise ConnectionError("the stream ended")
            o = e["object"]
            if e["type"] == "ERROR":
                if o["code"] != 410:
                    self.bad.append("error %r" % o)
                self.list()
                raise ConnectionError("again")
            rv = int(o["metadata"]["resourceVersion"])
            if e["type"] == "BOOKMARK":
                self.rv = part[1] = max(self.rv, rv)
                continue
            if rv <= self.rv:
                self.bad.append("%s of version %d after version %d" % (e["type"], rv, self.rv))
            self.rv = part[1] = rv
            part[3].append((rv, e["type"], o["metadata"]["name"], o.get("data", {}).get("v")))
        self.w.close()


start_rv = int(Api(d).get(NS).rv)
watchers = [Watcher(i) for i in range(N_WATCHERS)]
writers = [Writer(i) for i in range(N_WRITERS)]
writing, broken = in_threads(N_WRITERS, lambda i: writers[i].run(i))
watching, broken2 = in_threads(N_WATCHERS, lambda i: watchers[i].run(i))
restarts = []
seen_rv = [start_rv]


def follow():
    """Of the history that is kept an end like these skips almost half: each watcher has been told something since the last."""
    end = time.monotonic() + 60 * FACTOR
    while not all(w.rv and w.rv >= seen_rv[-1] for w in watchers) and time.monotonic() < end:
        acks.acquire(timeout=1)


for kill in range(N_KILLS):
    # after a random number of acknowledged writes, at any moment within the next
    for _ in range(rnd.randrange(1, 150)):
        if not acks.acquire(timeout=60 * FACTOR):
            t.ok(False, "writers go on after kill %d" % kill, d.log()[-3000:])
            t.done()
    follow()
    select.select([], [], [], rnd.random() * 0.004)
    up.clear()
    d.kill9()
    began = time.monotonic()
    d.start()
    restarts.append(time.monotonic() - began)
    api = Api(d)
    seen_rv.append(int(api.get(NS).rv))
    api.close()
    up.set()
for _ in range(50):
    acks.acquire(timeout=60 * FACTOR)
done.set()
for x in writing:
    x.join(60 * FACTOR)
api = Api(d)
for w in writers:      # what was in doubt at the end
    w.api = api
    for name in list(w.maybe):
        w.step(name, "")
last = api.post(NS, config_map("the-end", {"v": "end"}))
for w in watchers:
    w.until = int(last.rv)
for x in watching:
    x.join(60 * FACTOR)

total = sum(len(w.acked) for w in writers)
say("%d writes acknowledged, ready again after %.0f … %.0f ms" %
    (total, min(restarts) * 1000, max(restarts) * 1000))
t.ok(not any(x.is_alive() for x in writing + watching) and not broken and not broken2, "all came to their end", broken + broken2)
t.ok(total > 200, "there was something to lose", total)
bad = sum((w.bad for w in writers), [])
t.eq(bad[:5], [], "no answer contradicts an earlier one")
there = {o["metadata"]["name"]: o["data"]["v"] for o in api.get(NS).json["items"]}
del there["the-end"]
want = {n: v for w in writers for n, v in w.sure.items() if v is not None}
t.ok(there == want, "what was acknowledged is there, and nothing else",
     {n: (there.get(n), want.get(n)) for n in set(there) | set(want) if there.get(n) != want.get(n)})
rvs = [rv for w in writers for rv, _, v in w.acked if v is not None]
t.eq(len(set(rvs)), len(rvs), "no version was given twice")
t.ok(all([r for r, _, v in w.acked if v is not None] == sorted(r for r, _, v in w.acked if v is not None) for w in writers),
     "each writer saw them grow")
t.ok(seen_rv == sorted(seen_rv), "none went back over a crash", seen_rv)

acked = {}
for w in writers:
    for rv, name, v in w.acked:
        if v is not None:
            acked[rv] = (name, v)
for w in watchers:
    say("watcher %d: %d events, listed %d times" % (w.i, sum(len(p[3]) for p in w.parts), len(w.parts)))
    t.eq(len(w.parts), 1, "watcher %d: never told to list again" % w.i)
    t.ok(w.bad == [], "watcher %d: versions in order, each once" % w.i, w.bad[:5])
    lost, wrong = [], []
    for k, (begin, end, state, events) in enumerate(w.parts):
        told = {rv: (name, v) for rv, kind, name, v in events if kind != "DELETED"}
        lost += [(rv, acked[rv], told.get(rv)) for rv in acked if begin < rv <= end and told.get(rv) != acked[rv]]
        for rv, kind, name, v in events:
            if (kind == "ADDED") != (name not in state):
                wrong.append((rv, kind, name))
            if kind == "DELETED":
                state.pop(name, None)
            else:
                state[name] = v
    t.eq(lost[:5], [], "watcher %d: each acknowledged write was told, with its version" % w.i)
    t.eq(wrong[:5], [], "watcher %d: added, modified and deleted follow each other as they must" % w.i)
    state = w.parts[-1][2]
    state.pop("the-end", None)
    t.ok(state == there, "watcher %d: and lead to what is there" % w.i,
         {n: (state.get(n), there.get(n)) for n in set(state) | set(there) if state.get(n) != there.get(n)})

# who had seen everything goes on: the journals are filled from the storage's history
api.close()
d.kill9()
d.start()
w = api.watch(NS + "?watch=1&resourceVersion=" + last.rv)
rv = api.patch(NS + "/the-end", {"data": {"v": "more"}}).rv
e = w.next() if w.status == 200 else {"type": "ERROR", "object": w.answer.json}
t.ok(e["type"] == "MODIFIED" and e["object"]["metadata"]["resourceVersion"] == rv,
     "a watcher that has seen everything goes on after a crash", e)
w.close()
t.ok(d.stop() == 0, "the last one ends well", d.log()[-1000:])
t.done()
