#!/usr/bin/env -S python3 -B
# run: timeout=120
"""What a query may say: how booleans and numbers are read, which options a request has at all, and what is said of those that are wrong; the
options of a deletion in its body; those of logs and ports."""
from rig import Api, CM, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
N = "/api/v1/namespaces/default"
ONE, POD = CM + "/c", N + "/pods/p"
INT = 'strconv.ParseInt: parsing %s: %s'


def said(method, path, status, message, body=None, **kw):
    a = api(method, path, body, **kw)
    t.eq((a.status, a.json.get("message", "") if message is not None else None), (status, message), "%s %s %s" % (method, path, body or ""))
    return a


def numbers():
    for v, word, why in (("x", '"x"', "invalid syntax"), ("", '""', "invalid syntax"), ("1.5", '"1.5"', "invalid syntax"), ("0x5", '"0x5"', "invalid syntax"),
                         ("99999999999999999999", '"99999999999999999999"', "value out of range"), ("a%22b%0A", '"a\\"b\\n"', "invalid syntax")):
        for option in ("limit", "timeoutSeconds"):
            said("GET", "%s?%s=%s" % (CM, option, v), 400, INT % (word, why))
        said("DELETE", "%s?dryRun=All&gracePeriodSeconds=%s" % (ONE, v), 400, INT % (word, why))
    for v in ("%2B5", "007", "-1", "1&limit=x"):
        said("GET", "%s?limit=%s" % (CM, v), 200, None)
    for v, why in (("x", "invalid syntax"), ("-1", "invalid syntax"), ("99999999999999999999", "value out of range")):
        said("GET", "%s?resourceVersion=%s" % (CM, v), 400, 'invalid resource version: resourceVersion: Invalid value: "%s": strconv.ParseUint: parsing "%s": %s' % (v, v, why))


def booleans():
    """All but two words are yes, whatever they are."""
    apply = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "mine"}}
    for v, status in (("", 200), ("x", 200), ("f", 200), ("no", 200), ("0", 409), ("false", 409), ("fAlse", 409), ("0&force=1", 409)):
        a = api.patch("%s?dryRun=All&fieldManager=m&force=%s" % (ONE, v), apply, "apply")
        t.eq(a.status, status, "force=" + v)
    for v, orphans in (("yes", True), ("", True), ("F", True), ("0", False), ("FALSE", False)):
        a = api.delete(ONE + "?dryRun=All&orphanDependents=" + v)
        t.eq((a.status, "orphan" in a.json.get("metadata", {}).get("finalizers", [])), (200, orphans), "orphanDependents=" + v)
    said("GET", CM + "?allowWatchBookmarks=x", 200, None)
    a = said("GET", CM + "?sendInitialEvents=0", 422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list')
    t.ok("\n" in api.get(ONE + "?pretty=x").text, "pretty=x")


def others():
    """An option that a request does not have says nothing."""
    for method, path, body, status in (
            ("GET", ONE + "?limit=x&timeoutSeconds=x&gracePeriodSeconds=x&resourceVersionMatch=x&continue=x", None, 200), ("GET", CM + "?gracePeriodSeconds=x&dryRun=x", None, 200),
            ("GET", ONE + "?includeObject=x", None, 200),
            ("POST", CM + "?dryRun=All&limit=x&gracePeriodSeconds=x&resourceVersion=x", config_map("d"), 201),
            ("PUT", ONE + "?dryRun=All&propagationPolicy=x&limit=x", config_map("c"), 200),
            ("DELETE", ONE + "?dryRun=All&limit=x&timeoutSeconds=x&fieldManager=a%0Ab", None, 200)):
        said(method, path, status, None, body)
    said("GET", ONE + "?includeObject=x", 400, 'unrecognized includeObject value: "x"', headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})


def wrong():
    """What is wrong is said all at once, in upstream's order."""
    word = "%s.meta.k8s.io \"\" is invalid: %s"
    dry = 'dryRun: Unsupported value: [%s]: supported values: "All"'
    for v, has in (("x", '"x"'), ("", '""'), ("all", '"all"'), ("All&dryRun=x", '"All","x"')):
        said("POST", CM + "?dryRun=" + v, 422, word % ("CreateOptions", dry % has), config_map("d"))
        said("DELETE", ONE + "?dryRun=" + v, 422, word % ("DeleteOptions", dry % has))
    said("POST", CM + "?dryRun=All&dryRun=All", 201, None, config_map("d"))
    said("PUT", ONE + "?dryRun=x&fieldManager=a%0Ab", 422, word % ("UpdateOptions", '[fieldManager: Invalid value: "a\\nb": invalid character U+000A (at position 1), %s]' % (
        dry % '"x"')), config_map("c"))
    a = api.put(ONE + "?dryRun=All&fieldManager=" + "%01" * 5000, config_map("c"))
    t.eq((a.status, len(a.json["details"]["causes"]), a.json["details"]["causes"][0]["reason"]), (422, 130, "FieldValueTooLong"), "of what is too long not every character is told")
    a = api.patch(ONE + "?dryRun=x", {"apiVersion": "v1", "kind": "ConfigMap"}, "apply")
    t.eq((a.status, [c["field"] for c in a.json["details"]["causes"]]), (422, ["fieldManager", "dryRun"]), "of an apply")
    a = api.patch(ONE + "?force=0&fieldValidation=x", {}, "merge")
    t.eq((a.status, [c["field"] for c in a.json["details"]["causes"]]), (422, ["force", "fieldValidation"]), "of a patch")
    unless, bad = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided", 'Unsupported value: "x": supported values: "Exact", "NotOlderThan", ""'
    for method in ("GET", "DELETE"):
        a = api(method, CM + "?resourceVersionMatch=x&labelSelector=none")
        t.eq((a.status, a.json["details"]["kind"], [c["message"] for c in a.json["details"]["causes"]]), (422, "ListOptions", [unless, bad]), method + " of many")
    a = api.get(CM + "?watch=1&resourceVersionMatch=x")
    t.eq([c["message"] for c in a.json["details"]["causes"]], ["Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
         'Unsupported value: "x": supported values: "NotOlderThan"'], "of a watch")
    for v in ("", "x", "orphan"):
        said("DELETE", ONE + "?dryRun=All&propagationPolicy=" + v, 422, word % (
            "DeleteOptions", 'propagationPolicy: Unsupported value: "%s": supported values: "Foreground", "Background", "Orphan", "nil"' % v))
    said("GET", CM + "?continue=x&resourceVersion=5", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0")


def preconditions():
    rv, uid = api.get(ONE).rv, api.get(ONE).json["metadata"]["uid"]
    for q, status in (("resourceVersion=x", 409), ("resourceVersion=" + rv, 200), ("uid=x", 409), ("uid=" + uid, 200)):
        t.eq(api.delete(ONE + "?dryRun=All&" + q).status, status, "a query's " + q.partition("=")[0] + " is a precondition")


def bodies():
    """Of a body nothing but the body counts, and it must be one."""
    unmarshal = "json: cannot unmarshal %s into Go struct field %s of type %s"
    for body, word in (
            ('{"dryRun":"All"}', ("string", "DeleteOptions.dryRun", "[]string")), ('{"dryRun":[1]}', ("number", "DeleteOptions.dryRun", "string")),
            ('{"gracePeriodSeconds":"x"}', ("string", "DeleteOptions.gracePeriodSeconds", "int64")),
            ('{"gracePeriodSeconds":1.5}', ("number 1.5", "DeleteOptions.gracePeriodSeconds", "int64")),
            ('{"orphanDependents":1}', ("number", "DeleteOptions.orphanDependents", "bool")),
            ('{"propagationPolicy":1}', ("number", "DeleteOptions.propagationPolicy", "v1.DeletionPropagation")),
            ('{"preconditions":[]}', ("array", "DeleteOptions.preconditions", "v1.Preconditions")),
            ('{"preconditions":{"uid":1}}', ("number", "Preconditions.preconditions.uid", "types.UID"))):
        for path in (ONE, CM + "?labelSelector=none"):
            said("DELETE", path, 400, unmarshal % word, body)
    t.eq(api.get(ONE).status, 200, "nothing was deleted by any of them")
    said("DELETE", ONE + "?propagationPolicy=x&gracePeriodSeconds=x", 200, None, '{"dryRun":["All"]}')
    said("DELETE", ONE, 200, None, '{"dry\\u0052un":["All"]}')
    t.eq(api.get(ONE).status, 200, "a name with an escape is that name")
    said("DELETE", ONE, 409, None, '{"preconditions":{"u\\u0069d":"other"}}')
    t.eq(api.delete(ONE, '{"dryRun":["All","x"]}').json["details"]["causes"][0]["message"], 'Unsupported value: ["All","x"]: supported values: "All"', "all of a list is told")
    api.post(CM, config_map("gone"))
    said("DELETE", CM + "/gone?dryRun=All", 200, None, '{"gracePeriodSeconds":0}')
    t.eq(api.get(CM + "/gone").status, 404, "also what the query says of trying only")
    a = api.delete(CM + "?labelSelector=none", '{"propagationPolicy":"x"}')
    t.eq((a.status, a.json["details"]["kind"]), (422, "DeleteOptions"), "it is looked at if there is nothing to delete")
    said("DELETE", ONE + "?dryRun=All", 400, 'couldn\'t get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct '
         '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }', "[]")


def pods():
    api.post(N + "/serviceaccounts", {"metadata": {"name": "default"}})
    api.post(N + "/pods", {"metadata": {"name": "p"}, "spec": {"schedulerName": "none", "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}})
    for q in ("", "?follow=x", "?previous=no&timestamps=", "?tailLines=0&sinceTime=2020-01-01T00:00:00Z"):
        t.eq(api.get(POD + "/log" + q).status, 204, "of a pod that is nowhere yet there is no log" + q)
    word = 'PodLogOptions "p" is invalid: '
    for q, status, message in (
            ("tailLines=x", 400, INT % ('"x"', "invalid syntax")), ("limitBytes=", 400, INT % ('""', "invalid syntax")),
            ("sinceTime=x", 400, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
            ("tailLines=-1", 422, word + "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0&sinceSeconds=0", 422, word + "[limitBytes: Invalid value: 0: must be greater than 0, sinceSeconds: Invalid value: 0: must be greater than 0]"),
            ("sinceSeconds=5&sinceTime=2020-01-01T00:00:00Z", 422, word + "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
            ("container=x", 400, "container x is not valid for pod p")):
        a = said("GET", POD + "/log?" + q, status, message)
        if status == 422:
            t.eq((a.json["details"]["kind"], a.json["details"]["name"]), ("PodLogOptions", "p"), "details")
    t.eq(api.get(N + "/pods/none/log?tailLines=x").status, 400, "before the pod is looked for")
    for q in ("exec?command=a&stdout=1", "attach?stdout=x", "portforward?ports=80,443"):
        said("POST", POD + "/" + q, 400, "pod p does not have a host assigned", "")
    said("POST", POD + "/exec?container=x", 400, "container x is not valid for pod p", "")
    for v, bad, why in (("x", "x", "invalid syntax"), ("80,x", "x", "invalid syntax"), ("80&ports=65536", "65536", "value out of range")):
        said("GET", POD + "/portforward?ports=" + v, 400, 'cannot convert to []int32: strconv.ParseUint: parsing "%s": %s' % (bad, why))


def evictions():
    for q, body in (("?dryRun=All", {}), ("", {"deleteOptions": {"dryRun": ["All"]}}), ("?dryRun=All", {"deleteOptions": {"gracePeriodSeconds": 0}})):
        a = api.post(POD + "/eviction" + q, dict({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}, **body))
        t.eq((a.status, "deletionTimestamp" in api.get(POD).json["metadata"]), (201, False), "an eviction that is tried only %s %s" % (q, body))
    a = api.post(POD + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": "x"})
    t.eq((a.status, a.json["message"]), (400, 'Eviction in version "v1" cannot be handled as a Eviction: json: cannot unmarshal string into Go struct field '
                                              'Eviction.deleteOptions of type v1.DeleteOptions'), "options that are none")
    a = api.post(POD + "/eviction?propagationPolicy=x", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}})
    t.eq((a.status, api.get(POD).status), (201, 404), "what a query says of deletions is not said of evictions")


api.post(CM + "?fieldManager=first", dict(config_map("c"), data={"k": "v"}))
for g in (numbers, booleans, others, wrong, preconditions, bodies, pods, evictions):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
