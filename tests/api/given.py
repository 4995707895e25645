#!/usr/bin/env -S python3 -B
# run: timeout=120
"""What objects are given that did not name it, and what they keep: health ports, data sources, priorities, claim templates."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import Api, Daemon, Tap    # noqa: E402

V1 = "/api/v1/namespaces/default/"


def service(name, **spec):
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": dict({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}, **spec)}


def claim(name, **spec):
    return {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name}, "spec": dict({
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, **spec)}


class Asker:
    def __init__(self, tap, api):
        self.tap = tap
        self.api = api

    def send(self, what, code, method, path, body=None):
        a = self.api(method, path, json.dumps(body) if body is not None else None)
        self.tap.ok(a.status == code, "%s: %d" % (what, code), a.text)
        return json.loads(a.text)


def health_ports(ask, tap):
    a = ask.send("a balanced service", 201, "POST", V1 + "services", service("a"))
    port = a["spec"].get("healthCheckNodePort", 0)
    tap.ok(30000 <= port <= 32767, "it is given a port for health checks", a)
    ask.send("the same port for another", 422, "POST", V1 + "services", service("b", healthCheckNodePort=port))
    ask.send("a port outside of the range", 422, "POST", V1 + "services", service("b", healthCheckNodePort=80))
    del a["spec"]["healthCheckNodePort"]
    a = ask.send("an update without the port", 200, "PUT", V1 + "services/a", a)
    tap.ok(a["spec"]["healthCheckNodePort"] == port, "it is kept", a)
    a["spec"]["healthCheckNodePort"] = 32000 if port != 32000 else 32001
    ask.send("an update with another", 422, "PUT", V1 + "services/a", a)
    a["spec"]["healthCheckNodePort"] = port
    a["spec"]["externalTrafficPolicy"] = "Cluster"
    a = ask.send("an update after which it needs none", 200, "PUT", V1 + "services/a", a)
    tap.ok("healthCheckNodePort" not in a["spec"], "it is given back", a)
    b = ask.send("another that wants it", 201, "POST", V1 + "services", service("b", healthCheckNodePort=port))
    tap.ok(b["spec"]["healthCheckNodePort"] == port, "it has it", b)
    ask.send("its end", 200, "DELETE", V1 + "services/b")
    ask.send("a third one that wants it", 201, "POST", V1 + "services", service("c", healthCheckNodePort=port))


def says(obj, field, ref):
    return {k: v for k, v in obj["spec"].get(field, {}).items() if v} == ref


def data_sources(ask, tap):
    other = {"kind": "PersistentVolumeClaim", "name": "x"}
    c = ask.send("a claim with the older field", 201, "POST", V1 + "persistentvolumeclaims", claim("a", dataSource=other))
    tap.ok(says(c, "dataSourceRef", other), "the newer one says the same", c)
    ask.send("an update", 200, "PUT", V1 + "persistentvolumeclaims/a", c)
    del c["spec"]["dataSourceRef"]
    ask.send("an update by one who knows the older", 200, "PUT", V1 + "persistentvolumeclaims/a", c)
    c = ask.send("a claim with the newer field", 201, "POST", V1 + "persistentvolumeclaims", claim("b", dataSourceRef=other))
    tap.ok(says(c, "dataSource", other), "the older one says the same", c)
    foreign = {"apiGroup": "example.com", "kind": "Thing", "name": "x"}
    c = ask.send("a source of another kind", 201, "POST", V1 + "persistentvolumeclaims", claim("c", dataSource=foreign))
    tap.ok("dataSource" not in c["spec"], "is left out of the older", c)
    c = ask.send("that in the newer", 201, "POST", V1 + "persistentvolumeclaims", claim("d", dataSourceRef=foreign))
    tap.ok(c["spec"]["dataSourceRef"] == foreign, "stays", c)
    ask.send("two that differ", 422, "POST", V1 + "persistentvolumeclaims",
             claim("e", dataSource=other, dataSourceRef=dict(other, name="y")))


def others(ask, tap):
    p = ask.send("a pod", 201, "POST", V1 + "pods", {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}})
    for key in ("preemptionPolicy", "priority"):
        del p["spec"][key]
    p = ask.send("its update without what its class has given", 200, "PUT", V1 + "pods/p", p)
    tap.ok(p["spec"]["preemptionPolicy"] == "PreemptLowerPriority" and p["spec"]["priority"] == 0, "keeps it", p)
    sets = "/apis/apps/v1/namespaces/default/statefulsets"
    s = ask.send("a stateful set with a kind inside", 201, "POST", sets, {
        "kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": {"name": "s"}, "spec": {
            "serviceName": "s", "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            "volumeClaimTemplates": [dict(claim("data"), kind="Thing")]}})
    tap.ok(s["spec"]["volumeClaimTemplates"][0]["kind"] == "PersistentVolumeClaim", "it counts for nothing", s)


def main():
    tap = Tap()
    daemon = Daemon(modules=["controllers/serviceaccount"]).start()
    api = Api(daemon)
    api("POST", V1 + "serviceaccounts", json.dumps({"metadata": {"name": "default"}}))
    ask = Asker(tap, api)
    health_ports(ask, tap)
    data_sources(ask, tap)
    others(ask, tap)
    tap.ok(daemon.alive() and daemon.stop() == 0, "the daemon ends well")
    tap.done()


if __name__ == "__main__":
    main()
