#!/usr/bin/env -S python3 -B
# run: timeout=90
"""Admission policies and their bindings: what is defaulted and refused, in upstream's words and places; who may name parameters; and that
nobody can miss that they are not enforced."""
import base64
import copy
import json

from rig import Api, CM, Daemon, Tap, config_map, group, hook_server

t = Tap()
d = Daemon().start()
d.pki.issue("hook", "/CN=hook", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n")
api, jane = Api(d), Api(d, token="token-of-jane")
G = "/apis/admissionregistration.k8s.io/v1/"
PATHS = {k: G + k.lower()[:-1] + "ies" if k.endswith("y") else G + k.lower() + "s"
         for k in [m + "AdmissionPolicy" + b for m in ("Validating", "Mutating") for b in ("", "Binding")]}
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
MATCH = {"resourceRules": [RULE]}
SPECS = {
    "ValidatingAdmissionPolicy": {"matchConstraints": MATCH, "validations": [{"expression": "false"}]},
    "MutatingAdmissionPolicy": {"matchConstraints": MATCH, "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}, {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]},
    "ValidatingAdmissionPolicyBinding": {"policyName": "p", "validationActions": ["Deny", "Audit"]},
    "MutatingAdmissionPolicyBinding": {"policyName": "p"},
}
VP, VB, MP, MB = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"


def made(kind, name="p", **spec):
    s = copy.deepcopy(SPECS[kind])
    for k, v in spec.items():
        if v is None:
            s.pop(k, None)
        else:
            s[k] = v
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": s}


def warnings(a):
    return a.headers.get_all("Warning") or []


# ---- what is refused -----------------------------------------------------------------------------------

R, I, D, F, N, M = ("FieldValue" + x for x in ("Required", "Invalid", "Duplicate", "Forbidden", "NotSupported", "TooMany"))
one = lambda **rule: dict(MATCH, resourceRules=[dict(RULE, **rule)])
sel = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
conditions = lambda *v: [dict(zip(("name", "expression"), x)) for x in v]
reference = lambda **k: dict({"name": "x", "parameterNotFoundAction": "Deny"}, **k)
both = "name and selector are mutually exclusive"
WRONG = [   # name, kind, what is different, [(reason, field, a part of the message)]
    ("no constraints", VP, {"matchConstraints": None}, [(R, "spec.matchConstraints", "")]),
    ("no rules", VP, {"matchConstraints": {}}, [(R, "spec.matchConstraints.resourceRules", "")]),
    ("nothing to check", VP, {"validations": []}, [(R, "spec.validations", "validations or auditAnnotations must contain at least one item"),
                                                   (R, "spec.auditAnnotations", "validations or auditAnnotations must contain at least one item")]),
    ("an unheard failurePolicy", VP, {"failurePolicy": "Maybe"}, [(N, "spec.failurePolicy", 'supported values: "Fail", "Ignore"')]),
    ("an unheard matchPolicy", VP, {"matchConstraints": dict(MATCH, matchPolicy="Near")}, [(N, "spec.matchConstraints.matchPolicy", '"Equivalent", "Exact"')]),
    ("a rule for nothing", VP, {"matchConstraints": one(apiGroups=[], apiVersions=[], operations=[], resources=[])}, [
        (R, "spec.matchConstraints.resourceRules[0]." + x, "") for x in ("operations", "apiGroups", "apiVersions", "resources")]),
    ("all and more", VP, {"matchConstraints": one(operations=["*", "CREATE"], resources=["*", "pods"])}, [
        (I, "spec.matchConstraints.resourceRules[0].operations", "if '*' is present, must not specify other operations"),
        (I, "spec.matchConstraints.resourceRules[0].resources", "if '*' is present, must not specify other resources without subresources")]),
    ("a rule that is left out is a rule", VP, {"matchConstraints": dict(MATCH, excludeResourceRules=[dict(RULE, operations=["LOOK"], scope="Galaxy")])}, [
        (N, "spec.matchConstraints.excludeResourceRules[0].operations[0]", '"*", "CONNECT", "CREATE", "DELETE", "UPDATE"'),
        (N, "spec.matchConstraints.excludeResourceRules[0].scope", '"*", "Cluster", "Namespaced"')]),
    ("names of objects", VP, {"matchConstraints": one(resourceNames=["a/b", "x", "x"])}, [
        (I, "spec.matchConstraints.resourceRules[0].resourceNames[0]", "may not contain '/'"),
        (D, "spec.matchConstraints.resourceRules[0].resourceNames[2]", '"x"')]),
    ("selectors", VP, {"matchConstraints": dict(MATCH, namespaceSelector=sel, objectSelector={"matchLabels": {"a b": "c"}})}, [
        (I, "spec.matchConstraints.namespaceSelector.matchExpressions[0].operator", "not a valid selector operator"),
        (I, "spec.matchConstraints.objectSelector.matchLabels", "a b")]),
    ("conditions", VP, {"matchConditions": conditions(("", "true"), ("a b", "true"), ("c", " "), ("c", "true"))}, [
        (R, "spec.matchConditions[0].name", ""), (I, "spec.matchConditions[1].name", "name part must consist of"),
        (R, "spec.matchConditions[2].expression", ""), (D, "spec.matchConditions[3].name", '"c"')]),
    ("too many conditions", VP, {"matchConditions": conditions(*[("c%d" % i, "true") for i in range(65)])}, [(M, "spec.matchConditions", "must have at most 64 items")]),
    ("no expression", VP, {"validations": [{"expression": "\t"}]}, [(R, "spec.validations[0].expression", "expression is not specified")]),
    ("texts of a validation", VP, {"validations": [{"expression": "1", "message": " ", "messageExpression": " ", "reason": "NotFound"},
                                                   {"expression": "1", "message": "a\nb"}, {"expression": "1", "message": "a\n", "reason": "Invalid"}]}, [
        (I, "spec.validations[0].messageExpression", "must be non-empty if specified"), (I, "spec.validations[0].message", "must be non-empty if specified"),
        (N, "spec.validations[0].reason", '"Forbidden", "Invalid", "RequestEntityTooLarge"'), (I, "spec.validations[1].message", "must not contain line breaks")]),
    ("annotations", VP, {"auditAnnotations": [{"key": "a b", "valueExpression": "'x'"}, {"key": "k", "valueExpression": ""},
                                              {"key": "k", "valueExpression": "x" * 5121}]}, [
        (I, "spec.auditAnnotations[0].key", 'Invalid value: "p/a b": name part must consist of'),
        (R, "spec.auditAnnotations[1].valueExpression", "valueExpression is not specified"),
        (R, "spec.auditAnnotations[2].valueExpression", "must not exceed 5120 bytes in length"), (D, "spec.auditAnnotations[2].key", '"k"')]),
    ("too many annotations", VP, {"auditAnnotations": [{"key": "k%d" % i, "valueExpression": "'x'"} for i in range(21)]}, [
        (I, "spec.auditAnnotations", "must not have more than 20 auditAnnotations")]),
    ("variables", VP, {"variables": conditions(("", "1"), ("9x", "1"), ("while", "1"), ("a", ""))}, [
        (R, "spec.variables[0].name", "name is not specified"), (I, "spec.variables[1].name", "must be a valid CEL identifier"),
        (I, "spec.variables[2].name", "must be a valid CEL identifier"), (R, "spec.variables[3].expression", "expression is not specified")]),
    ("no kind of parameters", VP, {"paramKind": {}}, [(R, "spec.paramKind.apiVersion", ""), (R, "spec.paramKind.kind", "")]),
    ("too many slashes", VP, {"paramKind": {"apiVersion": "a/b/c", "kind": "9"}}, [
        (I, "spec.paramKind.apiVersion", 'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
        (I, "spec.paramKind.kind", 'Invalid value: "9": may have mixed case, but should otherwise match: a DNS-1035 label must')]),
    ("parts of a version", VP, {"paramKind": {"apiVersion": "A/9", "kind": "K"}}, [
        (I, "spec.paramKind.apiVersion", 'Invalid value: "A": a lowercase RFC 1123 subdomain'), (I, "spec.paramKind.apiVersion", 'Invalid value: "9": a DNS-1035 label')]),
    ("a group alone", VP, {"paramKind": {"apiVersion": "a/", "kind": "K"}}, [(I, "spec.paramKind.apiVersion", "version must be specified")]),
    ("no mutations", MP, {"mutations": []}, [(R, "spec.mutations", "mutations must contain at least one item")]),
    ("no constraints of a mutation", MP, {"matchConstraints": None}, [(R, "spec.matchConstraints", "")]),
    ("mutating what goes", MP, {"matchConstraints": one(operations=["CREATE", "DELETE"])}, [
        (N, "spec.matchConstraints.resourceRules.operations", 'Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"')]),
    ("an unheard reinvocationPolicy", MP, {"reinvocationPolicy": "Often"}, [(N, "spec.reinvocationPolicy", '"IfNeeded", "Never"')]),
    ("kinds of patches", MP, {"mutations": [{"patchType": ""}, {"patchType": "Merge"}, {"patchType": "JSONPatch"}, {"patchType": "ApplyConfiguration"}]}, [
        (R, "spec.mutations[0].patchType", ""), (N, "spec.mutations[1].patchType", '"ApplyConfiguration", "JSONPatch"'),
        (R, "spec.mutations[2].jsonPatch", "must be specified when patchType is JSONPatch"),
        (R, "spec.mutations[3].applyConfiguration", "must be specified when patchType is ApplyConfiguration")]),
    ("the other member", MP, {"mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": " "}, "applyConfiguration": {"expression": "x"}},
        {"patchType": "ApplyConfiguration", "jsonPatch": {"expression": "x"}, "applyConfiguration": {"expression": ""}}]}, [
        (R, "spec.mutations[0].jsonPatch.expression", ""), (R, "spec.mutations[1].applyConfiguration.expression", ""),
        (I, "spec.mutations[0].applyConfiguration", 'Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch'),
        (I, "spec.mutations[1].jsonPatch", 'Invalid value: "{jsonPatch}": must not be specified when patchType is ApplyConfiguration')]),
    ("variables of a mutation", MP, {"variables": conditions(("in", "1"))}, [(I, "spec.variables[0].name", "must be a valid CEL identifier")]),
    ("a binding to nothing", VB, {"policyName": None, "validationActions": None}, [
        (R, "spec.policyName", ""), (R, "spec.validationActions", "at least one validation action is required")]),
    ("a name of a policy", VB, {"policyName": "A_"}, [(I, "spec.policyName", "a lowercase RFC 1123 subdomain")]),
    ("actions", VB, {"validationActions": ["Deny", "Warn", "Shout"]}, [
        (N, "spec.validationActions[2]", '"Audit", "Deny", "Warn"'), (I, "spec.validationActions", "must not contain both Deny and Warn")]),
    ("an action twice", VB, {"validationActions": ["Audit", "Audit"]}, [(D, "spec.validationActions[1]", '"Audit"')]),
    ("no parameters", VB, {"paramRef": {}}, [(R, "spec.paramRef", "one of name or selector must be specified"), (R, "spec.paramRef.parameterNotFoundAction", "")]),
    ("name and selector", VB, {"paramRef": reference(selector={})}, [(F, "spec.paramRef.name", both), (F, "spec.paramRef.selector", both)]),
    ("parts of a reference", VB, {"paramRef": reference(name="a/b", parameterNotFoundAction="Wait")}, [
        (I, "spec.paramRef.name", "may not contain '/'"), (N, "spec.paramRef.parameterNotFoundAction", '"Deny", "Allow"')]),
    ("where a binding holds", VB, {"matchResources": dict(matchPolicy="Near", resourceRules=[{}])}, [
        (N, "spec.matchResources.matchPolicy", "")] + [(R, "spec.matchResources.resourceRules[0]." + x, "") for x in ("operations", "apiGroups", "apiVersions", "resources")]),
    ("a mutating binding to nothing", MB, {"policyName": None}, [(R, "spec.policyName", "")]),
    ("one of what goes", MB, {"matchResources": one(operations=["DELETE"])}, [
        (N, "spec.matchResources.resourceRules.operations", '"*", "CONNECT", "CREATE", "UPDATE"')]),
    ("its parameters", MB, {"paramRef": {"selector": sel, "parameterNotFoundAction": "Allow"}}, [
        (I, "spec.paramRef.selector.matchExpressions[0].operator", "")]),
]


def agree(a, kind, want, name):
    s = a.json
    got = [(c["reason"], c["field"], c["message"]) for c in s.get("details", {}).get("causes", [])]
    good = (a.status, s.get("reason"), s.get("details", {}).get("kind"), s.get("details", {}).get("group")) == \
        (422, "Invalid", kind, "admissionregistration.k8s.io")
    good = good and sorted(x[:2] for x in got) == sorted(x[:2] for x in want)
    good = good and all(any(g[:2] == w[:2] and w[2] in g[2] for g in got) for w in want)
    t.ok(good, name, "%s\ngot %s\nwant %s" % (a.status, json.dumps(got, indent=1), want))


def refused():
    for name, kind, change, want in WRONG:
        agree(api.post(PATHS[kind], made(kind, **change)), kind, want, name)
    o = made(VP, auditAnnotations=[{"key": "k", "valueExpression": "'x'"}], validations=None)
    t.eq(api.post(PATHS[VP] + "?dryRun=All", o).status, 201, "annotations alone are enough")
    o["metadata"] = {"generateName": "x-"}
    t.eq(api.post(PATHS[VP] + "?dryRun=All", o).status, 201, "below a name that the server makes")
    o["metadata"] = {"name": "x" * 254}
    t.eq(api.post(PATHS[VP], o).status, 422, "a name has an end")
    hook = {"name": "h.policies.example", "clientConfig": {"url": "https://127.0.0.1:1/"}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "matchConditions": conditions(("a b", " "))}
    agree(api.post(G + "validatingwebhookconfigurations", {"metadata": {"name": "h"}, "webhooks": [hook]}), "ValidatingWebhookConfiguration", [
        (I, "webhooks[0].matchConditions[0].name", ""), (R, "webhooks[0].matchConditions[0].expression", "")], "conditions of a webhook")


# ---- what is kept --------------------------------------------------------------------------------------

def defaults():
    full = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    for kind in sorted(PATHS):
        extra = {} if kind.endswith("Policy") else {"matchResources": {"resourceRules": [dict(RULE, resourceNames=["n"])]}}
        a = api.post(PATHS[kind], made(kind, "d", **extra))
        s = a.json.get("spec", {})
        where = s.get("matchConstraints") or s.get("matchResources")
        t.eq((a.status, {k: where[k] for k in full}, where["resourceRules"][0]["scope"], a.json["metadata"]["generation"]), (201, full, "*", 1), kind)
        if kind.endswith("Policy"):
            t.eq(s["failurePolicy"], "Fail", "fails by default")
        t.eq(s.get("reinvocationPolicy"), "Never" if kind == MP else None, "reinvocation")
        a = api.patch(PATHS[kind] + "/d", {"metadata": {"labels": {"a": "b"}}})
        t.eq((a.status, a.json["metadata"]["generation"]), (200, 1), "labels are no new generation")
        where = dict(where, matchPolicy="Exact")
        a = api.patch(PATHS[kind] + "/d", {"spec": {"matchConstraints" if kind.endswith("Policy") else "matchResources": where}})
        t.eq((a.status, a.json["metadata"]["generation"]), (200, 2), "another spec is")
        o = a.json
        o["metadata"].pop("resourceVersion")
        a = api.put(PATHS[kind] + "/d", o)
        t.ok(a.status == 422 and a.json["details"]["causes"][0]["field"] == "metadata.resourceVersion", "an update says of what", a)
        t.eq(api.put(PATHS[kind] + "/e", made(kind, "e")).status, 404, "and makes nothing")


def merging():
    """Conditions and variables are merged by name; a mutation's variables are one list."""
    o = made(VP, "m", matchConditions=conditions(("a", "1")), variables=conditions(("v", "1")))
    api.post(PATHS[VP], o)
    a = api.patch(PATHS[VP] + "/m", {"spec": {"matchConditions": conditions(("b", "2")), "variables": conditions(("w", "2"))}}, "strategic")
    t.eq((sorted(x["name"] for x in a.json["spec"]["matchConditions"]), sorted(x["name"] for x in a.json["spec"]["variables"])), (["a", "b"], ["v", "w"]), "by name")
    api.post(PATHS[MP], made(MP, "m", variables=conditions(("v", "1"))))
    a = api.patch(PATHS[MP] + "/m", {"spec": {"variables": conditions(("w", "2"))}}, "strategic")
    t.eq([x["name"] for x in a.json["spec"]["variables"]], ["w"], "as one")
    for who, name in (("one", "x"), ("two", "y")):
        a = api.patch(PATHS[VP] + "/m?fieldManager=" + who, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": VP, "spec": {
            "matchConditions": conditions((name, "3"))}}, "apply")
    t.eq((a.status, sorted(x["name"] for x in a.json["spec"]["matchConditions"])), (200, ["a", "b", "x", "y"]), "each applies his own")
    a = api.patch(PATHS[VB] + "/d?fieldManager=one", {"apiVersion": "admissionregistration.k8s.io/v1", "kind": VB, "spec": {"validationActions": ["Audit"]}}, "apply")
    f = [m for m in a.json["metadata"]["managedFields"] if m["manager"] == "one"]
    t.eq((a.status, f[0]["fieldsV1"]), (200, {"f:spec": {"f:validationActions": {'v:"Audit"': {}}}}), "actions are a set")


def status():
    path = PATHS[VP] + "/s"
    a = api.post(PATHS[VP], dict(made(VP, "s"), status={"observedGeneration": 7}))
    t.eq((a.status, sorted(a.json["status"])), (201, ["conditions"]), "a new policy has no status of its maker's")
    c = a.json["status"]["conditions"][0]
    t.ok((c["type"], c["status"], c["reason"]) == ("Enforced", "False", "NotEvaluated") and "does not evaluate CEL" in c["message"], "but one that is true", c)
    now = "2026-01-02T03:04:05Z"
    good = {"observedGeneration": 1, "typeChecking": {"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": "w"}]},
            "conditions": [{"type": "T", "status": "True", "reason": "R", "message": "", "lastTransitionTime": now}]}
    o = api.get(path).json
    o["status"], o["spec"]["failurePolicy"] = good, "Ignore"
    a = api.put(path + "/status", o)
    t.eq((a.status, a.json["status"], a.json["spec"]["failurePolicy"], warnings(a)), (200, good, "Fail", []), "its subresource writes it, and nothing else")
    a = api.patch(path, {"status": {"observedGeneration": 9}, "metadata": {"labels": {"x": "y"}}})
    t.eq((a.status, a.json["status"]["observedGeneration"], [x["type"] for x in a.json["status"]["conditions"]]), (200, 1, ["T", "Enforced"]),
         "a write of the policy does not, but says again what is true")
    o = api.get(path).json
    o["status"] = {"typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]}, "conditions": [
        {"type": "a b", "status": "Yes", "reason": "9", "message": "m" * 32769, "lastTransitionTime": None, "observedGeneration": -1},
        {"type": "T", "status": "True", "reason": "", "message": "", "lastTransitionTime": now}]}
    agree(api.put(path + "/status", o), VP, [
        (R, "status.typeChecking.expressionWarnings[0].warning", ""), (R, "status.typeChecking.expressionWarnings[0].fieldRef", ""),
        (I, "status.conditions[0].type", "name part must consist of"), (N, "status.conditions[0].status", '"False", "True", "Unknown"'),
        (I, "status.conditions[0].observedGeneration", "must be greater than or equal to zero"), (R, "status.conditions[0].lastTransitionTime", "must be set"),
        (I, "status.conditions[0].reason", "a condition reason must start with alphabetic character"), ("FieldValueTooLong", "status.conditions[0].message", ""),
        (R, "status.conditions[1].reason", "must be set")], "what is wrong with a status")
    for kind in (MP, VB, MB):
        t.eq(api.get(PATHS[kind] + "/d/status").status, 404, "no status of a " + kind)


def tables():
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    api.post(PATHS[VP], made(VP, "t", paramKind={"apiVersion": "v1", "kind": "ConfigMap"}))
    api.post(PATHS[MB], made(MB, "t", paramRef=reference(namespace="n")))
    api.post(PATHS[VB], made(VB, "t", paramRef=reference(name=None, selector={
        "matchLabels": {"b": "c", "a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]})))
    cells = lambda kind, name: api.get(PATHS[kind] + "/" + name, accept).json["rows"][0]["cells"][:-1]
    heads = lambda kind: [c["name"] for c in api.get(PATHS[kind], accept).json["columnDefinitions"]]
    t.eq((heads(VP), cells(VP, "t"), cells(VP, "d")), (["Name", "Validations", "ParamKind", "Age"], ["t", 1, "v1/ConfigMap"], ["d", 1, "<unset>"]), "policies")
    t.eq((heads(MP), cells(MP, "d")), (["Name", "Mutations", "ParamKind", "Age"], ["d", 2, "<unset>"]), "mutating ones")
    t.eq((heads(MB), cells(MB, "t"), cells(MB, "d")), (["Name", "PolicyName", "ParamRef", "Age"], ["t", "p", "n/x"], ["d", "p", "<unset>"]), "bindings")
    api.patch(PATHS[MB] + "/t", {"spec": {"paramRef": {"namespace": None}}})
    t.eq((cells(MB, "t"), cells(VB, "t")), (["t", "p", "*/x"], ["t", "p", "&LabelSelector{MatchLabels:map[string]string{a: b,b: c,},MatchExpressions:"
         "[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"]), "parameters")


# ---- that nothing is enforced --------------------------------------------------------------------------

def loud():
    o = made(VP, "loud", failurePolicy="Fail", matchConditions=conditions(("c", "has(object.x)")), variables=conditions(("v", "1 + 1")),
             validations=[{"expression": "object.data.k == 'v'", "messageExpression": "'no ' + \"x\""}], auditAnnotations=[{"key": "k", "valueExpression": "'q'"}])
    where = [("spec.validations[0].expression", "object.data.k == 'v'"), ("spec.validations[0].messageExpression", "'no ' + \\\"x\\\""),
             ("spec.auditAnnotations[0].valueExpression", "'q'"), ("spec.matchConditions[0].expression", "has(object.x)"),
             ("spec.variables[0].expression", "1 + 1")]
    lines = ['299 - "%s: the expression \\"%s\\" is kept but not evaluated"' % x for x in where]
    head = '299 - "not enforced: this server does not evaluate CEL, so this ValidatingAdmissionPolicy refuses, warns of and notes nothing, ' \
           'whatever its failurePolicy says (docs/differences.md, \\"Not there yet\\"): \\"loud\\", with 5 expressions"'
    for name, a in (("a dry run", api.post(PATHS[VP] + "?dryRun=All", o)), ("a create", api.post(PATHS[VP], o)),
                    ("a patch", api.patch(PATHS[VP] + "/loud", {"metadata": {"labels": {"a": "b"}}})),
                    ("an update", api.put(PATHS[VP] + "/loud", dict(o, metadata=api.get(PATHS[VP] + "/loud").json["metadata"])))):
        t.eq((a.status // 100, warnings(a)), (2, [head] + lines), name + " says so, and names each expression")
    a = api.post(PATHS[VB], made(VB, "loud", policyName="loud"))
    t.eq(warnings(a), ['299 - "not enforced: this server does not evaluate CEL, so this ValidatingAdmissionPolicyBinding makes no policy refuse, warn of or note '
                       'anything (docs/differences.md, \\"Not there yet\\"): \\"loud\\" binds \\"loud\\""'], "so does a binding")
    t.eq(api.post(CM, config_map("let-through", {"k": "w"})).status, 201, "for it refuses nothing")
    a = api.post(PATHS[MP], made(MP, "loud"))
    w = warnings(a)
    t.ok("so this MutatingAdmissionPolicy changes nothing, whatever its failurePolicy says" in w[0] and len(w) == 3 and
         [x.split(":")[0][7:] for x in w[1:]] == ["spec.mutations[1].applyConfiguration.expression", "spec.mutations[0].jsonPatch.expression"], "a mutation", w)
    w = warnings(api.post(PATHS[MB], made(MB, "loud", policyName="loud")))
    t.ok(len(w) == 1 and "so this MutatingAdmissionPolicyBinding makes no policy change anything" in w[0], "and its binding", w)
    t.ok(not warnings(api.get(PATHS[VP] + "/loud")) and not warnings(api.delete(PATHS[MP] + "/loud")), "reading and deleting have nothing to say")
    t.eq(warnings(api.post(PATHS[VP], made(VP, "loud", validations=[]))), [], "nor has what is refused")
    many = [{"expression": "x" * 500 + str(i)} for i in range(2000)]
    a = api.post(PATHS[VP] + "?dryRun=All", made(VP, "many", validations=many))
    w = warnings(a)
    t.ok(a.status == 201 and "not enforced" in w[0] and "with 2000 expressions" in w[0] and 2 < len(w) < 30 and sum(len(x) for x in w) < 6000,
         "many expressions are so many words", [len(x) for x in w])
    w = warnings(api.post(PATHS[VP] + "?dryRun=All", made(VP, "many", validations=[{"expression": str(i)} for i in range(25)])))
    t.ok(len(w) == 22 and w[-1] == '299 - "and 5 more expressions are kept but not evaluated"', "some of many short ones", w)
    w = warnings(api.post(PATHS[VP] + "?dryRun=All", made(VP, "x" * 100 + "." + "x" * 150)))
    t.ok(len(w) == 2 and "nothing, whatever" in w[0], "a long name hides nothing", w)
    w = warnings(api.post(PATHS[MP] + "?dryRun=All", made(MP, "a.static.k8s.io")))
    t.ok('names ending with \\".static.k8s.io\\" are reserved' in w[-1], "names for files are not for here", w)


# ---- who -----------------------------------------------------------------------------------------------

def parameters():
    """Who binds parameters could read them through a policy: he must be allowed to."""
    RBAC = "/apis/rbac.authorization.k8s.io/v1/"
    admin = {"verbs": ["*"], "apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"]}

    def may(*rules):
        role = {"metadata": {"name": "jane"}, "rules": [admin] + list(rules)}
        if api.put(RBAC + "clusterroles/jane", role).status == 404:
            api.post(RBAC + "clusterroles", role)
    may()
    api.post(RBAC + "clusterrolebindings", {"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "jane"},
                                            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]})
    maps, who = {"apiVersion": "v1", "kind": "ConfigMap"}, "user &{jane uid-1 [dev ops system:authenticated] map[]} "
    get = lambda *what, **more: dict({"verbs": ["get"], "apiGroups": [""], "resources": list(what)}, **more)
    for kind in (VP, MP):
        path = PATHS[kind] + "?dryRun=All"
        t.eq(jane.post(path, made(kind)).status, 201, "no parameters, no question")
        agree(jane.post(path, made(kind, paramKind=maps)), kind, [
            (F, "spec.paramKind", "Forbidden: " + who + 'must have "get" permission on all objects of the referenced paramKind (kind=ConfigMap, apiVersion=v1)')],
            "of a kind that she may not read")
    agree(jane.post(PATHS[VP], made(VP, paramKind=maps, validations=[])), VP, [(R, "spec.validations", ""), (R, "spec.auditAnnotations", "")],
          "what is wrong anyway is said alone")
    may(get("configmaps", resourceNames=["x"]))
    t.eq(jane.post(PATHS[VP] + "?dryRun=All", made(VP, paramKind=maps)).status, 422, "one of them is not enough")
    may(get("configmaps"))
    a = jane.post(PATHS[VP], made(VP, "jane", paramKind=maps))
    t.eq(a.status, 201, "who may read them may name them")
    unknown = {"apiVersion": "none.example/v1", "kind": "None"}
    t.eq(jane.post(PATHS[VP] + "?dryRun=All", made(VP, paramKind=unknown)).status, 422, "a kind that is not there could be any")
    may(get("*", apiGroups=["none.example"]))
    t.eq(jane.post(PATHS[VP] + "?dryRun=All", made(VP, paramKind=unknown)).status, 201, "of its group")
    t.eq(jane.patch(PATHS[VP] + "/jane", {"metadata": {"labels": {"a": "b"}}}).status, 200, "what was named before is not asked about")
    binding = made(VB, "jane", policyName="jane", paramRef=reference(namespace="default"))
    agree(jane.post(PATHS[VB], binding), VB, [
        (F, "spec.paramRef", "Forbidden: " + who + 'does not have "get" permission on the object referenced by paramRef')], "nor may a binding")
    may(get("configmaps", resourceNames=["x"]))
    t.eq(jane.post(PATHS[VB], binding).status, 201, "but to the one that she may read")
    t.eq(jane.patch(PATHS[VB] + "/jane", {"spec": {"paramRef": {"name": "y"}}}).status, 422, "and no other")
    binding["metadata"]["name"], binding["spec"]["paramRef"]["name"] = "other", "y"
    t.eq(api.post(PATHS[VB] + "?dryRun=All", binding).status, 201, "an administrator needs no leave")


def custom_parameters():
    props = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {"metadata": {"name": "limits.policies.example"}, "spec": {
        "group": "policies.example", "scope": "Namespaced", "names": {"plural": "limits", "singular": "limit", "kind": "Limit"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": props}}]}})
    w = api.watch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dlimits.policies.example")
    while not any(c["type"] == "Established" and c["status"] == "True" for c in w.next()["object"].get("status", {}).get("conditions") or []):
        pass
    w.close()
    role = api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/jane").json
    role["rules"].append({"verbs": ["get"], "apiGroups": ["policies.example"], "resources": ["limits"]})
    api.put("/apis/rbac.authorization.k8s.io/v1/clusterroles/jane", role)
    limit = lambda version: made(VP, paramKind={"apiVersion": "policies.example/" + version, "kind": "Limit"})
    t.eq(jane.post(PATHS[VP] + "?dryRun=All", limit("v1")).status, 201, "a custom kind is found by its definition")
    t.eq(jane.post(PATHS[VP] + "?dryRun=All", limit("v2")).status, 422, "in the versions that it has")


def untouched():
    """No webhook is asked about what decides who is asked."""
    srv = hook_server(d, lambda path, review: (200, {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"], "allowed": False}}, {}))
    with open(d.pki.ca, "rb") as f:
        ca = base64.b64encode(f.read()).decode()
    hook = {"name": "all.policies.example", "clientConfig": {"url": "https://127.0.0.1:%d/x" % srv.server_address[1], "caBundle": ca}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]}
    for kind in ("validating", "mutating"):
        path = G + kind + "webhookconfigurations"
        a = api.post(path, {"metadata": {"name": "all"}, "webhooks": [hook]})
        t.eq(a.status, 201, "a webhook that refuses all")
        t.ok(api.post(CM, config_map("no")).status >= 400, "is asked about others")
        with srv.lock:
            del srv.seen[:]
        for k in sorted(PATHS):
            got = [api.post(PATHS[k], made(k, "u")).status, api.patch(PATHS[k] + "/u", {"metadata": {"labels": {"a": kind}}}).status]
            if k == VP:
                got.append(api.patch(PATHS[k] + "/u/status", {"status": {"observedGeneration": 1}}).status)
            got += [api.delete(PATHS[k] + "/u").status, api.delete(PATHS[k] + "?labelSelector=none").status]
            t.eq(set(got), {200, 201}, "not about a " + k)
        t.eq(srv.seen, [], "at all")
        api.delete(path + "/all")
    srv.shutdown()


for fn in (refused, defaults, merging, status, tables, loud, parameters, custom_parameters, untouched):
    group(t, fn)
t.eq(d.stop(), 0, "the end")
t.done()
