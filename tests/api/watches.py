#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Watches: where they begin, what they tell, in which order and form, and how they end."""
import socket
import time

from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PART = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
A, M, D = "ADDED", "MODIFIED", "DELETED"


def label(name, **labels):
    return api.patch(CM + "/" + name, {"metadata": {"labels": labels}})


def beginnings():
    for n in ("a", "b"):
        api.post(CM, config_map(n))
    rv = api.get(CM).rv
    for q in ("", "&resourceVersion=0"):
        w = api.watch(CM + "?watch=1" + q)
        t.eq(w.short(2), [(A, "a"), (A, "b")], "without a version, or 0: first what is there" + q)
        api.post(CM, config_map("c"))
        t.eq(w.short(1), [(A, "c")], "then what comes")
        w.close()
        api.delete(CM + "/c")
    w = api.watch(CM + "?watch=true&resourceVersion=" + rv)
    t.eq(w.short(4), [(A, "c"), (D, "c"), (A, "c"), (D, "c")], "from a version: all that came after it")
    w.close()
    w = api.watch("/api/v1/watch/namespaces/default/configmaps?resourceVersion=" + rv)
    t.eq(w.short(1), [(A, "c")], "the old path")
    w.close()
    w = api.watch("/api/v1/watch/namespaces/default/configmaps/a")
    t.eq(w.short(1), [(A, "a")], "of one object")
    w.close()
    t.eq(api.get(CM + "/a?watch=1").json["kind"], "ConfigMap", "which is but got without that path")
    w = api.watch("/api/v1/configmaps?watch=1&fieldSelector=metadata.name%3Db")
    t.eq(w.short(1), [(A, "b")], "of one name in all namespaces")
    w.close()
    w = api.watch(CM + "?watch=1&resourceVersion=" + api.get(CM).rv)
    h = w.resp.headers
    t.ok(w.status == 200 and h["Content-Type"] == "application/json" and h["Transfer-Encoding"] == "chunked" and
         h.get("Content-Encoding") is None, "headers come at once", h)
    w.close()


def contents():
    rv = api.get(CM).rv
    w = api.watch(CM + "?watch=1&resourceVersion=" + rv)
    o = api.post(CM, config_map("x", {"k": "1"})).json
    o2 = api.patch(CM + "/x", {"data": {"k": "2"}}).json
    api.delete(CM + "/x")
    e = w.next()
    t.ok(e["type"] == A and e["object"] == o, "the object as the writer saw it", "%s\n%s" % (e, o))
    e = w.next()
    t.ok(e["type"] == M and e["object"] == o2, "and changed", e)
    e = w.next()
    t.ok(e["type"] == D and e["object"]["data"] == {"k": "2"} and
         int(e["object"]["metadata"]["resourceVersion"]) > int(o2["metadata"]["resourceVersion"]),
         "deleted: the last state with the version of its end", e)
    w.close()


def transitions():
    rv = api.get(CM).rv
    w = api.watch(CM + "?watch=1&labelSelector=in%3Dyes&resourceVersion=" + rv)
    api.post(CM, config_map("s"))
    label("s", **{"in": "yes"})
    label("s", **{"in": "yes", "more": "1"})
    o = label("s", **{"in": "no"}).json
    label("s", **{"other": "1"})
    label("s", **{"in": "yes"})
    api.delete(CM + "/s")
    e = [w.next() for _ in range(5)]
    t.eq([x["type"] for x in e], [A, M, D, A, D], "into a selection, within it, out of it, in again, deleted")
    t.ok(e[2]["object"]["metadata"]["labels"]["in"] == "yes" and
         e[2]["object"]["metadata"]["resourceVersion"] == o["metadata"]["resourceVersion"],
         "leaving shows what it last was, with the version that took it out", e[2])
    w.close()


def initial():
    rv = api.get(CM).rv
    w = api.watch(CM + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=")
    e = [w.next() for _ in range(3)]
    t.eq([x["type"] for x in e], [A, A, "BOOKMARK"], "sendInitialEvents: the state, then a bookmark")
    b = e[2]["object"]
    t.ok(b["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true" and b["kind"] == "ConfigMap" and
         int(b["metadata"]["resourceVersion"]) >= int(rv), "which ends it", b)
    api.post(CM, config_map("after"))
    t.eq(w.short(1), [(A, "after")], "then changes")
    w.close()
    api.delete(CM + "/after")
    w = api.watch(CM + "?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    api.post(CM, config_map("now"))
    t.eq(w.short(1), [(A, "now")], "sendInitialEvents=false: only changes")
    w.close()
    api.delete(CM + "/now")
    for q in ("sendInitialEvents=true", "sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1", "resourceVersionMatch=NotOlderThan&resourceVersion=1"):
        w = api.watch(CM + "?watch=1&" + q)
        t.ok(w.status == 422 and w.answer.json["reason"] == "Invalid", "refused: " + q, w.answer)
        w.close()
    a = api.get(CM + "?sendInitialEvents=true")
    t.ok(a.status == 422, "nor for a list", a)


def endings():
    rv = api.get(CM).rv
    api.post("/api/v1/namespaces/kube-public/configmaps", config_map("elsewhere"))     # before they begin: their second may pass at once
    began = time.monotonic()
    w = api.watch(CM + "?watch=1&timeoutSeconds=1&resourceVersion=" + rv)
    w2 = api.watch(CM + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=" + rv)
    t.ok(w.next() is None and 0.9 < time.monotonic() - began < 60, "timeoutSeconds: a clean end")
    last = list(iter(w2.next, None))[-1:]       # another one may have come at the minute
    t.ok(last and last[0]["type"] == "BOOKMARK" and int(last[0]["object"]["metadata"]["resourceVersion"]) > int(rv) and
         set(last[0]["object"]["metadata"]) <= {"resourceVersion", "creationTimestamp"}, "a bookmark before it, of what passed", last)
    w2.close()
    w2 = api.watch(CM + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=" + api.get(CM).rv)
    t.eq({e["type"] for e in iter(w2.next, None)}, {"BOOKMARK"}, "or of nothing")
    for x in (w, w2):
        x.close()
    w = api.watch(CM + "?watch=1&resourceVersion=" + rv)
    w.close()
    w = api.watch(CM + "?watch=1&resourceVersion=1")
    if w.status == 200:
        e = w.next()
        t.ok((e["type"] == "ERROR" and e["object"]["code"] == 410 and e["object"]["reason"] == "Expired") or e["type"] == A,
             "a version long gone is 410, or still known", e)
    else:
        t.ok(w.status == 410 and w.answer.json["reason"] == "Expired", "a version long gone is 410", w.answer)
    w.close()


def in_forms():
    rv = api.get(CM).rv
    w = api.watch(CM + "?watch=1&resourceVersion=" + rv, {"Accept": TABLE})
    p = api.watch(CM + "?watch=1&resourceVersion=" + rv, {"Accept": PART})
    api.post(CM, config_map("f", {"k": "1"}))
    api.patch(CM + "/f", {"data": {"l": "2"}})
    e = [w.next(), w.next()]
    t.ok(e[0]["object"]["kind"] == "Table" and [c["name"] for c in e[0]["object"]["columnDefinitions"]] == ["Name", "Data", "Age"] and
         e[0]["object"]["rows"][0]["cells"][:2] == ["f", 1], "as Tables", e[0])
    t.ok(not e[1]["object"].get("columnDefinitions") and e[1]["object"]["rows"][0]["cells"][:2] == ["f", 2] and
         e[1]["object"]["metadata"]["resourceVersion"], "columns come once", e[1])
    w.close()
    e = p.next()
    t.ok(e["object"]["kind"] == "PartialObjectMetadata" and "data" not in e["object"] and e["object"]["metadata"]["name"] == "f",
         "as metadata", e)
    p.close()
    api.delete(CM + "/f")


def many():
    """Fifty watchers and a slow one see the same thousand changes in the same order."""
    rv = api.get(CM).rv
    ws = [api.watch(CM + "?watch=1&resourceVersion=" + rv) for _ in range(50)]
    slow = api.watch(CM + "?watch=1&resourceVersion=" + rv)
    want = []
    for i in range(60):
        n = "w-%02d" % i
        api.post(CM, config_map(n, {"pad": "p" * 20000}))
        api.patch(CM + "/" + n, {"data": {"k": "v"}})
        api.delete(CM + "/" + n)
        want += [(A, n), (M, n), (D, n)]
    bad = [i for i, w in enumerate(ws) if w.short(len(want)) != want]
    t.eq(bad, [], "fifty watchers see all changes in order")
    t.eq(slow.short(len(want)), want, "the slow one too")
    for w in ws + [slow]:
        w.close()


for g in (beginnings, contents, transitions, initial, endings, in_forms, many):
    group(t, g)
try:
    w = api.watch(CM + "?watch=1&resourceVersion=" + api.get(CM).rv)
    code = d.stop()
    t.ok(code == 0 and w.next() is None, "a daemon that stops ends watches in order", d.log()[-500:])
except (socket.timeout, OSError, ValueError) as e:
    t.ok(False, "a daemon that stops ends watches in order", repr(e))
t.done()
