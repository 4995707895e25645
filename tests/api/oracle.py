"""Request scripts that two API servers answer: ours, and upstream's as the one who knows.

A script is a list of steps; a step is (name, method, path, body[, options]). The answers, normalised, of an upstream
server stand in tests/recorded/NAME.json, so that the comparison runs without one. With ORACLE_KUBECONFIG in the
environment a test asks that server, too, compares, and with ORACLE_RECORD=1 writes the file anew.
"""
import base64
import http.client
import json
import os
import re
import ssl
import tempfile

from rig import Answer, SRCDIR

TYPES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
         "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
# what differs from run to run, or between the versions of upstream
META = ("uid", "resourceVersion", "creationTimestamp", "selfLink")


class Peer:
    """A client of the server in a kubeconfig with inline certificates."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as f:
            text = f.read()
        field = lambda name: base64.b64decode(re.search(name + r": ([A-Za-z0-9+/=]+)", text).group(1))
        self.host, self.port = re.search(r"https://([^:/]+):(\d+)", text).groups()
        self.ctx = ssl.create_default_context(cadata=field("certificate-authority-data").decode())
        self.ctx.check_hostname = False
        with tempfile.NamedTemporaryFile() as f:
            f.write(field("client-certificate-data") + b"\n" + field("client-key-data"))
            f.flush()
            self.ctx.load_cert_chain(f.name)
        self.agent = "rig/1.0"

    def __call__(self, method, path, body=None, headers=None, type=None):
        c = http.client.HTTPSConnection(self.host, int(self.port), context=self.ctx, timeout=20)
        h = {"Accept": "application/json", "User-Agent": self.agent, "Content-Type": type or "application/json"}
        h.update(headers or {})
        c.request(method, path, body.encode() if isinstance(body, str) else body, h)
        r = c.getresponse()
        a = Answer(r.status, r.headers, r.read())
        c.close()
        return a


def plain(v, drop=()):
    """An answer without what differs from run to run."""
    if isinstance(v, list):
        return [plain(x, drop) for x in v]
    if not isinstance(v, dict):
        return v
    out = {}
    for k, x in v.items():
        if k in drop or (k == "metadata" and x == {}):
            continue
        if k == "metadata" and isinstance(x, dict):
            x = {a: b for a, b in x.items() if a not in META and b is not None}
            x.pop("generation", None)
        if k == "managedFields":
            x = [dict(e, time="T" if e.get("time") else None) for e in x if e["manager"] != "kube-controller-manager"]
            for e in x:
                e.pop("subresource", None)
            # entries go by their seconds, so their order is another when one has begun in between
            x = sorted(x, key=lambda e: (e.get("operation", ""), e["manager"], json.dumps(e, sort_keys=True)))
        if k == "message" and isinstance(x, str):
            x = re.sub(r"(typed patch object) \([^)]*\)", r"\1", x)
            # values of maps and lists were printed as Go writes them
            x = re.sub(r"(Invalid|Unsupported) value: (?:null|\[\]?[\w.]*[^:]*?|[\w.\[\]]*\(nil\)|(?:map\[string\]string)?\{[^}]*\}): ", r"\1 value: X: ", x)
            x = re.sub(r"(Ingress|NetworkPolicy)\.extensions", r"\1.networking.k8s.io", x)
        if k == "group" and x == "extensions":
            x = "networking.k8s.io"
        # the order in which merges leave lists is another since 1.27
        if k == "finalizers":
            x = sorted(x)
        if k == "containers" and isinstance(x, list):
            x = sorted(x, key=lambda c: c.get("name", ""))
        if k == "causes":
            x = sorted(x, key=lambda c: (c.get("field", ""), c.get("message", "")))
        if x is not None:
            out[k] = plain(x, drop)
    return out


def ask(api, step, drop, token=None):
    name, method, path, body, *rest = step
    opt = rest[0] if rest else {}
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if token:       # the other server's namespaces last longer than a run
        path, body = (x and x.replace(token[0], token[1]) for x in (path, body))
    a = api(method, path, body, headers=opt.get("headers"), type=TYPES.get(opt.get("type"), opt.get("type")))
    try:
        text = json.loads(a.body.decode().replace(token[1], token[0]) if token else a.body)
    except ValueError:
        text = a.body.decode(errors="replace")
    got = {"status": a.status, "body": plain(text, drop)}
    w = [v for k, v in a.headers.items() if k.lower() == "warning"]
    if w:
        got["warnings"] = w
    return got


def compare(tap, name, api, script, drop=(), ns=None):
    """Runs the script against @api; each answer is a test. A step's option "ours" is what differs on purpose."""
    path = os.path.join(SRCDIR, "tests", "recorded", "%s.json" % name)
    peer = Peer(os.environ["ORACLE_KUBECONFIG"]) if name and os.environ.get("ORACLE_KUBECONFIG") else None
    want = {}
    if peer:
        for step in script:
            want[step[0]] = ask(peer, step, drop, (ns, "%s-%d" % (ns, os.getpid())) if ns else None)
        if os.environ.get("ORACLE_RECORD"):
            with open(path, "w") as f:
                json.dump(want, f, indent=1, sort_keys=True)
                f.write("\n")
    elif name:
        with open(path) as f:
            want = json.load(f)
    for w in want.values():
        w["body"] = plain(w["body"])
    for step in script:
        got = json.loads(json.dumps(ask(api, step, drop)))
        opt = step[4] if len(step) > 4 else {}
        w = want.get(step[0])
        if "ours" in opt:       # newer than the server that was asked
            same = opt["ours"](got) if callable(opt["ours"]) else got == opt["ours"]
            tap.ok(same, step[0] + " (as newer versions have it)", "got  %s\nwant %s" % (show(got), show(w)))
        else:
            tap.ok(got == w, step[0], "got  %s\nwant %s" % (show(got), show(w)))


def show(v):
    return json.dumps(v, sort_keys=True)[:9000]
