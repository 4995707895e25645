#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Rules of Jobs, Services, autoscalers and flows of requests that came after Kubernetes 1.20 (what is older is recorded: tests/oracle)."""
import os

from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
I, Q, N, D, F = ("FieldValue" + x for x in ("Invalid", "Required", "NotSupported", "Duplicate", "Forbidden"))
POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
NS = "/namespaces/default/"


def failing(*rules, **spec):
    return dict({"podFailurePolicy": {"rules": list(rules)}}, **spec)


def succeeding(*rules):
    return {"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": list(rules)}}


def codes(*values, **more):
    return {"action": "FailJob", "onExitCodes": dict({"operator": "In", "values": list(values)}, **more)}


READY = [{"type": "Ready", "status": "True"}]
RULE, WON = "podFailurePolicy.rules[0]", "successPolicy.rules[0]"
jobs = [
    ("a failure", failing(codes(1, 5), {"action": "Ignore", "onPodConditions": READY}), []),
    ("that says nothing", failing({"action": "FailJob"}), [(I, RULE, "Invalid value: specifying one of OnExitCodes and OnPodConditions is required")]),
    ("that says both", failing(dict(codes(1), onPodConditions=READY)), [(I, RULE, "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported")]),
    ("success is none", failing(codes(0)), [(I, RULE + ".onExitCodes.values[0]", "Invalid value: 0: must not be 0 for the In operator")]),
    ("codes out of order", failing(codes(5, 1)), [(I, RULE + ".onExitCodes.values", "Invalid value: [5,1]: must be ordered")]),
    ("no codes", failing(codes()), [(I, RULE + ".onExitCodes.values", None)]),
    ("of no container", failing(codes(1, containerName="x")), [(I, RULE + ".onExitCodes.containerName", 'Invalid value: "x": must be one of the container or initContainer names in the pod template')]),
    ("of an odd operator", failing(codes(1, operator="Odd")), [(N, RULE + ".onExitCodes.operator", 'Unsupported value: "Odd": supported values: "In", "NotIn"')]),
    ("of an odd state", failing({"action": "Count", "onPodConditions": [{"type": "Ready", "status": "Odd"}]}),
     [(N, RULE + ".onPodConditions[0].status", 'Unsupported value: "Odd": supported values: "False", "True", "Unknown"')]),
    ("of an index that has no limit", failing(dict(codes(1), action="FailIndex")), [(I, RULE + ".action", 'Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set')]),
    ("pods that start again", failing(codes(1), template={"spec": dict(POD, restartPolicy="OnFailure")}),
     [(I, "template.spec.restartPolicy", 'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified')]),
    ("replaced too early", failing(codes(1), podReplacementPolicy="TerminatingOrFailed"),
     [(N, "podReplacementPolicy", 'Unsupported value: "TerminatingOrFailed": supported values: "Failed"')]),
    ("more failures than indexes", {"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1, "maxFailedIndexes": 3},
     [(I, "maxFailedIndexes", "Invalid value: 3: must be less than or equal to completions")]),
    ("a success", succeeding({"succeededIndexes": "0,2-4", "succeededCount": 3}), []),
    ("without a rule", succeeding(), [(Q, "successPolicy.rules", "Required value: at least one rules must be specified when the successPolicy is specified")]),
    ("of nothing", succeeding({}), [(Q, WON, "Required value: at least one of succeededCount or succeededIndexes must be specified")]),
    ("too many", succeeding({"succeededCount": 6}), [(I, WON + ".succeededCount", "Invalid value: 6: must be less than or equal to 5 (the number of specified completions)")]),
    ("more than are listed", succeeding({"succeededIndexes": "1-2", "succeededCount": 3}),
     [(I, WON + ".succeededCount", "Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)")]),
] + [("indexes: " + text, succeeding({"succeededIndexes": text}), [(I, WON + ".succeededIndexes", 'Invalid value: "%s": error parsing succeededIndexes: %s' % (text, why))])
     for text, why in (("x", 'cannot convert string to integer for index: "x"'), ("9", 'too large index: "9"'), ("3,1", "non-increasing order, previous: 3, current: 1"),
                       ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by \'-\''))] + [
    ("somebody else's", {"managedBy": "example.com/jobs"}, []),
    ("nobody's", {"managedBy": "jobs"}, [(I, "managedBy", 'Invalid value: "jobs": must be a domain-prefixed path (such as "acme.io/foo")')]),
]
FAMILIES = 'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'
services = [
    ("a family", {"ipFamilies": ["IPv4"]}, []),
    ("two where there may be two", {"ipFamilyPolicy": "PreferDualStack"}, []),
    ("two where there must be two", {"ipFamilyPolicy": "RequireDualStack"}, [(I, "ipFamilyPolicy", FAMILIES)]),
    ("another family", {"ipFamilies": ["IPv6"]}, [(I, "ipFamilies[0]", 'Invalid value: "IPv6": not configured on this cluster')]),
    ("one twice", {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv4"]}, [(D, "ipFamilies[1]", 'Duplicate value: "IPv4"')]),
    ("any, without addresses of its own", {"clusterIP": "None", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}, []),
]


def rule(**r):
    return {"rules": [dict({"subjects": [{"kind": "User", "user": {"name": "*"}}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/x/*"]}]}, **r)]}


def resources(**r):
    return rule(resourceRules=[dict({"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}, **r)])


R, O, S = "rules[0].resourceRules[0]", "rules[0].nonResourceRules[0]", "rules[0].subjects[0]"
flows = [
    ("a flow", rule(), []),
    ("of resources", resources(), []),
    ("the first of all", {"matchingPrecedence": 1}, [(I, "matchingPrecedence", "Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1")]),
    ("the last", {"matchingPrecedence": 10001}, [(I, "matchingPrecedence", "Invalid value: 10001: must not be greater than 10000")]),
    ("of no level", {"priorityLevelConfiguration": {"name": ""}}, [(Q, "priorityLevelConfiguration.name", "Required value: must reference a priority level")]),
    ("of nobody", rule(subjects=[]), [(Q, "rules[0].subjects", "Required value: subjects must contain at least one value")]),
    ("of nothing", rule(nonResourceRules=[]), [(Q, "rules[0]", "Required value: at least one of resourceRules and nonResourceRules has to be non-empty")]),
    ("of an odd kind", rule(subjects=[{"kind": "Odd"}]), [(N, S + ".kind", 'Unsupported value: "Odd": supported values: "Group", "ServiceAccount", "User"')]),
    ("of another kind", rule(subjects=[{"kind": "User", "group": {"name": "x"}}]),
     [(Q, S + ".user", "Required value: user is required when subject kind is 'User'"), (F, S + ".group", "Forbidden: group is forbidden when subject kind is not 'Group'")]),
    ("of an account of nowhere", rule(subjects=[{"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": ""}}]),
     [(Q, S + ".serviceAccount.namespace", "Required value: must specify namespace for service account")]),
    ("all and some verbs", resources(verbs=["*", "get"]), [(I, R + ".verbs", 'Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs')]),
    ("odd verbs", resources(verbs=["odd"]), [(N, R + ".verbs", None)]),
    ("no namespace", resources(namespaces=[]), [(Q, R + ".namespaces", "Required value: resource rules that are not cluster scoped must supply at least one namespace")]),
    ("of the cluster", resources(namespaces=[], clusterScope=True), []),
    ("an odd namespace", resources(namespaces=["A_"]), [(I, R + ".namespaces[0]", None)]),
] + [("path " + path, rule(nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": [path]}]), [(I, O + ".nonResourceURLs[0]", 'Invalid value: "%s": %s' % (path, why))])
     for path, why in (("x", "must start with slash"), ("/a b", "must not contain white-space"), ("/a//b", "must not contain double slash"), ("/a*", "wildcard can only do suffix matching"))]
LIMIT = "limited.limitResponse.queuing"
QUEUES = lambda **q: {"limited": {"limitResponse": {"type": "Queue", "queuing": q}}}
levels = [
    ("a level", {"limited": {"limitResponse": {"type": "Reject"}}}, []),
    ("with queues", QUEUES(), []),
    ("without a word", {}, [(Q, "limited", "Required value: must not be empty when type is Limited")]),
    ("that is exempt by another name", {"type": "Exempt"}, [(I, "type", 'Invalid value: "Exempt": type must be \'Exempt\' if and only if name is \'exempt\'')]),
    ("queues for nobody", {"limited": {"limitResponse": {"type": "Reject", "queuing": {}}}}, [(F, LIMIT, "Forbidden: must be nil if limited.limitResponse.type is not Limited")]),
    ("no queues", {"limited": {"limitResponse": {"type": "Queue"}}}, [(Q, LIMIT, "Required value: must not be empty if limited.limitResponse.type is Limited")]),
    ("more hands than queues", QUEUES(queues=4, handSize=5), [(I, LIMIT + ".handSize", "Invalid value: 5: should not be greater than queues (4)")]),
    ("no length", QUEUES(queueLengthLimit=-1), [(I, LIMIT + ".queueLengthLimit", "Invalid value: -1: must be positive")]),
]


def compare(what, a, prefix, want):
    if not want:
        return t.eq(a.status, 201, what) or print("# %s" % a)
    got = {(c["reason"], c["field"]): c["message"] for c in a.json["details"]["causes"]} if a.status == 422 else {}
    need = {(r, prefix + f): m for r, f, m in want}
    return t.ok(set(got) == set(need) and all(m is None or got[k] == m for k, m in need.items()), what, a)


def all_jobs():
    for what, spec, want in jobs:
        spec = dict({"template": {"spec": POD}}, **spec)
        compare(what, api.post("/apis/batch/v1" + NS + "jobs?dryRun=All", {"metadata": {"name": "j"}, "spec": spec}), "spec.", want)
        compare(what + ", again and again", api.post("/apis/batch/v1" + NS + "cronjobs?dryRun=All", {"metadata": {"name": "j"}, "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": spec}}}), "spec.jobTemplate.spec.", want)


def all_services():
    for what, spec, want in services:
        compare(what, api.post("/api/v1" + NS + "services?dryRun=All", {"metadata": {"name": "s"}, "spec": dict({"ports": [{"port": 80}]}, **spec)}), "spec.", want)


def others():
    a = api.post("/api/v1/nodes?dryRun=All", {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"]}})
    compare("a node with two ranges of a family", a, "spec.", [(I, "podCIDRs", 'Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one CIDR for each IP family')])
    a = api.post("/api/v1/nodes?dryRun=All", {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.0.0.0/24", "2001:db8::/64"]}})
    compare("and one of each", a, "", [])
    for n, want in ((0, [(I, "updateStrategy.rollingUpdate.maxUnavailable", "Invalid value: 0: cannot be 0")]), (1, [])):
        a = api.post("/apis/apps/v1" + NS + "statefulsets?dryRun=All", {"metadata": {"name": "s"}, "spec": {
            "serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "updateStrategy": {"rollingUpdate": {"maxUnavailable": n}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
        compare("%d of a stateful set unavailable" % n, a, "spec.", want)


def zones():
    """Time zones, of which the machine knows."""
    explicit = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    cases = [("", "timeZone must be nil or non-empty string"), ("LOCAL", explicit), ("../passwd", None), ("a//b", None), ("-x", None), ("Europe/Berlin;x", None), ("Etc/UTC", ""), ("UTC", "")]
    if os.path.isdir("/usr/share/zoneinfo/Europe"):
        cases += [("Europe/Berlin", ""), ("Europe/Nowhere", None), ("Europe", None)]
    for zone, why in cases:
        a = api.post("/apis/batch/v1" + NS + "cronjobs?dryRun=All", {"metadata": {"name": "j"}, "spec": {"schedule": "* * * * *", "timeZone": zone, "jobTemplate": {"spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}})
        compare("the zone " + repr(zone), a, "spec.", [] if why == "" and zone else [(I, "timeZone", 'Invalid value: "%s": %s' % (zone, why or "unknown time zone " + zone))])


def addresses():
    ip = lambda name, **more: api.post("/apis/networking.k8s.io/v1/ipaddresses?dryRun=All", dict({"metadata": {"name": name}, "spec": {"parentRef": {"resource": "services", "name": "s"}}}, **more))
    compare("an address", ip("10.0.0.1"), "", [])
    compare("a long one", ip("2001:db8::1"), "", [])
    compare("one written at length", ip("2001:db8:0::1"), "", [(I, "metadata.name", 'Invalid value: "2001:db8:0::1": must be a canonical format IP address')])
    compare("none", ip("a"), "", [(I, "metadata.name", 'Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)')])
    for spec in ({}, None):
        compare("nobody's", ip("10.0.0.1", spec=spec), "", [("FieldValueRequired", "spec.parentRef", "Required value")])
    cidr = lambda *list_: api.post("/apis/networking.k8s.io/v1/servicecidrs?dryRun=All", {"metadata": {"name": "c"}, "spec": {"cidrs": list(list_)}})
    compare("a range", cidr("10.0.0.0/24"), "", [])
    compare("one of each", cidr("10.0.0.0/24", "2001:db8::/64"), "", [])
    compare("none", cidr(), "spec.", [("FieldValueRequired", "cidrs", "Required value: at least one CIDR required")])
    compare("two of a family", cidr("10.0.0.0/24", "10.1.0.0/24"), "spec.", [
        (I, "cidrs", 'Invalid value: {"CIDRs":["10.0.0.0/24","10.1.0.0/24"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64')])
    a = cidr("10.0.0.0/24", "2001:db8::/64", "10.2.0.0/24")
    compare("three", a, "spec.", [(I, "cidrs", 'Invalid value: {"CIDRs":["10.0.0.0/24","2001:db8::/64","10.2.0.0/24"]}: may only hold up to 2 values')])


def tokens():
    a = api.post("/apis/storage.k8s.io/v1/csidrivers?dryRun=All", {"metadata": {"name": "d"}, "spec": {"tokenRequests": [
        {"audience": "a"}, {"audience": ""}, {"audience": "a", "expirationSeconds": 1}, {"audience": ""}, {"audience": "b", "expirationSeconds": 599}, {"audience": "c", "expirationSeconds": 4294967297}]}})
    compare("tokens of a driver", a, "spec.", [
        ("FieldValueDuplicate", "tokenRequests[2].audience", 'Duplicate value: "a"'), ("FieldValueDuplicate", "tokenRequests[3].audience", 'Duplicate value: ""'),
        (I, "tokenRequests[4].expirationSeconds", "Invalid value: 599: may not specify a duration less than 10 minutes"),
        (I, "tokenRequests[5].expirationSeconds", "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds")])


def autoscaler():
    a = api.post("/apis/autoscaling/v2" + NS + "horizontalpodautoscalers?dryRun=All", {"metadata": {"name": "h"}, "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3, "behavior": {"scaleDown": {"tolerance": "-1"}}}})
    compare("a tolerance below zero", a, "spec.", [(I, "behavior.scaleDown.tolerance", 'Invalid value: "-1": must be greater than or equal to 0')])


def all_flows():
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/%s?dryRun=All"
    for what, spec, want in flows:
        compare("a schema: " + what, api.post(path % "flowschemas", {"metadata": {"name": "f"}, "spec": dict({"priorityLevelConfiguration": {"name": "l"}}, **spec)}), "spec.", want)
    for what, spec, want in levels:
        compare("a level: " + what, api.post(path % "prioritylevelconfigurations", {"metadata": {"name": "l"}, "spec": dict({"type": "Limited"}, **spec)}), "spec.", want)


for g in (all_flows, all_jobs, all_services, others, autoscaler, zones, addresses, tokens):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
