#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Rules of pods that came after Kubernetes 1.20 (what is older is recorded: tests/oracle), and those between a pod's parts. A pod in a template
is looked at in the same way."""
import copy

from rig import Api, Daemon, Tap, group

t = Tap()
d = Daemon().start()
api = Api(d)
PODS = "/api/v1/namespaces/default/pods?dryRun=All"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments?dryRun=All"
I, F, Q, N, D, X = ("FieldValue" + x for x in ("Invalid", "Forbidden", "Required", "NotSupported", "Duplicate", "NotFound"))
C = "containers.0."


def spec(**sets):
    """A pod's spec with these parts: dots in a name are members, numbers elements."""
    out = {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}
    for path, v in sets.items():
        at = out
        *way, last = path.split(".")
        for k in way:
            at = at[int(k)] if isinstance(at, list) else at.setdefault(k, {})
        at[int(last) if isinstance(at, list) else last] = copy.deepcopy(v)
    return out


def volume(**source):
    return {"volumes": [dict({"name": "v"}, **source)]}


def claims(*list_):
    return {"resourceClaims": [dict(zip(("name", "resourceClaimName", "resourceClaimTemplateName"), x)) for x in list_]}


def at(path, **values):
    return {path + k: v for k, v in values.items()}


DEVICE = lambda **more: at(C, volumeDevices=[dict({"name": "v", "devicePath": "/dev/x"}, **more)])
PVC = volume(persistentVolumeClaim={"claimName": "p"})
SLEEP = lambda n: {C + "lifecycle": {"preStop": {"sleep": {"seconds": n}}}}
SIGNAL = lambda s: {C + "lifecycle": {"stopSignal": s}}
PROJECTED = lambda *sources: volume(projected={"sources": list(sources)})
ITEM = [{"key": "k", "path": "p"}]
ISCSI = lambda iqn: volume(iscsi={"targetPortal": "1.2.3.4", "iqn": iqn, "lun": 0})
NO_WINDOWS, NO_LINUX = "Forbidden: cannot be set for a windows pod", "Forbidden: windows options cannot be set for a linux pod"

rows = [
    ("a device that is none", DEVICE(), [(I, C + "volumeDevices.0.name", 'Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode')]),
    ("a device", dict(PVC, **DEVICE()), []),
    ("a device outside", dict(PVC, **DEVICE(devicePath="/dev/../x")), [(I, C + "volumeDevices.0.devicePath", "Invalid value: \"/dev/../x\": can not contain backsteps ('..')")]),
    ("a device that is mounted", dict(PVC, **DEVICE(), **{C + "volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
     [(I, C + "volumeDevices.0.name", 'Invalid value: "v": must not already exist in volumeMounts')]),
    ("a device twice", dict(PVC, **{C + "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}] * 2}),
     [(I, C + "volumeDevices.1.name", 'Invalid value: "v": must be unique'), (I, C + "volumeDevices.1.devicePath", 'Invalid value: "/dev/x": must be unique')]),
    ("a path of two sources", PROJECTED({"secret": {"name": "a", "items": ITEM}}, {"configMap": {"name": "b", "items": ITEM}}),
     [(I, "volumes.0.projected", 'Invalid value: "b": conflicting duplicate paths')]),
    ("and a token's", PROJECTED({"secret": {"name": "a", "items": ITEM}}, {"serviceAccountToken": {"path": "p"}}),
     [(I, "volumes.0.projected", 'Invalid value: "p": conflicting duplicate paths')]),
    ("a repository of nothing", volume(gitRepo={"repository": "", "directory": "../x"}),
     [(Q, "volumes.0.gitRepo.repository", "Required value"), (I, "volumes.0.gitRepo.directory", "Invalid value: \"../x\": must not contain '..'")]),
    ("longer asleep than it may", SLEEP(31), [(I, C + "lifecycle.preStop.sleep", "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)")]),
    ("as long as it may", dict(SLEEP(31), terminationGracePeriodSeconds=31), []),
    ("a signal of no system", SIGNAL("SIGTERM"), [(F, C + "lifecycle.stopSignal", "Forbidden: may not be set for containers with empty `spec.os.name`")]),
    ("a signal", dict(SIGNAL("SIGRTMIN+3"), os={"name": "linux"}), []),
    ("no signal", dict(SIGNAL("SIGFOO"), os={"name": "linux"}), [(N, C + "lifecycle.stopSignal", None)]),
    ("an open /proc", {C + "securityContext": {"procMount": "Unmasked"}}, [(I, C + "securityContext.procMount", 'Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`')]),
    ("for users of its own", {C + "securityContext": {"procMount": "Unmasked"}, "hostUsers": False}, []),
    ("a restart that there is not", {C + "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}], "restartPolicy": "Never"},
     [(I, C + "resizePolicy", "Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'")]),
    ("claims", claims(("a",), ("a", "x"), ("b", "x", "y"), ("A_", "x")), [
        (I, "resourceClaims.0", 'Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'),
        (D, "resourceClaims.1.name", 'Duplicate value: "a"'), (I, "resourceClaims.2", None), (I, "resourceClaims.3.name", None)]),
    ("a claim of nobody", {C + "resources": {"claims": [{"name": "z"}]}}, [(X, C + "resources.claims.0", 'Not found: "z"')]),
    ("a claim of its own", dict(claims(("z", "x")), **{C + "resources": {"claims": [{"name": "z"}]}}), []),
    ("resources of a pod", {"resources": {"requests": {"cpu": "1", "ephemeral-storage": "1"}, "claims": [{"name": "x"}]}}, [
        (F, "resources.claims", "Forbidden: claims cannot be set for Resources at pod-level"),
        (N, "resources.requests[ephemeral-storage]", 'Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"')]),
    ("less than its containers", {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}, C + "resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "3"}}}, [
        (I, "resources.requests[cpu]", 'Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m'),
        (I, "resources.containers.0[cpu].limits", 'Invalid value: "3": must be less than or equal to pod limits of 2')]),
    ("less than one that comes first", {"resources": {"requests": {"cpu": "1"}}, "initContainers": [
        {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "400m"}}}, {"name": "f", "image": "i", "resources": {"requests": {"cpu": "700m"}}}]}, [
            (I, "resources.requests[cpu]", 'Invalid value: "1": must be greater than or equal to aggregate container requests of 1100m')]),
    ("enough for those that come first", {"resources": {"requests": {"cpu": "1"}}, "initContainers": [{"name": n, "image": "i", "resources": {"requests": {"cpu": "900m"}}} for n in "st"]}, []),
    ("sysctls of the node", {"hostNetwork": True, "hostIPC": True, "securityContext": {"sysctls": [{"name": n, "value": "1"} for n in ("net/core/x", "kernel.sem", "vm.x")]}}, [
        (I, "securityContext.sysctls.0.name", "Invalid value: \"net/core/x\": may not be specified when 'hostNetwork' is true"),
        (I, "securityContext.sysctls.1.name", "Invalid value: \"kernel.sem\": may not be specified when 'hostIPC' is true")]),
    ("labels of volumes", {"securityContext": {"seLinuxChangePolicy": "x"}},
     [(N, "securityContext.seLinuxChangePolicy", 'Unsupported value: "x": supported values: "MountOption", "Recursive"')]),
    ("Windows", {"os": {"name": "windows"}, "hostPID": True, "hostUsers": True, "securityContext": {"fsGroup": 1, "windowsOptions": {}}, C + "securityContext": {"privileged": False}},
     [(F, x, NO_WINDOWS) for x in ("hostPID", "hostUsers", "securityContext.fsGroup", C + "securityContext.privileged")]),
    ("Linux", {"os": {"name": "linux"}, "securityContext": {"fsGroup": 1, "windowsOptions": {}}, C + "securityContext": {"windowsOptions": {}}},
     [(F, x, NO_LINUX) for x in ("securityContext.windowsOptions", C + "securityContext.windowsOptions")]),
    ("a name of the node's", {"hostNetwork": True, "hostnameOverride": "x"}, [(F, "hostnameOverride", None)]),
    ("processes of all", {"hostPID": True, "shareProcessNamespace": True},
     [(I, "securityContext.shareProcessNamespace", "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled")]),
    ("profiles of nowhere", {"securityContext": {"seccompProfile": {"type": "Localhost"}, "appArmorProfile": {"type": "Localhost"}}}, [
        (Q, "securityContext.seccompProfile.localhostProfile", "Required value: must be set when seccomp type is Localhost"),
        (Q, "securityContext.appArmorProfile.localhostProfile", "Required value: must be set when AppArmor type is Localhost")]),
]


# many beginnings that share their end, and many ends: what is looked at again and again takes minutes
for iqn, good in (("iqn.2020-01.a.b:c", True), ("iqn.iqn.2020-01.a-b:c:d", True), ("iqn;iqn.2020-01.a:b", True), ("iqn.2020-01.iqn.2020-01.a:b", True), ("iqn.2020-01.a:b:", True),
                  ("iqn.2020-01.a:", False), ("iqn.2020-01.:b", False), ("iqn.2020-01.a:b c", False), ("iqn.2020-1.a:b", False), ("iqn.2020-01.a", False),
                  ("iqn.2020-01.a:b;iqn.2020-01.a", False), ("iqn.2020-01." * 100000, False), ("iqn.2020-01.a:" * 100000 + ";", False)):
    rows.append(("iSCSI, " + iqn[:40], ISCSI(iqn), [] if good else [(I, "volumes.0.iscsi.iqn", None)]))


def field(prefix, path):
    """containers.0.name as it stands in an error."""
    out = prefix
    for p in path.split("."):
        out += "[%s]" % p if p.isdigit() else "." + p
    return out


def compare(what, a, prefix, want):
    if not want:
        return t.eq(a.status, 201, what)
    got = {(c["reason"], c["field"]): c["message"] for c in a.json["details"]["causes"]} if a.status == 422 else {}
    need = {(r, field(prefix, f)): m for r, f, m in want}
    return t.ok(set(got) == set(need) and all(m is None or got[k] == m for k, m in need.items()), what, a)


def pods():
    api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    for what, sets, want in rows:
        compare(what, api.post(PODS, {"metadata": {"name": "p"}, "spec": spec(**sets)}), "spec", want)
    a = api.post(PODS, {"metadata": {"name": "p"}, "spec": spec(**volume(image={}))})
    compare("an image of nothing", a, "spec", [(Q, "volumes.0.image.reference", "Required value")])
    n = 20000
    a = api.post(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c%d" % i, "image": "i"} for i in range(n)],
                                                            "resources": {"requests": {"hugepages-%dMi" % (i + 1): "1Mi" for i in range(2 * n)}}}})
    t.eq(a.status, 422, "each of very many resources is not summed up over each of very many containers")


def templates():
    for what, sets, want in rows:
        if sets.get("restartPolicy"):
            continue        # a Deployment knows one
        labels = {"matchLabels": {"a": "b"}}
        a = api.post(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"selector": labels, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec(**sets)}}})
        compare(what + ", in a template", a, "spec.template.spec", want)
    a = api.post(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"selector": labels, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec(**volume(image={}))}}})
    compare("an image that comes later", a, "", [])


for g in (pods, templates):
    group(t, g)
t.ok(d.alive(), "the daemon lives", d.log()[-1000:])
t.eq(d.stop(), 0, "and ends well")
t.done()
