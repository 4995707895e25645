#!/usr/bin/env -S python3 -B
# run: timeout=120
"""ResourceQuota: what is refused and with which words, what is counted, and that a crowd cannot get past it."""
import threading

from rig import FACTOR, Api, Daemon, Tap, config_map, group, until

t = Tap()
d = Daemon(modules=("controllers/resourcequota",)).start()
api = Api(d)


def pod(name, requests=None, limits=None, **spec):
    c = {"name": "c", "image": "i"}
    if requests or limits:
        c["resources"] = {k: v for k, v in (("requests", requests), ("limits", limits)) if v}
    s = {"containers": [c]}
    s.update(spec)
    m = {"generateName": name} if name.endswith("-") else {"name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": m, "spec": s}


def namespace(name):
    a = api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert a.status == 201, a
    n = "/api/v1/namespaces/" + name
    a = api.post(n + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    assert a.status == 201, a
    return n


def quota(n, name, hard, **spec):
    s = {"hard": hard}
    s.update(spec)
    a = api.post(n + "/resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": s})
    assert a.status == 201, a
    until("the quota is counted", lambda: set(status(n, name).get("used", {})) >= set(hard))


def status(n, name):
    return api.get(n + "/resourcequotas/" + name).json.get("status", {})


def used(n, name):
    return status(n, name)["used"]


def says(a, code, message, name):
    t.ok(a.status == code and a.json.get("message") == message, name, "%s\nwant %d %s" % (a, code, message))


def words():
    n = namespace("words")
    quota(n, "q", {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "count/configmaps": "1", "services.nodeports": "1"})
    says(api.post(n + "/pods", pod("a")), 403,
         'pods "a" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c', "what must be said")
    a = api.post(n + "/pods", pod("a", {"cpu": "600m"}, {"memory": "256Mi"}))
    t.eq(a.status, 201, "within the quota")
    t.eq(used(n, "q")["requests.cpu"], "600m", "charged at once")
    t.eq(used(n, "q")["pods"], "1", "and counted")
    says(api.post(n + "/pods", pod("b", {"cpu": "500m"}, {"memory": "256Mi"})), 403,
         'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1',
         "beyond it")
    says(api.post(n + "/pods", pod("b", {"cpu": "500m"}, {"memory": "2Gi"})), 403,
         'pods "b" is forbidden: exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=500m, '
         'used: limits.memory=256Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1', "in two ways")
    t.eq(api.post(n + "/pods?dryRun=All", pod("b", {"cpu": "1m"}, {"memory": "1"})).status, 201, "a dry run")
    t.eq(used(n, "q")["pods"], "1", "costs nothing")
    t.eq(api.post(n + "/configmaps", config_map("one")).status, 201, "an object")
    says(api.post(n + "/configmaps", config_map("two")), 403,
         'configmaps "two" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, '
         'limited: count/configmaps=1', "one too many")
    api.delete(n + "/configmaps/one")
    until("it is counted off", lambda: used(n, "q")["count/configmaps"] == "0")
    t.eq(api.post(n + "/configmaps", config_map("two")).status, 201, "one gone makes room")
    svc = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    t.eq(api.post(n + "/services", svc).status, 201, "a service without node ports")
    a = api.patch(n + "/services/s", {"spec": {"type": "NodePort"}})
    t.eq((a.status, used(n, "q")["services.nodeports"]), (200, "1"), "an update is charged for what it adds")
    a = api.patch(n + "/services/s", {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}})
    says(a, 403, 'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, '
         'limited: services.nodeports=1', "and refused if it is too much")
    a = api.patch(n + "/services/s", {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}]}})
    t.ok((a.status, used(n, "q")["services.nodeports"]) == (200, "0"), "and given back what it takes away", a)
    until("node ports come back", lambda: used(n, "q")["services.nodeports"] == "0")
    api.delete(n + "/pods/a?gracePeriodSeconds=0")
    until("a pod comes back", lambda: used(n, "q")["pods"] == "0" and used(n, "q")["requests.cpu"] == "0")
    t.ok(True, "what goes is counted off")


def scopes():
    n = namespace("scopes")
    quota(n, "best", {"pods": "1"}, scopes=["BestEffort"])
    quota(n, "ends", {"pods": "0"}, scopes=["Terminating"])
    quota(n, "high", {"pods": "0"}, scopeSelector={"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}]})
    t.eq(api.post(n + "/pods", pod("a")).status, 201, "one pod of best effort")
    says(api.post(n + "/pods", pod("b")), 403,
         'pods "b" is forbidden: exceeded quota: best, requested: pods=1, used: pods=1, limited: pods=1', "no second one")
    t.eq(api.post(n + "/pods", pod("b", {"cpu": "1"})).status, 201, "but one that asks for something")
    says(api.post(n + "/pods", pod("c", {"cpu": "1"}, activeDeadlineSeconds=9)), 403,
         'pods "c" is forbidden: exceeded quota: ends, requested: pods=1, used: pods=0, limited: pods=0', "none that ends by itself")
    says(api.post(n + "/pods", pod("c", {"cpu": "1"}, priorityClassName="system-node-critical")), 403,
         'pods "c" is forbidden: exceeded quota: high, requested: pods=1, used: pods=0, limited: pods=0', "none of a class")


def unknown():
    other = Daemon().start()
    a = Api(other)
    n = "/api/v1/namespaces/default"
    a.post(n + "/resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                                   "spec": {"hard": {"count/configmaps": "5"}}})
    x = a.get(n + "/resourcequotas/q").json
    x["status"] = {"hard": {"count/configmaps": "5"}}
    t.eq(a.put(n + "/resourcequotas/q/status", x).status, 200, "a quota that nobody has counted")
    says(a.post(n + "/configmaps", config_map("a")), 403,
         'configmaps "a" is forbidden: status unknown for quota: q, resources: count/configmaps', "lets nothing in")
    other.stop()


def crowd():
    n = namespace("crowd")
    quota(n, "q", {"count/configmaps": "50"})
    got, lock = [], threading.Lock()

    def run(i):
        mine = Api(d, timeout=60)
        for k in range(10):
            a = mine.post(n + "/configmaps", config_map("m-%d-%d" % (i, k)))
            with lock:
                got.append(a.status)
        mine.close()
    ts = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(12)]
    for x in ts:
        x.start()
    for x in ts:
        x.join(90 * FACTOR)
    t.eq((got.count(201), got.count(403), len(got)), (50, 70, 120), "of 120 at once just 50 come in")
    t.eq(len(api.get(n + "/configmaps").json["items"]), 50, "as many are there")
    t.eq(used(n, "q")["count/configmaps"], "50", "and counted")


for g in (words, scopes, unknown, crowd):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
