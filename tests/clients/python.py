#!/usr/bin/env -S python3 -B
# run: timeout=120
"""The Python client (python3-kubernetes) as people use it: objects, lists in pages, patches, watches, custom resources, discovery, errors."""
import importlib.util
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from rig import Daemon, Tap, group      # noqa: E402

if importlib.util.find_spec("kubernetes") is None:
    # Debian's packages belong to Debian's Python, which need not be the first one in PATH
    if os.path.exists("/usr/bin/python3") and not os.environ.get("CLIENT_AGAIN"):
        os.environ["CLIENT_AGAIN"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B"] + sys.argv)
    print("1..0 # SKIP there is no Python client (python3-kubernetes)")
    sys.exit(0)

from kubernetes import client, config, dynamic, watch       # noqa: E402
from kubernetes.client.rest import ApiException             # noqa: E402

t = Tap()
d = Daemon(modules=["controllers/namespace", "controllers/serviceaccount"]).start()
config.load_kube_config(d.kubeconfig)
core, apps, custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
NS = "clients"


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"of": "test"}), data=data)


def refused(fn, *args, **kw):
    try:
        fn(*args, **kw)
    except ApiException as e:
        return e
    return None


def objects():
    t.eq(client.VersionApi().get_code().major, "1", "the version")
    ns = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NS)))
    t.eq(ns.status.phase, "Active", "a namespace")
    cm = core.create_namespaced_config_map(NS, config_map("a", k="v"))
    t.ok(cm.metadata.uid and cm.metadata.creation_timestamp.tzinfo, "a config map, with its time")
    cm.data["k"] = "w"
    new = core.replace_namespaced_config_map("a", NS, cm)
    t.eq(new.data, {"k": "w"}, "replaced")
    e = refused(core.replace_namespaced_config_map, "a", NS, cm)
    t.ok(e and e.status == 409 and e.reason == "Conflict", "an old one is a conflict", e)
    e = refused(core.create_namespaced_config_map, NS, config_map("a"))
    t.ok(e and e.status == 409 and "AlreadyExists" in e.body, "made twice", e)
    e = refused(core.create_namespaced_config_map, NS, config_map("A_"))
    t.ok(e and e.status == 422 and '"field":"metadata.name"' in e.body.replace(" ", ""), "a bad name", e)
    e = refused(core.read_namespaced_config_map, "nothing", NS)
    t.eq(e and e.status, 404, "one that is not there")


def lists():
    for i in range(7):
        core.create_namespaced_config_map(NS, config_map("l%d" % i, n=str(i)))
    names, more = [], None
    while True:
        page = core.list_namespaced_config_map(NS, label_selector="of=test", limit=3, _continue=more)
        names += [c.metadata.name for c in page.items]
        more = page.metadata._continue
        if not more:
            break
    t.eq(names, ["a"] + ["l%d" % i for i in range(7)], "a list in pages")
    one = core.list_namespaced_config_map(NS, field_selector="metadata.name=l3").items
    t.eq([c.data for c in one], [{"n": "3"}], "by a field")
    s = core.delete_collection_namespaced_config_map(NS, label_selector="of=test", field_selector="metadata.name!=a")
    t.eq(len(core.list_namespaced_config_map(NS, label_selector="of=test").items), 1, "all of them deleted (%s)" % s.kind)


def patches():
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}
    apps.create_namespaced_deployment(NS, {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod}})
    got = apps.patch_namespaced_deployment("d", NS, {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "k"}]}}}})
    t.eq({c.name: c.image for c in got.spec.template.spec.containers}, {"c": "i", "d": "k"}, "a strategic merge patch")
    got = apps.patch_namespaced_deployment("d", NS, [{"op": "replace", "path": "/spec/replicas", "value": 3}])
    t.eq(got.spec.replicas, 3, "a JSON patch")
    t.eq(apps.read_namespaced_deployment_scale("d", NS).spec.replicas, 3, "its scale")
    got = apps.patch_namespaced_deployment_scale("d", NS, {"spec": {"replicas": 2}})
    t.eq(got.spec.replicas, 2, "another scale")
    got = apps.patch_namespaced_deployment("d", NS, {"metadata": {"labels": {"x": "y"}}}, dry_run="All")
    t.eq(got.metadata.labels, {"x": "y"}, "a dry run")
    t.eq(apps.read_namespaced_deployment("d", NS).metadata.labels, None, "which changes nothing")


def watches():
    rv = core.list_namespaced_secret(NS).metadata.resource_version
    w, seen = watch.Watch(), []
    ready = threading.Event()

    def write():
        ready.wait()
        core.create_namespaced_secret(NS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
        core.patch_namespaced_secret("s", NS, {"metadata": {"labels": {"x": "y"}}})
        core.delete_namespaced_secret("s", NS)
    th = threading.Thread(target=write, daemon=True)
    th.start()
    ready.set()         # before or after the watch begins: it begins at a version
    for e in w.stream(core.list_namespaced_secret, NS, resource_version=rv, timeout_seconds=60):
        seen.append((e["type"], e["object"].metadata.name, e["object"].metadata.labels))
        if e["type"] == "DELETED":
            w.stop()
    th.join()
    t.eq(seen, [("ADDED", "s", None), ("MODIFIED", "s", {"x": "y"}), ("DELETED", "s", {"x": "y"})], "a watch, typed")
    first = [e["object"].metadata.name for e in watch.Watch().stream(core.list_namespaced_config_map, NS, label_selector="of=test", timeout_seconds=1)]
    t.eq(first, ["a"], "a watch from nowhere begins with what there is, and ends in time")


def customs():
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer", "default": 4}}}}}
    client.ApiextensionsV1Api().create_custom_resource_definition({
        "metadata": {"name": "cars.x.example"}, "spec": {"group": "x.example", "scope": "Namespaced", "names": {"plural": "cars", "kind": "Car"},
                                                         "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
    for e in watch.Watch().stream(client.ApiextensionsV1Api().list_custom_resource_definition, timeout_seconds=60):
        if any(c.type == "Established" and c.status == "True" for c in e["object"].status.conditions or []):
            break
    at = ("x.example", "v1", NS, "cars")
    got = custom.create_namespaced_custom_object(*at, {"apiVersion": "x.example/v1", "kind": "Car", "metadata": {"name": "c"}, "spec": {"odd": 1}})
    t.eq(got["spec"], {"n": 4}, "a custom resource, pruned and defaulted")
    got = custom.patch_namespaced_custom_object(*at, "c", {"spec": {"n": 5}})
    t.eq(got["spec"]["n"], 5, "patched")
    e = refused(custom.patch_namespaced_custom_object, *at, "c", {"spec": {"n": "x"}})
    t.eq(e and e.status, 422, "patched badly")
    dyn = dynamic.DynamicClient(client.ApiClient())
    cars = dyn.resources.get(api_version="x.example/v1", kind="Car")
    t.eq([c.metadata.name for c in cars.get(namespace=NS).items], ["c"], "found by discovery")
    mine = json.dumps({"apiVersion": "x.example/v1", "kind": "Car", "metadata": {"name": "c"}, "spec": {"n": 6}})
    if hasattr(cars, "server_side_apply"):      # a text, or the client does not know how to send it
        t.eq(cars.server_side_apply(mine, name="c", namespace=NS, field_manager="me", force_conflicts=True).spec.n, 6, "applied")
    else:
        t.skip("applied", "the client is too old for it")
    t.ok(cars.delete(name="c", namespace=NS), "deleted")


def rights():
    who = client.AuthorizationV1Api()
    got = who.create_self_subject_access_review({"spec": {"resourceAttributes": {"namespace": NS, "verb": "create", "resource": "pods"}}})
    t.ok(got.status.allowed, "may I?")
    got = who.create_self_subject_rules_review({"spec": {"namespace": NS}})
    t.ok(any(r.verbs == ["*"] and r.resources == ["*"] for r in got.status.resource_rules), "what may I?")
    for e in watch.Watch().stream(core.list_namespaced_service_account, NS, timeout_seconds=60):
        if e["object"].metadata.name == "default":
            break
    tok = core.create_namespaced_service_account_token("default", NS, {"spec": {"expirationSeconds": 3600, "audiences": []}})
    mine = client.Configuration.get_default_copy()
    mine.cert_file = mine.key_file = None
    mine.api_key = {"authorization": "Bearer " + tok.status.token}
    e = refused(client.CoreV1Api(client.ApiClient(mine)).list_namespaced_pod, NS)
    t.ok(e and e.status == 403 and "system:serviceaccount:%s:default" % NS in e.body, "an account's token, which may little", e and e.body)


for fn in (objects, lists, patches, watches, customs, rights):
    group(t, fn)
t.ok(d.alive() and d.stop() == 0, "the daemon ends well")
t.done()
