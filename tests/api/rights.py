#!/usr/bin/env -S python3 -B
# run: timeout=300
"""
Each module has just the rights that its work needs.

What it may ask the API for says its modinfo, asks=, and what it may see reads=. For each of these rights
there is a row here: a copy of the module's file that lacks just this one takes the module's place, and in the
situation of the row it is told that it may not, and its work is not done. With its own file again it is.
What a role of ours adds to upstream's roles is taken away in the same way, by changing the role.
"""
import base64
import os
import re
import subprocess
import threading

from rig import BUILDDIR, Api, Daemon, Tap, group, openssl, until
import less
import situations as s
from situations import NS, ROOT, APPS, SLICES, BUDGETS, CSR, PV, NODES

t = Tap()
d = Daemon()
RB = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
SA = "system:serviceaccount:kube-system:"


def node_request(api, name, signer="kubernetes.io/kube-apiserver-client-kubelet"):
    """What a kubelet asks for to have a certificate: approved and signed at once."""
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=system:nodes/CN=system:node:" + name,
            "-keyout", d.pki.at(name + ".key"), "-out", d.pki.at(name + ".req"))
    with open(d.pki.at(name + ".req"), "rb") as f:
        text = base64.b64encode(f.read()).decode()
    s.made(api.post(CSR, {"metadata": {"name": name}, "spec": {
        "request": text, "signerName": signer, "usages": ["digital signature", "client auth"]}}))


def node_request_old(api, name):
    """One that nobody approves of his own accord, and that was denied long ago."""
    node_request(api, name, "kubernetes.io/kube-apiserver-client")
    o = api.get(CSR + "/" + name).json
    o["status"] = {"conditions": [{"type": "Denied", "status": "True", "reason": "r", "message": "m", "lastUpdateTime": "2020-01-01T00:00:00Z"}]}
    s.made(api.put(CSR + "/%s/approval" % name, o))


def is_owner_of(path):
    return s.some(path, lambda i: i["metadata"].get("ownerReferences"))


def sets(path, resource, plain):
    k = s.Sets(path, plain)
    return {
        "pods;create": (k.new, s.some(NS + "pods")),
        "pods;patch": (k.adopts, is_owner_of(NS + "pods")),
        "pods;delete": (k.fewer, lambda api, n: all(s.leaving(i) for i in api.get(NS + "pods?labelSelector=n%3D" + n).json["items"])),
        resource + "/status;update": (k.new, s.some(path, s.status("observedGeneration"))),
        "events;create": (k.new, None),
        "events;patch": (k.refused, None),
    }


signed = s.has(CSR + "/%s", s.status("certificate"))
CSRS = "certificatesigningrequests.certificates.k8s.io"
# module: right: (the situation, whether it is dealt with - None: nobody does it again)
ASKS = {
    "controllers/serviceaccount": {
        "serviceaccounts;create": (s.namespace, s.there(ROOT + "/%s/serviceaccounts/default")),
        "serviceaccounts;get": (s.token_secret, s.has(NS + "secrets/%s", lambda o: "token" in o.get("data", {}))),
        "serviceaccounts;update": (s.namespace, s.has(ROOT + "/%s/serviceaccounts/default", lambda o: o.get("secrets"))),
        "serviceaccounts/token;create": (s.token_secret, s.has(NS + "secrets/%s", lambda o: "token" in o.get("data", {}))),
        "configmaps;create": (s.namespace, s.there(ROOT + "/%s/configmaps/kube-root-ca.crt")),
        "configmaps;update": (s.forged, s.has(ROOT + "/%s/configmaps/kube-root-ca.crt", lambda o: o["data"]["ca.crt"] != "x")),
        "secrets;create": (s.namespace, lambda api, n: bool(api.get(ROOT + "/%s/secrets" % n).json["items"])),
        "secrets;patch": (s.token_secret, s.has(NS + "secrets/%s", lambda o: "token" in o.get("data", {}))),
        "secrets;delete": (s.orphan_secret, s.gone(NS + "secrets/%s")),
    },
    "controllers/namespace": {
        "*;deletecollection": (s.ended, s.gone(ROOT + "/%s")),
        "namespaces/finalize;update": (s.ended, s.gone(ROOT + "/%s")),
        "namespaces/status;update": (s.held, s.has(ROOT + "/%s", s.condition("NamespaceContentRemaining", "True"))),
    },
    "controllers/garbage-collector": {
        "*;get": (s.orphaned, s.gone(NS + "configmaps/%s")),
        "*;delete": (s.orphaned, s.gone(NS + "configmaps/%s")),
        "*;patch": (s.foreground, s.gone(NS + "configmaps/%s")),
    },
    "controllers/resourcequota": {
        "resourcequotas/status;update": (s.quota, s.has(NS + "resourcequotas/%s", s.status("used"))),
    },
    "controllers/pv-protection": {"persistentvolumes;update": (s.volume, s.gone(PV + "/%s"))},
    "controllers/pvc-protection": {"persistentvolumeclaims;update": (s.claim, s.gone(NS + "persistentvolumeclaims/%s"))},
    "controllers/ephemeral-volume": {
        "persistentvolumeclaims;create": (s.scratch, s.there(NS + "persistentvolumeclaims/%s-v")),
        "events;create": (s.scratch_taken, None),
        "events;patch": (s.scratch_taken, None),
    },
    "controllers/deployment": {
        "replicasets.apps;create": (s.deployment, s.some(APPS + "replicasets")),
        "replicasets.apps;update": (s.deployment_scaled, s.some(APPS + "replicasets", lambda i: i["spec"]["replicas"] == 2)),
        "replicasets.apps;patch": (s.deployment_adopts, is_owner_of(APPS + "replicasets")),
        "replicasets.apps;delete": (s.deployment_forgets, s.forgotten),
        "deployments.apps/status;update": (s.deployment, s.has(APPS + "deployments/%s", s.status("observedGeneration"))),
        "events;create": (s.deployment, None),
        "events;patch": (s.deployment_swings, None),
    },
    "controllers/replicaset": sets(APPS + "replicasets", "replicasets.apps", False),
    "controllers/replicationcontroller": sets(NS + "replicationcontrollers", "replicationcontrollers", True),
    "controllers/endpoints": {
        "endpoints;create": (s.service, s.there(NS + "endpoints/%s")),
        "endpoints;update": (s.service_relabelled(NS + "endpoints"), s.has(NS + "endpoints/%s", lambda o: "z" in o["metadata"].get("labels", {}))),
        "endpoints;delete": (s.service_gone, s.gone(NS + "endpoints/%s")),
    },
    "controllers/endpointslice": {
        "endpointslices.discovery.k8s.io;create": (s.service, s.some(SLICES)),
        "endpointslices.discovery.k8s.io;update": (s.service_relabelled(SLICES), s.some(SLICES, lambda i: "z" in i["metadata"]["labels"])),
        "endpointslices.discovery.k8s.io;delete": (s.slice_of_another_family, s.gone(SLICES + "/%s")),
    },
    "controllers/disruption": {
        "poddisruptionbudgets.policy/status;update": (s.budget, s.has(BUDGETS + "/%s", s.status("observedGeneration"))),
        "events;create": (s.budget_waits, None),
        "events;patch": (s.budget_waits, None),
    },
    "controllers/node-lifecycle": {
        "nodes;patch": (s.pressed, s.has(NODES + "/%s", s.has_taint("node.kubernetes.io/memory-pressure"))),
        "nodes/status;patch": (s.silent, s.has(NODES + "/%s", s.condition("Ready", "Unknown"))),
        "pods/status;patch": (s.unready, s.has(NS + "pods/%s", s.condition("Ready", "False"))),
        "events;create": (s.pressed, None),
        "events;patch": (s.unready, None),
    },
    "controllers/taint-eviction": {
        "pods;delete": (s.driven, s.has(NS + "pods/%s", s.leaving)),
        "pods/status;patch": (s.driven, s.has(NS + "pods/%s", s.condition("DisruptionTarget"))),
        "events;create": (s.driven, None),
        "events;patch": (s.wavering, None),
    },
    "controllers/pod-garbage-collector": {
        "pods;delete": (s.stuck, s.gone(NS + "pods/%s")),
        "pods/status;patch": (s.stuck, s.gone(NS + "pods/%s")),
        "nodes;get": (s.lost, None),
    },
    "controllers/certificate": {
        CSRS + ";delete": (node_request_old, s.gone(CSR + "/%s")),
        CSRS + "/approval;update": (node_request, signed),
        CSRS + "/status;update": (node_request, signed),
        "subjectaccessreviews.authorization.k8s.io;create": (node_request, signed),
    },
    "scheduler/default": {
        "pods/binding;create": (s.pod, s.has(NS + "pods/%s", lambda o: o["spec"].get("nodeName"))),
        "pods/status;patch": (s.unplaceable, s.has(NS + "pods/%s", s.condition("PodScheduled"))),
        "pods;delete": (s.preempting, s.has(NS + "pods/%s", s.leaving)),
        "persistentvolumeclaims;patch": (s.provisioned, s.has(NS + "persistentvolumeclaims/%s", lambda o: "volume.kubernetes.io/selected-node" in o["metadata"].get("annotations", {}))),
        "persistentvolumes;patch": (s.matched, s.has(PV + "/%s", lambda o: o["spec"].get("claimRef"))),
        "events;create": (s.pod, None),
        "events;patch": (s.claimless, None),
        # What became of a binding whose answer was lost: modules/scheduler/default/test/module.c loses one.
        "pods;get": None,
    },
}
PARAMS = {
    "controllers/serviceaccount": 'ca_file = "%s"; token_secrets = true;' % d.pki.ca,
    "controllers/certificate": 'ca_file = "%s"; ca_key_file = "%s";' % (d.pki.ca, d.pki.at("ca.key")),
    "controllers/node-lifecycle": "node_startup_grace_s = 1; node_monitor_grace_s = 3600;",
}
with open(d.conf) as f:
    conf = f.read()
with open(d.conf, "w") as f:
    f.write(conf.replace(" }; }\n);\n", " }; }" + "".join(
        ',\n { module = "%s"; params = { %s }; }' % (m, PARAMS.get(m, "")) for m in ASKS) + "\n);\n"))
# The thread sanitizer takes the child of a clone that shares its memory for the parent.
if "thread" in os.environ.get("SANITIZERS", ""):
    print("1..0 # SKIP the thread sanitizer does not know of processes that share memory")
    raise SystemExit
d.start()
root = Api(d)


class Told:
    """The log from here on."""

    def __init__(self, pattern):
        self.pattern = re.compile(pattern)
        self.f = open(d.log_path, errors="replace")
        self.f.seek(0, 2)
        self.rest = ""

    def __call__(self):
        text = self.rest + self.f.read()
        self.rest = text[text.rfind("\n") + 1:]
        return self.pattern.search(text)


def file_of(module):
    return os.path.join(BUILDDIR, "modules", module + ".so")


def says(module, key):
    return less.says(file_of(module), key)


def without(module, key, right):
    """A copy of its file that does not say this."""
    path = os.path.join(d.dir, module.replace("/", "-") + ".so")
    less.without(file_of(module), key, right, path)
    return path


def replace(module, path, *how):
    p = subprocess.run([os.path.join(BUILDDIR, "orlop"), "module", "replace", "--data-dir", os.path.join(d.dir, "data"), *how, module, path],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    return p.returncode, p.stdout


def wait(what, look, more=None):
    """Until it is so. @more(n) now and then makes the situation anew."""
    n = [0]

    def again():
        n[0] += 1
        if more and n[0] % 10 == 0:
            more(n[0] // 10)
        return look()
    return until(what, again, 90)


def one(out, api, module, right, name, row, *how):
    provoke, done = row
    what, verb = right.split(";")
    any_ = r"[a-z0-9.]+" if what == "*" else re.escape(what)
    r = replace(module, without(module, "asks", right), *how)
    told = Told(r"event=module_forbidden .*module %s may not %s %s: its modinfo" % (module, verb, any_))
    assert r[0] == 0, r
    more = provoke(api, name)
    wait("%s is refused %s" % (module, right), told, more)
    out.append((not (done and done(api, name)), "%s needs to %s %s" % (module, verb, what)))
    r = replace(module, file_of(module), *how)
    assert r[0] == 0, r
    if done:
        out.append((wait("%s is done" % name, lambda: done(api, name)), "and with that right it is done"))


def module_rows(out, module, rows):
    api = Api(d)
    short = module.split("/")[1]
    for i, (right, row) in enumerate(sorted(rows.items())):
        try:
            if row:
                one(out, api, module, right, "%s-%d" % (short, i), row)
        except Exception as e:      # noqa: the others are still to be looked at
            out.append((False, "%s: %s: %r" % (module, right, e)))
            replace(module, file_of(module))
    api.close()


def asks():
    s.roomy(root, "n1", "64")
    wait("the default account", lambda: root.get(NS + "serviceaccounts/default").status == 200)
    outs = []
    for module, rows in ASKS.items():
        t.eq(sorted(less.rights(file_of(module), "asks")), sorted(rows), "each right of %s is looked at" % module)
        outs.append([])
        th = threading.Thread(target=module_rows, args=(outs[-1], module, rows))
        th.start()
        outs[-1].append(th)
    for out in outs:
        out.pop(0).join()
        for good, name in out:
            t.ok(good, name)


def queue(name):
    """How much a controller has been given to look at, and how much of that it has looked at."""
    text = root.get("/metrics").body.decode()
    return [int(float(re.search(r'^workqueue_%s{[^}]*name="%s"[^}]*} (\S+)$' % (m, name), text, re.M).group(1))) for m in ("adds_total", "work_duration_seconds_count")]


# What is read only for its metadata otherwise: in a process of its own a module gets no more than it says.
READS = {
    ("controllers/namespace", "namespaces"): (s.ended, s.gone(ROOT + "/%s"), "namespace"),
    ("controllers/resourcequota", "resourcequotas"): (s.quota, s.has(NS + "resourcequotas/%s", s.status("used")), "resourcequota"),
    ("controllers/resourcequota", "pods"): (s.quota_of("requests.cpu", "1"), s.quota_is("requests.cpu", "1"), "resourcequota"),
    ("controllers/resourcequota", "services"): (s.quota_of("services.nodeports", "1"), s.quota_is("services.nodeports", "1"), "resourcequota"),
    ("controllers/resourcequota", "persistentvolumeclaims"): (s.quota_of("requests.storage", "1Gi"), s.quota_is("requests.storage", "1Gi"), "resourcequota"),
}

# What reads everything finds out when it is to look: the situation is that of one of its other rights.
ALL = {"controllers/namespace": "*;deletecollection", "controllers/garbage-collector": "*;delete", "controllers/resourcequota": "resourcequotas/status;update"}


def narrow(module, entry, name, provoke, done, worker):
    r = replace(module, without(module, "reads", entry), "--isolated")
    assert r[0] == 0, r
    was = queue(worker)
    provoke(root, name)

    def looked():
        q = queue(worker)
        return q[1] - was[1] >= q[0] - was[0] > 0
    wait("%s has looked" % module, looked)
    good = not done(root, name)
    r = replace(module, file_of(module), "--isolated")
    assert r[0] == 0, r
    wait("%s is done" % name, lambda: done(root, name))
    t.ok(good, "%s needs to read %s, and with that right does its work" % (module, entry))
    r = replace(module, file_of(module), "--in-process")
    assert r[0] == 0, r


def reads():
    for module in ASKS:
        for i, entry in enumerate(less.rights(file_of(module), "reads")):
            if (module, entry) in READS:
                narrow(module, entry, "read-%s-%d" % (module.split("/")[1], i), *READS[module, entry])
                continue
            told = Told(r'event=module_forbidden .*module %s may not read ' % module)
            code, text = replace(module, without(module, "reads", entry))
            if entry[0] == "*":
                provoke, done = ASKS[module][ALL[module]]
                name = "read-" + module.split("/")[1]
                provoke(root, name)
                wait("told", told)
                t.ok(not done(root, name), "%s needs to read %s" % (module, entry), text)
                replace(module, file_of(module))
                wait("%s is done" % name, lambda: done(root, name))
            else:
                t.ok(code and wait("told", told), "%s needs to read %s" % (module, entry), text)


def isolated():
    """A process of its own cannot ask for more either: it is the daemon who looks."""
    module, right = "controllers/deployment", "replicasets.apps;create"
    out = []
    one(out, root, module, right, "isolated", ASKS[module][right], "--isolated")
    for good, name in out:
        t.ok(good, "isolated: " + name)
    r = replace(module, file_of(module), "--in-process")
    t.eq(r[0], 0, "and back")


# ---- roles -------------------------------------------------------------------------------------------------------

OURS = {"orlop:service-account-controller": "controllers/serviceaccount", "orlop:node-controller": "controllers/taint-eviction",
        "orlop:pod-garbage-collector": "controllers/pod-garbage-collector"}
# Upstream's roles are made for upstream's components and are not ours to cut; that they hold for modules is shown by one right of each.
UPSTREAM = {
    "system:controller:service-account-controller": ("controllers/serviceaccount", "serviceaccounts;create"),
    "system:controller:namespace-controller": ("controllers/namespace", "namespaces/finalize;update"),
    "system:controller:generic-garbage-collector": ("controllers/garbage-collector", "*;delete"),
    "system:controller:resourcequota-controller": ("controllers/resourcequota", "resourcequotas/status;update"),
    "system:controller:pv-protection-controller": ("controllers/pv-protection", "persistentvolumes;update"),
    "system:controller:pvc-protection-controller": ("controllers/pvc-protection", "persistentvolumeclaims;update"),
    "system:controller:ephemeral-volume-controller": ("controllers/ephemeral-volume", "persistentvolumeclaims;create"),
    "system:controller:deployment-controller": ("controllers/deployment", "replicasets.apps;create"),
    "system:controller:replicaset-controller": ("controllers/replicaset", "pods;create"),
    "system:controller:replication-controller": ("controllers/replicationcontroller", "pods;create"),
    "system:controller:endpoint-controller": ("controllers/endpoints", "endpoints;create"),
    "system:controller:endpointslice-controller": ("controllers/endpointslice", "endpointslices.discovery.k8s.io;create"),
    "system:controller:disruption-controller": ("controllers/disruption", "poddisruptionbudgets.policy/status;update"),
    "system:controller:node-controller": ("controllers/node-lifecycle", "nodes;patch"),
    "system:controller:pod-garbage-collector": ("controllers/pod-garbage-collector", "pods;delete"),
    "system:controller:certificate-controller": ("controllers/certificate", CSRS + "/status;update"),
    "system:kube-scheduler": ("scheduler/default", "pods/binding;create"),
}


def role_less(role, module, right, name):
    """The role without this: its module is told so by the API. With it again the next work is done."""
    provoke, done = ASKS[module][right]
    what, verb = right.split(";")
    resource = re.sub(r"\.[a-z0-9.]+", "", what)
    whole = s.made(root.get(RB + role))["rules"]
    rules = []
    for r in whole:
        hit = verb in r["verbs"] and {resource, "*"} & set(r.get("resources", []))
        if hit and "*" not in r["resources"]:
            rules.append(dict(r, resources=[x for x in r["resources"] if x != resource]))
            r = dict(r, resources=[resource])
        rules.append(dict(r, verbs=[v for v in r["verbs"] if not hit or v != verb]))
    rules = [r for r in rules if r["verbs"] and r.get("resources") != []]
    assert rules != whole, (role, right)
    s.made(root.patch(RB + role, {"rules": rules}))
    told = Told(r'event=module_forbidden .*%s.* cannot %s resource .{0,2}%s\W' % ("system:", verb, "[a-z]+" if what == "*" else re.escape(resource)))
    more = provoke(root, name)
    wait("%s is refused %s" % (role, right), told, more)
    t.ok(not done(root, name), "%s: %s is needed to %s %s" % (role, module, verb, what))
    s.made(root.patch(RB + role, {"rules": whole}))
    name += "-yes"
    more = provoke(root, name)
    t.ok(wait("%s is done" % name, lambda: done(root, name), more), "and with that right it is done")


def roles():
    n = 0
    for role, module in OURS.items():
        for rule in s.made(root.get(RB + role))["rules"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    role_less(role, module, resource + ";" + verb, "ours-%d" % n)
                    n += 1
    for role, (module, right) in UPSTREAM.items():
        role_less(role, module, right, "upstream-%d" % n)
        n += 1


# ---- modules of others -------------------------------------------------------------------------------------------

def nobodys(module):
    """A copy of its file that names no user, and may ask for what it likes."""
    path = os.path.join(d.dir, "nobodys.so")
    words = [key + "=" + says(module, key) for key in ("user", "asks")]
    less.rewrite(file_of(module), {w: "x" + w[1:] for w in words}, path)
    return path


def may(user, verb, resource, **more):
    group_, _, name = resource.rpartition(":")
    return s.made(root.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {"user": user, "resourceAttributes": dict(
        {"verb": verb, "group": group_, "resource": name, "namespace": "default"}, **more)}}))["status"]["allowed"]


def others():
    """Who names no user is one of his class: a controller tells events, a scheduler has upstream's roles of one."""
    module = "controllers/deployment"
    r = replace(module, nobodys(module))
    t.eq(r[0], 0, "a controller that names no user")
    told = Told(r'event=module_forbidden .*User .{0,2}orlop:controllers/deployment.* cannot create resource .{0,2}replicasets\W')
    s.deployment(root, "nobodys")
    t.ok(wait("refused", told), "has no right that nobody gave it")
    s.made(root.post(RB[:-1], {"metadata": {"name": "theirs"}, "rules": [{"apiGroups": ["apps"], "resources": ["replicasets", "deployments/status"], "verbs": ["create", "update"]}]}))
    s.made(root.post(RB[:-2] + "bindings", {"metadata": {"name": "theirs"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "theirs"},
                                            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "orlop:controllers/deployment"}]}))
    s.deployment(root, "nobodys-yes")
    t.ok(wait("done", lambda: s.some(APPS + "replicasets")(root, "nobodys-yes")), "and those that somebody gave it")
    t.ok(wait("an event", lambda: [e for e in root.get(NS + "events").json["items"] if e["involvedObject"]["name"] == "nobodys-yes"]), "events it may tell")
    replace(module, file_of(module))
    for verb, resource in (("get", "secrets"), ("list", "pods"), ("watch", "configmaps"), ("create", "serviceaccounts"), ("update", "coordination.k8s.io:leases")):
        t.ok(not may("orlop:controllers/any", verb, resource), "a controller may not %s %s" % (verb, resource))
    r = replace("scheduler/default", nobodys("scheduler/default"))
    t.eq(r[0], 0, "a scheduler that names no user")
    for name, right in (("theirs-bound", "pods/binding;create"), ("theirs-disk", "persistentvolumeclaims;patch"), ("theirs-place", "pods;delete")):
        provoke, done = ASKS["scheduler/default"][right]
        provoke(root, name)
        t.ok(wait(name, lambda: done(root, name)), "may do the work of one: " + right)
    for role in ("system:kube-scheduler", "system:volume-scheduler"):
        for rule in s.made(root.get(RB + role))["rules"]:
            t.ok(all(may("orlop:scheduler/any", v, g + ":" + r.split("/")[0], **({"subresource": r.split("/")[1]} if "/" in r else {}), **({"name": rule["resourceNames"][0]} if "resourceNames" in rule else {}))
                     for v in rule["verbs"] for g in rule["apiGroups"] for r in rule["resources"]), "%s: %s" % (role, " ".join(rule["resources"])))
    for verb, resource in (("get", "secrets"), ("list", "configmaps"), ("get", "apps:deployments"), ("create", "pods"), ("update", "coordination.k8s.io:leases")):
        t.ok(not may("orlop:scheduler/any", verb, resource), "a scheduler may not %s %s" % (verb, resource))


group(t, asks)
group(t, reads)
group(t, isolated)
group(t, roles)
group(t, others)
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
