#!/usr/bin/env -S python3 -B
# run: timeout=120
"""The roles and bindings that every cluster begins with: upstream's of 1.36, word by word, and which are ours beside them.

What they should be stands in tests/recorded/rbac-bootstrap.json; oracle-rbac.json has those of a running upstream 1.20.
"""
import json
import os
import re

from rig import SRCDIR, Api, Daemon, Tap, until

RB = "/apis/rbac.authorization.k8s.io/v1/"
AGGREGATE = "rbac.authorization.k8s.io/"
# what upstream took from its roles after 1.20: APIs that went, and locks that are Leases now
GONE = [("*", "extensions", "*", "*"), ("*", "apps", "deployments/rollback", "*"), ("create", "", "endpoints", ""),
        ("*", "", "endpoints", "kube-scheduler"), ("*", "", "endpoints", "kube-controller-manager"),
        ("delete", "", "endpoints", ""), ("deletecollection", "", "endpoints", ""), ("patch", "", "endpoints", ""), ("update", "", "endpoints", "")]


def recorded(name):
    with open(os.path.join(SRCDIR, "tests", "recorded", name + ".json")) as f:
        return json.load(f)


def all_of(api, *kinds):
    """By kind, namespace and name."""
    out = {}
    for kind in kinds:
        for o in api.get(RB + kind.lower() + "s").json["items"]:
            ns = o["metadata"].get("namespace")
            out["%s %s%s" % (kind, ns + "/" if ns else "", o["metadata"]["name"])] = o
    return out


def grants(rules):
    """Each single thing that the rules allow."""
    out = set()
    for r in rules or []:
        for v in r["verbs"]:
            out |= {(v, "URL", u, "") for u in r.get("nonResourceURLs", [])}
            out |= {(v, g, x, n) for g in r.get("apiGroups", []) for x in r.get("resources", []) for n in r.get("resourceNames") or [""]}
    return out


def subject(s):
    return "%s:%s%s" % (s["kind"], s["namespace"] + "/" if s.get("namespace") else "", s["name"])


def some(found):
    return ", ".join(" ".join(x) for x in sorted(found)[:20])


def gone(grant):
    return any(all(a in ("*", b) for a, b in zip(g, grant)) for g in GONE)


def roles(t, api, want):
    have = all_of(api, "ClusterRole", "Role")
    for name, w in sorted(want["roles"].items()):
        o = have.get(name, {"metadata": {}, "rules": []})
        to = sorted(k[len(AGGREGATE):] for k in o["metadata"].get("labels", {}) if k.startswith(AGGREGATE))
        t.eq(to, sorted(w.get("to", [])), name + " goes into the same roles")
        if "from" in w:         # filled by others: what is in them is compared
            label = o.get("aggregationRule", {}).get("clusterRoleSelectors", [{}])[0].get("matchLabels", {})
            t.eq([k[len(AGGREGATE):] for k in label], w["from"], name + " is gathered from the same")
            continue
        a, b = grants(w["rules"]), grants(o["rules"])
        t.ok(name in have and a == b, name, "only upstream: %s\nonly ours: %s" % (some(a - b), some(b - a)))
    return sorted(set(have) - set(want["roles"]))


def bindings(t, api, want):
    have = all_of(api, "ClusterRoleBinding", "RoleBinding")
    for name, w in sorted(want["bindings"].items()):
        o = have.get(name, {"roleRef": {"kind": "", "name": ""}})
        got = {"roleRef": "%s:%s" % (o["roleRef"]["kind"], o["roleRef"]["name"]), "subjects": sorted(subject(s) for s in o.get("subjects", []))}
        t.eq(got, dict(w, subjects=sorted(w["subjects"])), name)
    return sorted(set(have) - set(want["bindings"]))


def older(t, want):
    """Nothing that upstream 1.20 allowed is gone but what upstream took away, too."""
    for name, rules in sorted(recorded("oracle-rbac")["roles"].items()):
        lost = {g for g in grants(rules) - grants(want["roles"].get(name, {}).get("rules")) if not gone(g)}
        t.ok(not lost, "what %s of 1.20 had" % name, some(lost))


def main():
    t = Tap()
    d = Daemon().start()
    api = Api(d)
    want = recorded("rbac-bootstrap")
    until("the roles are made", lambda: api.get("/readyz").status == 200)
    ours = roles(t, api, want), bindings(t, api, want)
    with open(os.path.join(SRCDIR, "docs", "differences.md")) as f:
        told = set(re.findall(r"`(orlop:[\w-]+)`", f.read()))
    for n in sorted({n.split(" ")[1].split("/")[-1] for more in ours for n in more}):
        t.ok(n in told, n + " is ours, and docs/differences.md says so")
    older(t, want)
    t.ok(d.alive() and d.stop() == 0, "the daemon ends well")
    t.done()


if __name__ == "__main__":
    main()
