#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Bodies that are none, or of something else: what is said of them, word by word as upstream says it."""
import binascii

from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
DRY = CM + "?dryRun=All"
NOT = "the object provided is unrecognized (must be of type ConfigMap): %s (%s)"
TYPE = "couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }"
AS = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '


def start_of(body):
    more = " ..." if len(body) > 30 else ""
    return (body[:30] if body[:1] == "{" else binascii.hexlify(body[:30].encode()).decode()) + more


def refused(body, message, path=DRY, type="application/json", method="POST", code=400):
    a = api(method, path, body, type=type)
    t.eq((a.status, a.json["message"]), (code, message), "%s %.60r" % (type.partition("/")[2], body))
    return a


def yaml():
    long = "a: [" + " " * 40
    for body, why in (("a: [", "line 1: did not find expected node content"), ("a: b: c", "mapping values are not allowed in this context"), ("*x", "unknown anchor 'x' referenced"),
                      ("{a: b", "line 1: did not find expected ',' or '}'"), (long, "line 1: did not find expected node content")):
        refused(body, NOT % ("yaml: " + why, start_of(body)), type="application/yaml")
    for body, kind in (("- a\n- b", "array"), ("just text", "string"), ("5", "number")):
        refused(body, NOT % (TYPE % kind, start_of(body)), type="application/yaml")
    a = api.post(DRY, "# nothing", type="application/yaml")
    t.eq((a.status, a.json["details"]["causes"][0]["field"]), (422, "metadata.name"), "of nothing the name is missing")
    refused("a: [", "yaml: line 1: did not find expected node content", path=CM + "/c?dryRun=All", type="application/yaml", method="DELETE")
    refused("a: [", "the object provided is unrecognized (must be of type Scale): yaml: line 1: did not find expected node content (613a205b)",
            path="/apis/apps/v1/namespaces/default/deployments/none/scale", type="application/yaml", method="PUT")


def kinds():
    no = '%s in version "%s" cannot be handled as a ConfigMap: no kind "%s" is registered for version "%s" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
    for body in ('{"kind":5}', '{"apiVersion":[],"kind":5,"metadata":{}}'):
        word = ("array", "apiVersion") if "[]" in body else ("number", "kind")
        refused(body, NOT % ("couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go struct field .%s of type string" % word, start_of(body)))
    for version, kind, message in (("v1", "Blub", no % ("Blub", "v1", "Blub", "v1")), ("v2", "ConfigMap", no % ("ConfigMap", "v2", "ConfigMap", "v2")),
                                   ("a.b/v1", "ConfigMap", no % ("ConfigMap", "v1", "ConfigMap", "a.b/v1")),
                                   ("v1", "Pod", 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion')):
        refused('{"kind":"%s","apiVersion":"%s"}' % (kind, version), message)
    body = '{"kind":"ConfigMap","apiVersion":"a/b/c"}'
    refused(body, NOT % ("unexpected GroupVersion string: a/b/c", start_of(body)))
    refused('{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2"}', "the API version in the data (autoscaling/v2) does not match the expected API version (autoscaling/v1)",
            path="/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers")
    a = api.post(DRY, "null")
    t.eq((a.status, a.json["details"]["causes"][0]["field"]), (422, "metadata.name"), "null is an object without members")


def aside():
    """What is not the client's to say is read nevertheless."""
    for field, value, why in (("creationTimestamp", "x", 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
                              ("generation", "1", "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.generation of type int64"),
                              ("uid", 5, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.uid of type"),
                              ("deletionTimestamp", [], "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.deletionTimestamp of type")):
        for method, path in (("POST", DRY), ("PUT", CM + "/c?dryRun=All")):
            a = api(method, path, config_map("c", **{field: value}))
            t.ok(a.status == 400 and why in a.json["message"] and a.json["message"].startswith(AS), "%s %s" % (method, field), a)
    a = api.post(DRY, config_map("n", creationTimestamp=None, generation=None, uid="x", resourceVersion=""))
    t.eq(a.status, 201, "what is null, or what it should be, is passed over")


def patches():
    for kind in ("merge", "strategic"):
        a = api.patch(CM + "/c?dryRun=All", {"metadata": 5}, kind)
        t.ok(a.status == 422 and a.json["details"]["causes"][0]["field"] == "patch" and a.json["message"].startswith(' "" is invalid: patch: Invalid value: '),
             "a %s patch that leaves no object is invalid as a patch" % kind, a)
    a = api.patch(CM + "/c?dryRun=All", {"metadata": {"creationTimestamp": "x"}}, "merge")
    t.eq((a.status, a.json["details"]["causes"][0]["field"]), (422, "patch"), "so is one that leaves a time that is none")


def subresources():
    """A body that is something else does not evict or bind."""
    n = "/api/v1/namespaces/default"
    api.post(n + "/serviceaccounts", {"metadata": {"name": "default"}})
    api.post(n + "/pods", {"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}})
    other = 'Pod in version "v1" cannot be handled as a %s: converting (v1.Pod) to (%s.%s): unknown conversion'
    for sub, kind, group in (("eviction", "Eviction", "policy"), ("binding", "Binding", "core")):
        path = n + "/pods/p/" + sub
        refused('{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"target":{"name":"n"}}', other % (kind, group, kind), path=path)
        refused("{", "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: unexpected end of JSON input ({)" % kind, path=path)
        refused("[]", "the object provided is unrecognized (must be of type %s): %s (5b5d)" % (kind, TYPE % "array"), path=path)
    for body in ("{}", "null", '{"metadata":{"name":"q"}}'):
        refused(body, "name in URL does not match name in Eviction object", path=n + "/pods/p/eviction")
    a = api.get(n + "/pods/p")
    t.eq((a.status, a.json["spec"].get("nodeName")), (200, None), "the pod is there, and nowhere")


def parts():
    """Bodies of subresources are read as any other: kind, types, and what strictness asks for."""
    n = "/api/v1/namespaces/default"
    field = '%s in version "v1" cannot be handled as a %s: json: cannot unmarshal %s into Go struct field %s of type %s'
    strict = '%s in version "v1" cannot be handled as a %s: strict decoding error: unknown field "%s"'
    scale = "/apis/apps/v1/namespaces/default/deployments/d/scale"
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    t.eq(api.post("/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "d"}, "spec": spec}).status, 201, "a Deployment")
    for path, version, kind, cases in (
            (n + "/pods/p/binding", "v1", "Binding", (
                ('{"target":5}', "number", "Binding.target", "v1.ObjectReference"),
                ('{"metadata":[],"target":{"name":"n"}}', "array", "Binding.metadata", "v1.ObjectMeta"),
                ('{"target":{"name":5}}', "number", "ObjectReference.target.name", "string"))),
            (n + "/bindings", "v1", "Binding", (
                ('{"metadata":{"name":"p"},"target":{"name":{}}}', "object", "ObjectReference.target.name", "string"),)),
            (n + "/serviceaccounts/default/token", "authentication.k8s.io/v1", "TokenRequest", (
                ('{"spec":{"audiences":"a"}}', "string", "TokenRequestSpec.spec.audiences", "[]string"),
                ('{"spec":{"expirationSeconds":"a"}}', "string", "TokenRequestSpec.spec.expirationSeconds", "int64"),
                ('{"spec":{},"status":5}', "number", "TokenRequest.status", "v1.TokenRequestStatus"))),
            (n + "/pods/p/eviction", "policy/v1", "Eviction", (
                ('{"deleteOptions":5}', "number", "Eviction.deleteOptions", "v1.DeleteOptions"),
                ('{"metadata":{"name":"p"},"deleteOptions":{"dryRun":"All"}}', "string", "DeleteOptions.deleteOptions.dryRun", "[]string"),
                ('{"metadata":"p"}', "string", "Eviction.metadata", "v1.ObjectMeta"))),
            (scale, "autoscaling/v1", "Scale", (
                ('{"spec":{"replicas":"a"}}', "string", "ScaleSpec.spec.replicas", "int32"),))):
        method = "PUT" if kind == "Scale" else "POST"
        for body, got, where, want in cases:
            refused(body, field % (kind, kind, got, where, want), path=path, method=method)
        refused('{"kind":"%s","apiVersion":"%s","metadata":{"nome":"p"}}' % (kind, version), strict % (kind, kind, "metadata.nome"),
                path=path + "?fieldValidation=Strict", method=method)
        w = api(method, path + "?dryRun=All", '{"x":1,"x":2}', type="application/json").headers.get_all("Warning") or []
        t.ok('299 - "unknown field \\"x\\""' in w and '299 - "duplicate field \\"x\\""' in w, "else with warnings, a %s" % kind, w)
        refused('{"apiVersion":"a.b/v7","kind":"%s"}' % kind, '%s in version "v7" cannot be handled as a %s: no kind "%s" is registered for version "a.b/v7" in scheme '
                '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"' % (kind, kind, kind), path=path, method=method)
        refused("", "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)" % kind,
                path=path, method=method)
    a = api.patch(scale, {"spec": {"replicas": "a"}})
    t.ok(a.status == 422 and a.json["details"]["causes"][0]["field"] == "patch" and a.json["message"].endswith(
        "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32"), "a patch of a Scale", a)
    old = '{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"p"}}'
    t.eq(api.post(n + "/pods/p/eviction?dryRun=All", old).status, 201, "an Eviction of the older version is one")
    t.eq(api.post(n + "/pods/p/binding", '{"target":{"name":"n"},"x":1}').status, 201, "what is unknown is dropped")


api.post(CM, config_map("c"))
for g in (yaml, kinds, aside, patches, subresources, parts):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
