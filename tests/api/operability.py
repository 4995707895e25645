#!/usr/bin/env -S python3 -B
# run: timeout=90
"""What runs it for others: numbers under upstream's names, checks by name, limits with 429, a log of requests without secrets, an orderly end."""
import json
import re
import select
import shutil
import signal
import socket
import subprocess

from rig import Api, CM, Daemon, Tap, config_map, group, until

t = Tap()
d = Daemon(params="max_writes = 1; max_watches = 1; log_requests = true;").start()
api = Api(d)
RB = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
api.post(RB, {"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
              "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]})
jane = Api(d, token="token-of-jane")
LINE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')


def metrics():
    """{(name, frozenset of labels): value}, and {name: type}; the text is checked as Prometheus reads it."""
    a = api.get("/metrics")
    values, types = {}, {}
    if not a.headers["Content-Type"].startswith("text/plain; version=0.0.4"):
        raise ValueError(a.headers["Content-Type"])
    for line in a.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            if name in types:
                raise ValueError("twice: " + name)
            types[name] = kind
        elif line and not line.startswith("#"):
            m = LINE.match(line)
            if not m:
                raise ValueError("no sample: " + line)
            labels = frozenset(re.findall(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
            if (m.group(1), labels) in values:
                raise ValueError("twice: " + line)
            values[m.group(1), labels] = float(m.group(3))
    return values, types


def value(values, name, **labels):
    """The sum over all samples of the name with these labels; None: there is none."""
    found = [v for (n, l), v in values.items() if n == name and set(labels.items()) <= l]
    return sum(found) if found else None


def requests_are_counted():
    of = {"group": "", "version": "v1", "resource": "configmaps", "subresource": "", "component": "apiserver"}
    before, _ = metrics()
    api.post(CM, config_map("m", {"k": "v"}))
    api.get(CM)
    api.get(CM + "/m")
    api.get(CM + "/none")
    api.post(CM + "?dryRun=All", config_map("dry"))
    api.patch(CM + "/m", json.dumps(config_map("m")), kind="apply")
    api("PATCH", CM + "/m?fieldManager=x", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}), type="application/apply-patch+yaml")
    api.patch(CM + "/m", {"data": {"p": "q"}})
    w = api.watch(CM + "?watch=1")
    w.next()
    after, types = metrics()
    more = lambda name, **l: (value(after, name, **l) or 0) - (value(before, name, **l) or 0)
    for verb, scope, code, dry, n in (("POST", "resource", "201", "", 1), ("LIST", "namespace", "200", "", 1), ("GET", "resource", "200", "", 1),
                                      ("GET", "resource", "404", "", 1), ("POST", "resource", "201", "All", 1), ("APPLY", "resource", "200", "", 1),
                                      ("PATCH", "resource", "200", "", 1)):
        t.eq(more("apiserver_request_total", verb=verb, scope=scope, code=code, dry_run=dry, **of), n, "%s %s %s%s" % (verb, scope, code, dry))
    t.eq(more("apiserver_request_duration_seconds_count", verb="GET", **of), 2, "their time")
    t.eq(more("apiserver_request_sli_duration_seconds_count", verb="POST", **of), 2, "and as an indicator")
    t.ok(more("apiserver_response_sizes_sum", verb="LIST", **of) > 200, "bytes of lists")
    t.eq(value(after, "apiserver_longrunning_requests", verb="WATCH", scope="namespace", **of), 1, "a watch is open")
    t.ok(more("apiserver_watch_events_total", group="", version="v1", resource="configmaps") == 1 ==
         more("apiserver_watch_events_sizes_count", resource="configmaps"), "and told of one event")
    w.close()
    until("the watch is gone", lambda: value(metrics()[0], "apiserver_longrunning_requests", verb="WATCH", **of) == 0)
    t.ok(True, "closed, it is none")
    t.eq(value(after, "apiserver_current_inflight_requests", request_kind="mutating"), 0, "nothing is in flight")
    # one of ours, and what aggregated servers must know
    t.ok(value(after, "apiserver_storage_objects", resource="configmaps") == 2 == value(after, "apiserver_resource_objects", group="", resource="configmaps") and
         value(after, "apiserver_storage_objects", resource="clusterroles.rbac.authorization.k8s.io") > 50, "objects are counted")
    for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
                 "process_start_time_seconds", "kubernetes_build_info"):
        t.ok((value(after, name) or 0) > 0 or name == "process_cpu_seconds_total" and value(after, name) is not None, name)
    t.ok(types["apiserver_request_total"] == "counter" and types["apiserver_request_duration_seconds"] == "histogram" and
         types["apiserver_longrunning_requests"] == "gauge", "types")
    # each histogram: cumulated, and the last bucket is the count
    good = True
    for (n, l), v in after.items():
        if n.endswith("_bucket") and ("le", "+Inf") in l:
            rest = l - {("le", "+Inf")}
            good = good and v == after[n[:-7] + "_count", rest]
            steps = sorted((float(dict(k)["le"]), x) for (m, k), x in after.items() if m == n and k - {x for x in k if x[0] == "le"} == rest)
            good = good and all(a[1] <= b[1] for a, b in zip(steps, steps[1:]))
    t.ok(good, "histograms add up")
    for method in ("BREW", "SHAKE", "OPTIONS"):
        api(method, "/metrics")
    api.get("/healthz-" + "x" * 50)
    now, _ = metrics()
    t.ok(not [1 for (n, l) in now if "BREW" in dict(l).get("verb", "")] and value(now, "apiserver_request_total", verb="OTHER"), "nobody makes names of their own")


def for_dashboards():
    """What dashboards read of upstream's own inside; and the whole text as Prometheus' own checker reads it."""
    cm = {"group": "", "resource": "configmaps"}
    before, _ = metrics()
    rv = api.post(CM, config_map("dash")).rv
    api.delete(CM + "/dash")
    after, types = metrics()
    more = lambda name, **l: (value(after, name, **l) or 0) - (value(before, name, **l) or 0)
    for what in ("create", "delete"):
        t.eq((more("etcd_requests_total", operation=what, **cm), more("etcd_request_duration_seconds_count", operation=what, **cm)), (1, 1),
             "the storage was asked to %s" % what)
    t.eq(more("apiserver_watch_cache_events_received_total", **cm), 2, "both changes came into the cache")
    t.ok(value(after, "apiserver_watch_cache_resource_version", **cm) >= int(rv) and value(after, "apiserver_watch_cache_capacity", **cm) >= 2 and
         value(after, "apiserver_watch_cache_resource_version", group="apps", resource="deployments") > 0, "how far it is, and its room")
    one = {"flow_schema": "exempt", "priority_level": "exempt"}
    t.ok(more("apiserver_flowcontrol_dispatched_requests_total", **one) == 2 and value(after, "apiserver_flowcontrol_current_executing_requests", **one) == 0 and
         value(after, "apiserver_flowcontrol_nominal_limit_seats", priority_level="global-default") == 33, "flow control")
    t.eq((types["etcd_request_duration_seconds"], types["apiserver_watch_cache_events_received_total"], types["process_cpu_seconds_total"]),
         ("histogram", "counter", "counter"), "types")
    tool = shutil.which("promtool")
    if not tool:
        t.skip("promtool reads it", "not installed")
        return
    p = subprocess.run([tool, "check", "metrics"], input=api.get("/metrics").text, capture_output=True, text=True)
    # 3: it would name some things otherwise, as upstream's own
    t.ok(p.returncode in (0, 3) and "error while linting" not in p.stderr, "promtool reads it", p.stdout + p.stderr)


def checks():
    ready = ["ping", "log", "etcd", "etcd-readiness", "informer-sync", "poststarthook/bootstrap-controller", "poststarthook/rbac/bootstrap-roles",
             "poststarthook/priority-and-fairness-config-producer", "poststarthook/scheduling/bootstrap-system-priority-classes", "shutdown", "storage/lmdb", "apiserver"]
    a = api.get("/readyz?verbose")
    t.eq(a.text.splitlines(), ["[+]%s ok" % n for n in ready] + ["readyz check passed"], "readyz: every check by name")
    for n in ready:
        a = api.get("/readyz/" + n)
        t.eq((a.status, a.text), (200, "ok"), "/readyz/" + n)
    live = [x for x in ready if x not in ("etcd-readiness", "informer-sync", "shutdown")]
    a = api.get("/livez?verbose")
    t.eq(a.text.splitlines(), ["[+]%s ok" % n for n in live] + ["livez check passed"], "livez")
    a = api.get("/readyz?verbose&exclude=etcd&exclude=poststarthook%2Frbac%2Fbootstrap-roles")
    t.ok("[+]etcd excluded: ok" in a.text and "[+]poststarthook/rbac/bootstrap-roles excluded: ok" in a.text and a.text.count("excluded") == 2, "without two of them", a)
    a = api.get("/livez?verbose&exclude=nobody&exclude=ping&exclude=no%22one")
    t.ok('warn: some health checks cannot be excluded: no matches for "nobody","no\\"one"\n' in a.text and a.status == 200, "nor what is not there", a)
    t.eq(api.get("/livez/etcd-readiness").status, 404, "a check that is not of this one")
    t.eq((api.get("/healthz").text, api.get("/healthz/ping").text), ("ok", "ok"), "healthz")


def half_a_post(name, who="token-of-jane", query="", d=d):
    """A request whose last byte is missing, and that byte."""
    body = json.dumps(config_map(name)).encode()
    s = d.connect(None)
    s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        (CM + query).encode(), who.encode(), len(body), body[:-1]))
    return s, body[-1:]


def answer(s):
    b = b""
    while b"\r\n\r\n" not in b:
        more = s.recv(65536)
        if not more:
            return b
        b += more
    head, _, rest = b.partition(b"\r\n\r\n")
    n = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(rest) < n:
        rest += s.recv(65536)
    return head + b"\r\n\r\n" + rest


def inflight():
    return value(metrics()[0], "apiserver_current_inflight_requests", request_kind="mutating") or 0


def too_many():
    # whatever the number of shards: each has room for one or two, and 24 connections fill them
    held = [half_a_post("h%d" % i) for i in range(24)]
    dropped = lambda: value(metrics()[0], "apiserver_dropped_requests_total", request_kind="mutating") or 0
    until("all have been taken or refused", lambda: inflight() + dropped() >= 24)
    n, refused = int(inflight()), int(dropped())
    t.ok(n >= 1 and refused >= 1 and n + refused == 24, "%d writes are in flight, %d were refused" % (n, refused))
    a = api.post(CM, config_map("masters"))
    t.eq(a.status, 201, "who administers is not refused")
    good, bad = 0, []
    for i, (s, last) in enumerate(held):
        try:
            s.sendall(last)
        except OSError:
            pass
        b = answer(s)
        if b.startswith(b"HTTP/1.1 201"):
            good += 1
        else:
            bad.append(b)
        s.close()
    t.eq((good, len(bad)), (n, refused), "what was taken is done")
    t.ok(all(b.startswith(b"HTTP/1.1 429") and b"\r\nRetry-After: 1\r\n" in b and b'"reason":"TooManyRequests"' in b for b in bad),
         "the others got 429, and when to come again", bad[:1])
    t.eq(value(metrics()[0], "apiserver_request_terminations_total", code="429", verb="POST", resource="configmaps"), refused, "counted")
    until("nothing is in flight", lambda: inflight() == 0)
    t.eq(jane.post(CM, config_map("later")).status, 201, "then there is room again")


def too_many_streams():
    """Logs of a pod whose kubelet takes connections and says nothing."""
    k = socket.socket()
    k.bind(("127.0.0.1", 0))
    k.listen(64)
    s = Daemon(params='max_streams = 1; kubelet_ca = "@/ca.crt"; kubelet_cert = "@/admin.crt"; kubelet_key = "@/admin.key";')
    with open(s.conf) as f:
        text = f.read()
    with open(s.conf, "w") as f:
        f.write(text.replace("@/", s.pki.dir + "/"))
    s.start()
    a = Api(s)
    a.post(RB, {"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]})
    a.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    a.post("/api/v1/nodes", {"metadata": {"name": "n"}})
    a.patch("/api/v1/nodes/n/status", {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                                 "daemonEndpoints": {"kubeletEndpoint": {"Port": k.getsockname()[1]}}}})
    r = a.post("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})
    t.eq(r.status, 201, "a pod")
    held = []
    for _ in range(24):
        c = s.connect(None)
        c.sendall(b"GET /api/v1/namespaces/default/pods/p/log HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-jane\r\n\r\n")
        held.append(c)
    streams, answered = [], set()

    def all_there():
        ready, _, _ = select.select([k] + [c for c in held if c not in answered], [], [], 0.1)
        for x in ready:
            if x is k:
                streams.append(k.accept()[0])
            else:
                answered.add(x)
        return len(streams) + len(answered) >= 24
    until("all are with the kubelet or refused", all_there)
    codes = [answer(c) for c in held if c in answered]
    t.ok(streams and codes and len(streams) + len(codes) == 24 and all(b.startswith(b"HTTP/1.1 429") and b"\r\nRetry-After: 1\r\n" in b for b in codes),
         "%d streams are open, %d were refused with 429" % (len(streams), len(codes)), codes[:1])
    for c in held + streams:
        c.close()
    k.close()
    s.stop()


def in_time():
    """A request that is never whole: when its time is over it hears so."""
    s, _ = half_a_post("slow", query="?timeout=1s", who="token-of-root")
    b = answer(s)
    t.ok(b.startswith(b"HTTP/1.1 504") and b'"reason":"Timeout"' in b and
         b"Timeout: request did not complete within requested timeout - context deadline exceeded" in b, "timeout= of the client", b)
    s.close()
    until("it is no longer in flight", lambda: inflight() == 0)
    t.eq(value(metrics()[0], "apiserver_request_terminations_total", code="504", verb="POST", resource="configmaps"), 1, "counted")
    for text, why in (("abc", 'invalid duration \\"abc\\"'), ("5", 'missing unit in duration \\"5\\"')):
        a = api.get(CM + "?timeout=" + text)
        t.ok(a.status == 400 and ("invalid timeout specified in the request URL - time: " + why) in a.text, "timeout=" + text, a)
    for text in ("0s", "1h", "20s", "-1s"):
        t.eq(api.get(CM + "?timeout=" + text).status, 200, "timeout=" + text)
    t.eq(api.post(CM + "?timeout=30s", config_map("quick")).status, 201, "in time")
    short = Daemon(params="request_timeout_s = 1;").start()
    for query in ("", "?timeout=30m"):
        s, _ = half_a_post("slow", query=query, who="token-of-root", d=short)
        b = answer(s)
        t.ok(b.startswith(b"HTTP/1.1 504") and b'"code":504' in b, "the server's own limit" + (", which a client cannot widen" if query else ""), b)
        s.close()
    short.stop()


def too_many_watches():
    ws = [jane.watch(CM + "?watch=1&resourceVersion=0") for _ in range(24)]
    codes = [w.status for w in ws]
    t.ok(codes[0] == 200 and codes.count(429) >= 1 and set(codes) == {200, 429}, "watches beyond the limit", codes)
    w = next(w for w in ws if w.status == 429)
    t.ok(w.answer.headers["Retry-After"] == "1" and w.answer.json["reason"] == "TooManyRequests", "429, and when to come again", w.answer)
    w = api.watch(CM + "?watch=1")
    t.eq(w.status, 200, "not for who administers")
    w.close()
    for w in ws:
        w.close()


def request_log():
    api.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"k": "very-secret-text"}})
    jane.get("/api/v1/namespaces/default/secrets/s?token=secret-in-query")
    jane.get(CM + "/a%20user=root%0acode=200")
    Api(d, user=None).get(CM, {"Authorization": "Bearer secret-of-nobody"})
    line = lambda *words: until("the line", lambda: next((x for x in d.log().splitlines() if all(w in x for w in words)), None))
    a = line("verb=create", "path=/api/v1/namespaces/default/secrets", "user=kubernetes-admin", "code=201")
    t.ok(re.search(r"trace=[0-9a-f]{16} .* us=\d+ bytes=\d+ agent=rig/1.0", a), "a line for each request", a)
    a = line("verb=get", "path=/api/v1/namespaces/default/secrets/s", "user=jane", "code=200")
    t.ok("?" not in a, "without the query", a)
    a = line("user=jane", "code=404", CM)
    t.ok("user=root" not in a and a.count("code=") <= 2, "a name is one word", a)
    line("code=401")
    log = d.log()
    for secret in ("very-secret-text", "secret-in-query", "secret-of-nobody", "token-of-jane"):
        t.ok(secret not in log, "not in the log: " + secret)
    quiet = Daemon().start()
    other = Api(quiet)
    other.post(CM, config_map("q"))
    other.close()
    quiet.stop()
    t.ok("path=" not in quiet.log(), "off unless asked for", quiet.log()[-500:])


def orderly_end():
    w = api.watch(CM + "?watch=1&allowWatchBookmarks=1")
    w.next()
    idle = d.connect()
    idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer(idle)        # it has been accepted, and its handshake is over on both sides
    d.proc.send_signal(signal.SIGTERM)
    # the last chunk of a watch, not a broken connection
    while w.next() is not None:
        pass
    t.ok(True, "a watch ends in order")
    t.eq(idle.recv(1), b"", "an idle connection is closed")
    t.eq(d.proc.wait(60), 0, "and it ends well")
    idle.close()
    w.close()


for g in (requests_are_counted, for_dashboards, checks, too_many, in_time, too_many_watches, too_many_streams, request_log, orderly_end):
    group(t, g)
t.done()
