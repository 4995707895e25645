#!/usr/bin/env -S python3 -B
# run: timeout=120
"""fieldValidation: fields that nobody knows or that stand there twice, in every form of a write, ignored, warned of or refused; owners that
are named twice; dryRun where there is none."""
from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
YAML = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: '1'}\ndata: {b: '2'}\n%s"
JSON = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"a":"1","a":"2"},"odd":1}'
DRY = "dryRun=All&fieldManager=m"
HANDLED = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '


def warnings(a):
    return [w[7:-1].replace('\\"', '"') for w in a.headers.get_all("Warning", [])]


def three(what, ask, found, code, message, doc=False):
    """The same request with each word: what it @found is warned of, or refused with @code."""
    for word in ("", "&fieldValidation=Warn"):
        a = ask(DRY + word)
        t.eq((a.status in (200, 201), warnings(a)), (True, found), "%s: warned of %s" % (what, word))
    a = ask(DRY + "&fieldValidation=Ignore")
    t.eq((a.status in (200, 201), warnings(a)), (True, []), what + ": ignored")
    a = ask(DRY + "&fieldValidation=Strict")
    good = a.status == code and (a.json["message"].endswith(message) if code == 422 else a.json["message"] == message)
    if code == 422:
        good = good and [(c["field"], c["reason"]) for c in a.json["details"]["causes"]] == [("patch", "FieldValueInvalid")]
    t.ok(good, what + ": refused", a)


def bodies():
    api.post(CM, config_map("there", {"k": "v"}))
    both = ['duplicate field "data.a"', 'unknown field "odd"']
    three("create", lambda q: api.post(CM + "?" + q, JSON % "new"), both, 400, HANDLED + ", ".join(both))
    three("update", lambda q: api.put(CM + "/there?" + q, JSON % "there"), both, 400, HANDLED + ", ".join(both))
    line = 'line 5: key "data" already set in map'
    for what, ask in (("create", lambda q: api.post(CM + "?" + q, YAML % ("new", "odd: 1\n"), type="application/yaml")),
                      ("update", lambda q: api.put(CM + "/there?" + q, YAML % ("there", "odd: 1\n"), type="application/yaml"))):
        three(what + " in YAML", ask, [line, both[1]], 400, HANDLED + "yaml: unmarshal errors:\n  " + line + ", " + both[1])
    t.eq(api.post(CM + "?" + DRY, YAML % ("new", ""), type="application/yaml").json["data"], {"b": "2"}, "of two the last one holds")
    three("apply", lambda q: api.patch(CM + "/new?" + q, YAML % ("new", ""), "apply"), [line], 400,
          "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  " + line)
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?"
    review = {"spec": {"odd": 1, "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    three("a review", lambda q: api.post(reviews + q, review), ['unknown field "spec.odd"'], 400,
          'SelfSubjectAccessReview in version "v1" cannot be handled as a SelfSubjectAccessReview: strict decoding error: unknown field "spec.odd"')


def patches():
    twice = '{"data":{"a":"1","a":"2"},"odd":{"y":[1,"x",null,true],"x":1.5}}'
    both = ['duplicate field "data.a"', 'unknown field "odd"']
    say = "strict decoding error: " + ", ".join(both)
    three("merge", lambda q: api.patch(CM + "/there?" + q, twice), both, 422, say)
    three("strategic", lambda q: api.patch(CM + "/there?" + q, twice, "strategic"), both, 422,
          '"map[data:map[a:2] odd:map[x:1.5 y:[1 x <nil> true]]]": ' + say)
    ops = '[{"op":"add","path":"/data/a","path":"/data/b","value":"1","more":1},{"op":"add","path":"/odd","value":1}]'
    found = ['json patch duplicate field "[0].path"', 'json patch unknown field "[0].more"', 'unknown field "odd"']
    three("JSON patch", lambda q: api.patch(CM + "/there?" + q, ops, "json"), found, 422, "strict decoding error: " + ", ".join(found))
    a = api.patch(CM + "/there?" + DRY, {"data": {"a": 1}}, "strategic")
    t.ok(a.status == 422 and 'patch: Invalid value: "map[data:map[a:1]]": ' in a.json["message"], "what leaves no such object", a)


def owners():
    x, y = ({"apiVersion": "v1", "kind": "X", "name": n, "uid": "u"} for n in "xy")
    say = ".metadata.ownerReferences contains duplicate entries%s; API server dedups owner references in 1.20+, and may reject such " \
          "requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u"
    a = api.post(CM, config_map("owned", ownerReferences=[x, y, x]))
    t.eq((a.status, a.json["metadata"]["ownerReferences"], warnings(a)), (201, [x, y], [say % ""]), "an owner that is named twice is one")
    a = api.patch(CM + "/owned", {"metadata": {"ownerReferences": [y, y, x]}})
    t.eq((a.status, a.json["metadata"]["ownerReferences"], warnings(a)), (200, [y, x], [say % " after mutating admission happens"]), "by a patch, too")


def unread():
    word = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
    t.eq(api.post(CM, "").json["message"], word + "unexpected end of JSON input (<empty>)", "nothing is shown as such")
    a = api.post(CM, "[1]")
    t.ok(a.json["message"].startswith(word) and a.json["message"].endswith(" (5b315d)"), "what is no object in bytes", a)


def connected():
    """What leads to a pod cannot be tried without being done."""
    for sub in ("exec?command=ls&", "attach?", "portforward?", "proxy/x?"):
        a = api.post("/api/v1/namespaces/default/pods/p/%sdryRun=All" % sub, "")
        t.eq((a.status, a.json["message"]), (400, "dryRun is not supported"), sub)


def much():
    """Of long warnings no more is said than a header can have; shorter than that they are as they are."""
    long = lambda n, size: [("%03d" % i) + "\u00e4" * (size - 3) for i in range(n)]
    for n, size, want, each in ((13, 290, 13, 306), (20, 300, 16, 256), (1, 200000, 1, 256), (90, 10, 90, 26)):
        a = api.post(CM + "?" + DRY, dict(config_map("much"), **{k: 1 for k in long(n, size)}))
        t.eq((a.status, [len(w.encode("latin-1").decode()) for w in warnings(a)]), (201, [each] * want), "%d of %d" % (n, size))


for g in (bodies, patches, owners, unread, connected, much):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
