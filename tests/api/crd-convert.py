#!/usr/bin/env -S python3 -B
# run: timeout=180
"""Custom resources in several versions: converted by a webhook of our own, or by name alone; a stored version that changes."""
import base64
import copy
import http.server
import json
import ssl
import threading

from oracle import TYPES
from rig import Api, Daemon, HookServer, Tap, free_port, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AT = "/apis/example.com/%s/namespaces/default/%s"
d.pki.issue("hook", "/CN=hook", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n")
CA = base64.b64encode(open(d.pki.ca, "rb").read()).decode()
AS_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
AS_META = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}


def convert(obj, to):
    """v1 has spec.hostPort, v2 has spec.host and spec.port."""
    o = copy.deepcopy(obj)
    o["apiVersion"] = to
    s = o.setdefault("spec", {})
    if to.endswith("/v2") and "hostPort" in s:
        s["host"], _, port = s.pop("hostPort").partition(":")
        if port:
            s["port"] = int(port)
    elif to.endswith("/v1") and "host" in s:
        s["hostPort"] = s.pop("host") + (":%d" % s.pop("port") if "port" in s else "")
    return o


class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        q = review["request"]
        with self.server.lock:
            self.server.seen.append(review)
        status, answer = 200, {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": {
            "uid": q["uid"], "result": {"status": "Success"},
            "convertedObjects": [convert(o, q["desiredAPIVersion"]) for o in q["objects"]]}}
        if self.server.spoil:
            r = self.server.spoil(answer)
            status, answer = r if isinstance(r, tuple) else (200, answer)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


srv = HookServer(("127.0.0.1", 0), Hook)
srv.seen, srv.lock, srv.spoil = [], threading.Lock(), None
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(d.pki.at("hook.crt"), d.pki.at("hook.key"))
srv.socket = tls.wrap_socket(srv.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=srv.serve_forever, daemon=True).start()
URL = "https://127.0.0.1:%d/convert" % srv.server_port
HOOK = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": URL, "caBundle": CA}}}


def asked():
    """What the webhook was asked since this was last called."""
    with srv.lock:
        r = list(srv.seen)
        del srv.seen[:]
    return r


def version(name, storage, spec, **more):
    return dict({"name": name, "served": True, "storage": storage, "subresources": {
        "status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": dict(spec, replicas={"type": "integer", "default": 1})},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "note": {"type": "string"}}}}}}}, **more)


V1 = {"hostPort": {"type": "string"}}
V2 = {"host": {"type": "string"}, "port": {"type": "integer"}}


def define(plural, conversion, one=V1, two=V2, fields=((), ()), **more):
    by = [[{"jsonPath": f} for f in of] for of in fields]
    o = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": plural + ".example.com"},
         "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural.capitalize()},
                  "conversion": conversion, "versions": [
                      version("v1", True, one, selectableFields=by[0],
                              additionalPrinterColumns=[{"name": "Both", "type": "string", "jsonPath": ".spec.hostPort"}]),
                      version("v2", False, two, selectableFields=by[1],
                              additionalPrinterColumns=[{"name": "Host", "type": "string", "jsonPath": ".spec.host"}])]}}
    a = api.post(CRDS, o)
    assert a.status == 201, a
    until("it is established", lambda: any(c["type"] == "Established" and c["status"] == "True" for c in api.get(
        CRDS + "/" + plural + ".example.com").json.get("status", {}).get("conditions") or []))
    return a


def change(plural, fn):
    o = api.get(CRDS + "/" + plural + ".example.com").json
    fn(o)
    return api.put(CRDS + "/" + plural + ".example.com", o)


def obj(name, v, plural="ends", **spec):
    return {"apiVersion": "example.com/" + v, "kind": plural.capitalize(), "metadata": {"name": name}, "spec": spec}


def definitions():
    def bad(name, conversion, *want):
        o = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "bads.example.com"},
             "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "bads", "kind": "Bad"},
                      "conversion": conversion, "versions": [version("v1", True, V1)]}}
        a = api.post(CRDS, o)
        t.eq((a.status, [(c["field"], c["message"]) for c in a.json["details"]["causes"]]), (422, list(want)), name)
    at = "spec.conversion."
    reviews = {"conversionReviewVersions": ["v1"]}
    bad("a webhook needs to be somewhere", {"strategy": "Webhook", "webhook": reviews},
        (at + "webhookClientConfig", "Required value: required when strategy is set to Webhook"))
    bad("in one place", {"strategy": "Webhook", "webhook": dict(reviews, clientConfig={})},
        (at + "webhookClientConfig", "Required value: exactly one of url or service is required"))
    bad("by https", {"strategy": "Webhook", "webhook": dict(reviews, clientConfig={"url": "http://x"})},
        (at + "webhookClientConfig.url", "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"))
    bad("and know a version of reviews", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v7"], "clientConfig": {"url": URL}}},
        (at + "conversionReviewVersions", 'Invalid value: ["v7"]: must include at least one of v1, v1beta1'))
    bad("without the strategy there is none", {"strategy": "None", "webhook": dict(reviews, clientConfig={"url": URL})},
        (at + "webhookClientConfig", "Forbidden: should not be set when strategy is not set to Webhook"),
        (at + "conversionReviewVersions", "Forbidden: should not be set when strategy is not set to Webhook"))


def reading():
    a = define("ends", HOOK)
    t.eq(a.headers.get_all("Warning"), None, "a conversion webhook is taken without a warning")
    a = api.post(AT % ("v1", "ends"), obj("a", "v1", hostPort="h:80"))
    t.eq((a.status, asked()), (201, []), "the stored version needs no webhook")
    a = api.get(AT % ("v2", "ends") + "/a")
    t.eq((a.status, a.json["apiVersion"], a.json["spec"]), (200, "example.com/v2", {"host": "h", "port": 80, "replicas": 1}),
         "another version is converted")
    q = asked()
    t.eq((len(q), q[0]["apiVersion"], q[0]["kind"], q[0]["request"]["desiredAPIVersion"], q[0]["request"]["objects"][0]["apiVersion"]),
         (1, "apiextensions.k8s.io/v1", "ConversionReview", "example.com/v2", "example.com/v1"), "by one question")
    api.post(AT % ("v1", "ends"), obj("b", "v1", hostPort="i:81"))
    a = api.get(AT % ("v2", "ends"))
    t.eq(([(i["metadata"]["name"], i["spec"]["port"]) for i in a.json["items"]], a.json["apiVersion"]),
         ([("a", 80), ("b", 81)], "example.com/v2"), "a list")
    t.eq([len(x["request"]["objects"]) for x in asked()], [2], "is asked about at once")
    rv = a.json["metadata"]["resourceVersion"]
    a = api.get(AT % ("v2", "ends") + "?limit=1")
    t.eq((len(a.json["items"]), a.json["metadata"]["remainingItemCount"]), (1, 1), "a page")
    a = api.get(AT % ("v2", "ends") + "?limit=1&continue=" + a.json["metadata"]["continue"])
    t.eq([i["spec"]["host"] for i in a.json["items"]], ["i"], "and the next")
    api.patch(AT % ("v1", "ends") + "/b", {"spec": {"hostPort": "j:82"}})
    a = api.get(AT % ("v2", "ends") + "?resourceVersionMatch=Exact&resourceVersion=" + rv)
    t.eq([i["spec"]["port"] for i in a.json["items"]], [80, 81], "and the past")
    a = api.get(AT % ("v2", "ends"), AS_TABLE)
    t.eq(([c["name"] for c in a.json["columnDefinitions"]], [r["cells"] for r in a.json["rows"]]),
         (["Name", "Host"], [["a", "h"], ["b", "j"]]), "a table has the version's own columns")
    t.eq(api.get(AT % ("v2", "ends") + "/a", AS_META).json["kind"], "PartialObjectMetadata", "metadata alone")
    t.eq(api.get(AT % ("v2", "ends") + "/a/scale").json["spec"], {"replicas": 1}, "the scale")
    t.eq(api.get(AT % ("v2", "ends") + "/none").status, 404, "one that is not there")
    asked()


def watching():
    w = api.watch(AT % ("v2", "ends") + "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
    got = [w.next() for _ in range(3)]
    t.eq([(e["type"], e["object"]["apiVersion"], e["object"].get("spec", {}).get("port")) for e in got],
         [("ADDED", "example.com/v2", 80), ("ADDED", "example.com/v2", 82), ("BOOKMARK", "example.com/v2", None)], "a watch begins")
    api.post(AT % ("v1", "ends"), obj("c", "v1", hostPort="k:83"))
    api.patch(AT % ("v1", "ends") + "/c", {"spec": {"hostPort": "k:84"}})
    api.delete(AT % ("v1", "ends") + "/c")
    got = [w.next() for _ in range(3)]
    t.eq([(e["type"], e["object"]["spec"]["port"]) for e in got], [("ADDED", 83), ("MODIFIED", 84), ("DELETED", 84)], "and goes on")
    w.close()
    w = api.watch(AT % ("v2", "ends") + "?watch=1&labelSelector=on%3Dyes")
    api.patch(AT % ("v1", "ends") + "/a", {"metadata": {"labels": {"on": "yes"}}})
    api.patch(AT % ("v1", "ends") + "/a", {"metadata": {"labels": {"on": None}}})
    t.eq([(e["type"], e["object"]["spec"]["host"]) for e in (w.next(), w.next())], [("ADDED", "h"), ("DELETED", "h")],
         "what leaves the selection")
    srv.spoil = lambda answer: answer["response"]["result"].update(status="Failed", message="no idea")
    api.patch(AT % ("v1", "ends") + "/a", {"metadata": {"labels": {"on": "yes"}}})
    e = w.next()
    t.eq((e["type"], e["object"]["message"], w.next()),
         ("ERROR", "conversion webhook for example.com/v1, Kind=Ends failed: no idea", None), "it ends with what cannot be converted")
    srv.spoil = None
    w.close()
    asked()


def shared():
    """Many watches of one version: each change is asked about once a shard, not once a watch."""
    shards = max(int(l.split("shards=")[1].split()[0]) for l in d.log().splitlines() if "listening" in l and "shards=" in l)
    define("shares", HOOK)
    rv = api.get(AT % ("v1", "shares")).rv
    path = AT % ("v2", "shares") + "?watch=1&resourceVersion=" + rv
    ws = [Api(d).watch(path) for _ in range(6 * shards)] + [Api(d).watch(path + "&labelSelector=pick%3Dme") for _ in range(2 * shards)]
    plain, picky = ws[:6 * shards], ws[6 * shards:]
    asked()
    api.post(AT % ("v1", "shares"), dict(obj("a", "v1", "shares", hostPort="h:1"), metadata={"name": "a", "labels": {"pick": "me"}}))
    evs = [w.next() for w in ws]
    t.ok(all(e["type"] == "ADDED" and e["object"]["spec"]["host"] == "h" for e in evs), "every watch hears of it", evs[:2])
    n = len(asked())
    t.ok(1 <= n <= shards, "%d watches, %d shards: the webhook was asked %d times" % (len(ws), shards, n))
    api.patch(AT % ("v1", "shares") + "/a", {"metadata": {"labels": {"pick": "no"}}})
    evs = [w.next() for w in plain]
    left = [w.next() for w in picky]
    t.ok(all(e["type"] == "MODIFIED" for e in evs) and all(e["type"] == "DELETED" and e["object"]["metadata"]["labels"] == {"pick": "me"} and
         e["object"]["metadata"]["resourceVersion"] == evs[0]["object"]["metadata"]["resourceVersion"] for e in left),
         "who leaves a selection is told as it was, others as it is", (evs[:1], left[:1]))
    n = sum(len(r["request"]["objects"]) for r in asked())
    t.ok(2 <= n <= 2 * shards, "two states: %d objects were asked about" % n)
    late = Api(d).watch(path)
    t.eq([late.next()["type"] for _ in range(2)], ["ADDED", "MODIFIED"], "one that comes later")
    t.ok(len(asked()) <= 1, "finds them, if it is of a shard that has them")
    srv.spoil = lambda a: a["response"].update(result={"status": "Failure", "message": "not today"})
    api.patch(AT % ("v1", "shares") + "/a", {"spec": {"hostPort": "h:2"}})
    evs = [w.next() for w in plain]
    srv.spoil = None
    t.ok(all(e["type"] == "ERROR" and "not today" in e["object"]["message"] for e in evs), "a failure is everybody's", evs[:1])
    asked()
    again = Api(d).watch(AT % ("v2", "shares") + "?watch=1&resourceVersion=" + evs[0]["object"].get("metadata", {}).get("resourceVersion", rv))
    t.ok(again.next()["type"] == "ADDED" and [again.next()["object"]["spec"].get("port") for _ in range(2)][1] == 2 and len(asked()) >= 1,
         "and is not kept: who comes again asks again")
    for w in ws + [late, again]:
        w.close()


def selecting():
    """By fields that only the webhook makes."""
    define("picks", HOOK, fields=([".spec.hostPort"], [".spec.host", ".spec.port"]))
    v1, v2 = (AT % (v, "picks") for v in ("v1", "v2"))

    def at(path, selector, more=""):
        return path + "?fieldSelector=" + selector.replace("!", "%21").replace("=", "%3D").replace(",", "%2C").replace(":", "%3A") + more

    def names(path, selector, more=""):
        a = api.get(at(path, selector, more))
        return [i["metadata"]["name"] for i in a.json["items"]] if a.status == 200 else (a.status, a.json["message"])

    hosts, ports, old = (api.watch(at(p, s) + "&watch=1") for p, s in ((v2, "spec.host=h"), (v2, "spec.host=h,spec.port=80"),
                                                                      (v1, "spec.hostPort=h:80")))
    for name, spec in (("a", {"host": "h", "port": 80}), ("b", {"host": "h", "port": 81}), ("c", {"host": "i"}), ("d", {"host": "h", "port": 82})):
        t.eq(api.post(v2, obj(name, "v2", "picks", **spec)).status, 201, "made")
    rv = api.get(v1).rv
    asked()
    t.eq((names(v1, "spec.hostPort=h:81"), names(v1, "spec.host=h"), asked()), (["b"], (400, "field label not supported: spec.host"), []),
         "the stored version needs no webhook")
    t.eq((names(v2, "spec.host=h"), names(v2, "spec.host=h,spec.port=80"), names(v2, "spec.port="), names(v2, "spec.host!=h"),
          names(v2, "spec.port=81,metadata.name=b"), names(v2, "spec.port=81,metadata.name=a"), names(v2, "spec.hostPort=h:80")),
         (["a", "b", "d"], ["a"], ["c"], ["c"], ["b"], [], (400, "field label not supported: spec.hostPort")), "another is selected as it is served")
    asked()
    t.eq((names(v2, "spec.host=h"), [len(q["request"]["objects"]) for q in asked()]), (["a", "b", "d"], [4]), "by one question")
    a = api.get(at(v2, "spec.host=h", "&limit=2"))
    b = api.get(at(v2, "spec.host=h", "&limit=2&continue=" + a.json["metadata"]["continue"]))
    t.eq([[i["metadata"]["name"] for i in x.json["items"]] for x in (a, b)] + [b.json["metadata"].get("continue")], [["a", "b"], ["d"], None],
         "pages")
    t.eq([r["cells"] for r in api.get(at(v2, "spec.port!=80"), AS_TABLE).json["rows"]], [["b", "h"], ["c", "i"], ["d", "h"]], "a table")
    t.eq((hosts.short(3), ports.short(1), old.short(1)), ([("ADDED", n) for n in "abd"], [("ADDED", "a")], [("ADDED", "a")]), "watches")
    t.eq(api.delete(at(v2, "spec.host=h,spec.port=80")).status, 200, "a collection")
    u = api.get(v2 + "/b").json
    u["spec"]["host"] = "i"
    u = api.put(v2 + "/b", u)
    api.patch(v2 + "/d", {"spec": {"port": 83}})
    api.patch(v2 + "/c", {"spec": {"host": "h", "port": 80}})
    t.eq([i["metadata"]["name"] for i in api.get(v1).json["items"]], ["b", "c", "d"], "is what was selected")
    gone = [hosts.next() for _ in range(4)]
    t.eq([(e["type"], e["object"]["metadata"]["name"], e["object"]["spec"].get("port")) for e in gone],
         [("DELETED", "a", 80), ("DELETED", "b", 81), ("MODIFIED", "d", 83), ("ADDED", "c", 80)], "what leaves a watch, and comes into it")
    t.eq((gone[1]["object"]["spec"]["host"], gone[1]["object"]["metadata"]["resourceVersion"]), ("h", u.rv), "who leaves is told as it was")
    t.eq((ports.short(2), old.short(2)), ([("DELETED", "a"), ("ADDED", "c")],) * 2, "and others")
    t.eq((names(v2, "spec.host=h", "&resourceVersionMatch=Exact&resourceVersion=" + rv), names(v2, "spec.host=h",
          "&limit=2&resourceVersionMatch=Exact&resourceVersion=" + rv)), (["a", "b", "d"], ["a", "b"]), "the past")
    w = api.watch(at(v2, "spec.host=h") + "&watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
    t.eq([w.next()["type"] for _ in range(3)], ["ADDED", "ADDED", "BOOKMARK"], "a watch that begins with what there is")
    w.close()
    for i in range(120):
        api.post(v1, obj("x%03d" % i, "v1", "picks", hostPort="x:%d" % (i % 2)))
    w = api.watch(at(v2, "spec.port=1") + "&watch=1")
    t.eq(w.short(60), [("ADDED", "x%03d" % i) for i in range(1, 120, 2)], "more than are asked for at once")
    w.close()
    change("picks", lambda o: o["spec"]["versions"][1]["selectableFields"].reverse())
    t.eq((names(v1, "spec.hostPort=h:83"), names(v2, "spec.host=h")), (["d"], ["c", "d"]), "of a definition that has changed")
    srv.spoil = lambda answer: answer["response"]["result"].update(status="Failed", message="no idea")
    why = "conversion webhook for example.com/v1, Kind=Picks failed: no idea"
    a = api.delete(at(v2, "spec.host=h"))
    t.eq((names(v2, "spec.host=h"), (a.status, a.json["message"])), ((500, why),) * 2, "without the webhook nothing is known")
    api.patch(v1 + "/d", {"spec": {"replicas": 3}})
    e = hosts.next()
    t.eq((e["type"], e["object"]["message"], hosts.next()), ("ERROR", why, None), "nor by a watch")
    srv.spoil = None
    t.eq(len(api.get(v1).json["items"]), 123, "and nothing is deleted")
    for w in (hosts, ports, old):
        w.close()
    asked()


def writing():
    at = AT % ("v2", "ends")
    a = api.post(at, obj("w", "v2", host="x", port=1))
    t.eq((a.status, a.json["apiVersion"], a.json["spec"]), (201, "example.com/v2", {"host": "x", "port": 1, "replicas": 1}), "created")
    t.eq(api.get(AT % ("v1", "ends") + "/w").json["spec"], {"hostPort": "x:1", "replicas": 1}, "and stored in the other version")
    t.eq([x["request"]["desiredAPIVersion"] for x in asked()], ["example.com/v1", "example.com/v2"], "there and back")
    rv = a.rv
    a = api.patch(at + "/w", {"spec": {"port": 2}})
    t.eq((a.status, a.json["spec"]["port"], a.json["metadata"]["generation"]), (200, 2, 2), "patched")
    o = api.get(at + "/w").json
    o["metadata"]["resourceVersion"] = str(rv)
    t.eq(api.put(at + "/w", o).status, 409, "an update of what has changed")
    o = api.get(at + "/w").json
    now = o["metadata"]["resourceVersion"]
    t.eq(api.put(at + "/w", o).json["metadata"]["resourceVersion"], now, "no change is none")
    o["spec"]["host"] = "y"
    t.eq((api.put(at + "/w", o).json["spec"]["host"], api.get(AT % ("v1", "ends") + "/w").json["spec"]["hostPort"]), ("y", "y:2"), "updated")
    a = api("PATCH", at + "/w?fieldManager=m&force=true", {"apiVersion": "example.com/v2", "kind": "Ends", "metadata": {"name": "w"}, "spec": {
        "replicas": 3}}, type=TYPES["apply"])
    t.eq((a.status, a.json["spec"]["replicas"]), (200, 3), "applied")
    t.ok(any(m["manager"] == "m" and m["apiVersion"] == "example.com/v2" for m in a.json["metadata"]["managedFields"]),
         "in the version of who applied it", a.json["metadata"])
    a = api.patch(at + "/w/status", {"status": {"note": "n"}})
    t.eq((a.status, a.json["status"], a.json["spec"]["host"]), (200, {"note": "n"}, "y"), "the status")
    a = api.patch(at + "/w/scale", {"spec": {"replicas": 5}})
    t.eq((a.status, a.json["spec"], api.get(at + "/w").json["spec"]["replicas"]), (200, {"replicas": 5}, 5), "the scale")
    a = api.post(at + "?dryRun=All", obj("dry", "v2", host="x"))
    t.eq((a.status, a.json["spec"]["host"], api.get(at + "/dry").status), (201, "x", 404), "a dry run")
    t.eq(api.post(at, obj("w", "v2")).status, 409, "a name that is taken")
    a = api.post(at, obj("wrong", "v2", host=1))
    t.eq((a.status, [c["field"] for c in a.json["details"]["causes"]]), (422, ["spec.host"]), "is checked in its own version")
    api.patch(at + "/w", {"metadata": {"finalizers": ["example.com/f"]}})
    a = api.delete(at + "/w")
    t.eq((a.status, a.json["apiVersion"], "deletionTimestamp" in a.json["metadata"]), (200, "example.com/v2", True), "a delete that waits")
    a = api.patch(at + "/w", {"metadata": {"finalizers": None}})
    t.eq((a.status, api.get(at + "/w").status), (200, 404), "and goes")
    api.post(at, obj("x", "v2", host="x"))
    t.eq((api.delete(at + "/x").json["status"], api.get(at + "/x").status), ("Success", 404), "a delete at once")
    asked()


def admission():
    """An admission webhook that knows only another version is not passed over."""
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    api.post(hooks, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "x"}, "webhooks": [
        {"name": "a.hook.example", "clientConfig": {"url": URL, "caBundle": CA}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
         "rules": [{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["ends"]}]}]})
    a = api.post(AT % ("v2", "ends"), obj("q", "v2", host="x"))
    t.ok(a.status == 500 and 'failed calling webhook "a.hook.example"' in a.json["message"], "an object that it could not be shown is refused", a)
    api.delete(hooks + "/x")
    asked()


def answers():
    path = AT % ("v2", "ends") + "/a"

    def lies(name, spoil, why):
        srv.spoil = spoil
        a = api.get(path)
        srv.spoil = None
        want = "conversion webhook for example.com/v1, Kind=Ends " + why
        t.eq((a.status, a.json.get("reason"), a.json["message"]), (500, None, want), name)

    def first(fn):
        return lambda answer: fn(answer["response"]["convertedObjects"][0]) and None
    uid = []

    def other_uid(answer):
        uid[:] = [answer["response"]["uid"]]
        answer["response"]["uid"] = "x"
    srv.spoil = other_uid
    a = api.get(path)
    srv.spoil = None
    t.eq((a.status, a.json["message"]), (500, "conversion webhook for example.com/v1, Kind=Ends failed: expected response.uid=\"%s\", "
                                         "got \"x\"" % uid[0]), "an answer to another question")
    lies("an answer of another kind", lambda x: x.update(kind="AdmissionReview"),
         "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=AdmissionReview")
    lies("no answer", lambda x: x.pop("response"), "failed: no response provided")
    lies("a refusal", lambda x: x["response"].update(result={"status": "Failure", "message": "broken"}), "failed: broken")
    lies("without words", lambda x: x["response"].update(result={}), "failed: response.result.status was '', not 'Success'")
    lies("too few", lambda x: x["response"].update(convertedObjects=[]), "returned 0 objects, expected 1")
    lies("too many", lambda x: x["response"]["convertedObjects"].append({}), "returned 2 objects, expected 1")
    lies("another version", first(lambda o: o.update(apiVersion="example.com/v3")),
         "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)")
    lies("another kind", first(lambda o: o.update(kind="Other")),
         "returned invalid object at index 0: invalid kind (expected Ends, received Other)")
    lies("another name", first(lambda o: o["metadata"].update(name="b")),
         "returned invalid object at index 0: must have the same name: a != b")
    lies("another namespace", first(lambda o: o["metadata"].update(namespace="b")),
         "returned invalid object at index 0: must have the same namespace: default != b")
    lies("no metadata", first(lambda o: o.update(metadata=3)), "returned invalid object at index 0: must have the same name: a != ")
    lies("labels that are none", first(lambda o: o["metadata"].update(labels={"a b": "c"})),
         "returned invalid metadata at index 0: metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', "
         "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
         "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
    lies("annotations that are no text", first(lambda o: o["metadata"].update(annotations={"a": 1})),
         "returned invalid metadata at index 0: metadata.annotations[a] must be a string, but is int64 in converted object")
    lies("an error", lambda x: (500, b"oh no"), 'failed: an error on the server ("oh no") has prevented the request from succeeding')
    lies("a redirect", lambda x: (302, b""), "failed: the server redirects (302), which is not followed")
    lies("anything", lambda x: (200, b"hello"), "failed: the answer is no ConversionReview")
    srv.spoil = first(lambda o: (o["metadata"].update(labels={"l": "1"}, annotations={"n": "2"}, generation=99, finalizers=["x/y"]),
                                 o["spec"].update(unknown=1), o.update(more=2)))
    o = api.get(path).json
    srv.spoil = None
    t.eq((o["metadata"]["labels"], o["metadata"]["annotations"], o["metadata"]["generation"] != 99, "finalizers" in o["metadata"]),
         ({"l": "1"}, {"n": "2"}, True, False), "of the metadata labels and annotations are taken")
    t.eq(("unknown" in o["spec"], "more" in o), (False, False), "and what the schema knows")
    srv.spoil = lambda x: x["response"].update(result={"status": "Failure", "message": "broken"})
    a = api.post(AT % ("v2", "ends"), obj("never", "v2", host="x"))
    t.eq((a.status, a.json["message"]), (500, "conversion webhook for example.com/v2, Kind=Ends failed: broken"), "a create fails")
    t.eq(api.get(AT % ("v2", "ends")).status, 500, "a list fails")
    t.eq(api.get(AT % ("v1", "ends")).status, 200, "the stored version does not")
    srv.spoil = None
    t.eq(api.get(AT % ("v1", "ends") + "/never").status, 404, "and nothing was stored")
    dead = "https://127.0.0.1:%d/x" % free_port()
    change("ends", lambda o: o["spec"]["conversion"]["webhook"]["clientConfig"].update(url=dead))
    a = api.get(path)
    t.ok(a.status == 500 and a.json["message"].startswith('conversion webhook for example.com/v1, Kind=Ends failed: Post "%s?timeout=30s": '
                                                          % dead), "nobody there", a)
    change("ends", lambda o: o["spec"]["conversion"]["webhook"]["clientConfig"].update(url="https://169.254.169.254/latest"))
    a = api.get(path)
    t.eq((a.status, a.json["message"]), (500, "conversion webhook for example.com/v1, Kind=Ends failed: address is not allowed"),
         "CVE-2020-8555: metadata services are not asked")
    change("ends", lambda o: o["spec"]["conversion"]["webhook"]["clientConfig"].update(url=URL))
    t.eq(api.get(path).status, 200, "and it works again")
    asked()


def restored(plural, hooked):
    """The stored version changes: what is stored stays as it is until it is written."""
    def flip(o):
        for v in o["spec"]["versions"]:
            v["storage"] = v["name"] == "v2"
    name = CRDS + "/" + plural + ".example.com"
    a = change(plural, flip)
    t.eq((a.status, a.json["status"]["storedVersions"]), (200, ["v1", "v2"]), plural + ": the stored version changes")
    asked()
    a = api.get(AT % ("v1", plural) + "/a")
    t.eq((a.json["apiVersion"], a.json["spec"]["hostPort"], asked()), ("example.com/v1", "h:80", []), "what is stored is served as it was")
    o = api.get(AT % ("v2", plural) + "/a").json
    t.eq((o["apiVersion"], o["spec"].get("host"), len(asked())), ("example.com/v2", "h" if hooked else None, hooked), "and in the new version")
    a = api.put(AT % ("v2", plural) + "/a", o)
    t.ok(a.status == 200 and a.rv != int(o["metadata"]["resourceVersion"]), "an update without a change stores it anew", a)
    asked()
    o = api.get(AT % ("v2", plural) + "/a").json
    t.eq((o["spec"].get("host"), asked()), ("h" if hooked else None, []), "which needs no webhook any more")
    a = api.put(AT % ("v2", plural) + "/a", o)
    t.eq(a.json["metadata"]["resourceVersion"], o["metadata"]["resourceVersion"], "and once only")
    a = api.get(AT % ("v1", plural))
    t.eq([i["spec"].get("hostPort") for i in a.json["items"]], ["h:80", "j:82"], "a list of both")
    o = api.get(name).json
    o["spec"]["versions"] = [v for v in o["spec"]["versions"] if v["name"] == "v2"]
    a = api.put(name, o)
    t.eq((a.status, [c["field"] for c in a.json["details"]["causes"]]), (422, ["status.storedVersions[0]"]), "the old one cannot go yet")
    b = api.get(AT % ("v2", plural) + "/b").json
    t.eq(api.put(AT % ("v2", plural) + "/b", b).status, 200, "everything is migrated")
    o = api.get(name).json
    o["status"]["storedVersions"] = ["v2"]
    t.eq(api.put(name + "/status", o).json["status"]["storedVersions"], ["v2"], "and that is said")
    o = api.get(name).json
    o["spec"]["versions"] = [v for v in o["spec"]["versions"] if v["name"] == "v2"]
    t.eq(api.put(name, o).status, 200, "then it can go")
    t.eq((api.get(AT % ("v1", plural) + "/a").status, api.get(AT % ("v2", plural) + "/a").status), (404, 200), "and is not served")
    api.delete(name)
    until("it is gone", lambda: api.get(name).status == 404)


def by_name():
    keep = {"hostPort": {"type": "string"}, "host": {"type": "string"}, "port": {"type": "integer"}}
    define("names", {"strategy": "None"}, keep, keep)
    api.post(AT % ("v1", "names"), obj("a", "v1", "names", hostPort="h:80"))
    api.post(AT % ("v2", "names"), obj("b", "v2", "names", hostPort="j:82"))
    t.eq(api.get(AT % ("v2", "names") + "/a").json["apiVersion"], "example.com/v2", "strategy None: the version alone changes")
    a = api.get(AT % ("v2", "names"), AS_TABLE)
    t.eq([c["name"] for c in a.json["columnDefinitions"]], ["Name", "Host"], "a table has the version's own columns")
    restored("names", 0)


def restart():
    """Versions of what is stored are known after a restart too."""
    define("lasts", HOOK)
    api.post(AT % ("v1", "lasts"), obj("a", "v1", "lasts", hostPort="h:80"))
    change("lasts", lambda o: [v.update(storage=v["name"] == "v2") for v in o["spec"]["versions"]])
    api.post(AT % ("v2", "lasts"), obj("b", "v2", "lasts", host="i", port=1))
    d.stop()
    d.start()
    a = Api(d).get(AT % ("v2", "lasts"))
    t.eq([i["spec"]["host"] for i in a.json["items"]], ["h", "i"], "after a restart")
    t.eq([len(x["request"]["objects"]) for x in asked()], [1], "what needs it is converted")


def bundles():
    """Certificates nobody can read are taken at first, and when they were such before, but not for some that can be read."""
    def hook(bundle):
        return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": URL, "caBundle": bundle}}}

    def to(plural, bundle):
        c = api.get(CRDS + "/" + plural + ".example.com").json
        c["spec"]["conversion"] = bundle and hook(bundle)
        return api.put(CRDS + "/" + plural + ".example.com?dryRun=All", c)

    none, other, torn = (base64.b64encode(x).decode() for x in (b"nothing", b"-----BEGIN X-----\nAAAA\n-----END X-----\n",
                                                                 b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
    for plural, conversion in (("plains", None), ("sures", hook(CA)), ("odds", hook(none))):
        define(plural, conversion)
    for plural in ("plains", "sures"):
        for bundle, why in ((none, "unable to parse bytes as PEM block"), (other, "no valid certificate authority data seen"),
                            (torn, "failed to parse certificate: x509: malformed certificate")):
            a = to(plural, bundle)
            t.eq((a.status, a.json.get("details", {}).get("causes")), (422, [{
                "reason": "FieldValueInvalid", "field": "spec.conversion.webhookClientConfig.caBundle",
                "message": 'Invalid value: "%s": unable to load root certificates: %s' % (bundle, why)}]), "%s: %s" % (plural, why))
        t.eq(to(plural, CA).status, 200, "%s: one that can be read" % plural)
    for bundle in (other, CA, None):
        t.eq(to("odds", bundle).status, 200, "instead of one that cannot be read")


for g in (definitions, reading, watching, shared, selecting, writing, admission, answers, bundles):
    group(t, g)
group(t, restored, "ends", 1)
group(t, by_name)
group(t, restart)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
