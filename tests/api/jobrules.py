#!/usr/bin/env -S python3 -B
# run: timeout=60
"""Rules of Jobs, Services and autoscalers that came after Kubernetes 1.20 (what is older is recorded: tests/oracle)."""
from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
I, Q, N, D = ("FieldValue" + x for x in ("Invalid", "Required", "NotSupported", "Duplicate"))
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


def autoscaler():
    a = api.post("/apis/autoscaling/v2" + NS + "horizontalpodautoscalers?dryRun=All", {"metadata": {"name": "h"}, "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3, "behavior": {"scaleDown": {"tolerance": "-1"}}}})
    compare("a tolerance below zero", a, "spec.", [(I, "behavior.scaleDown.tolerance", 'Invalid value: "-1": must be greater than or equal to 0')])


for g in (all_jobs, all_services, autoscaler):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
