"""Answers without what differs from run to run; how two of them differ; how they are written down."""
import base64
import json
import re


class Absent:
    def __repr__(self):
        return "absent"


ABSENT = Absent()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
JWT = re.compile(r"ey[\w-]+\.([\w-]+)\.[\w-]+$")
# values that are no plain texts or numbers: newer versions write JSON, older ones what Go shows of its types
GO = re.compile(r"((?:Invalid|Duplicate|Unsupported) value): (?:\[|\{|null|\"null\"|&|map\[|[\w]+\.\w+[{(]|\[\]|\w+\()(?:.*[\]})\"]|ull|ull\"): (?=[^:]*(?::[^:]*)?$)", re.S)
GO_ALONE = re.compile(r"((?:Invalid|Duplicate) value): (?:core|v1)\.\w+\{.*\}$", re.S)
META = ("uid", "resourceVersion", "creationTimestamp", "selfLink")
ADDRESS = ("clusterIP", "clusterIPs")
SERVICE_IP = re.compile(r"^10\.96\.\d+\.\d+$")


def at(v, path):
    for p in path.split("."):
        if isinstance(v, list):
            v = v[int(p)] if int(p) < len(v) else None
        elif isinstance(v, dict):
            v = v.get(p)
        else:
            return None
    return v


def claims(m):
    part = m.group(1)
    c = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return "TOKEN of " + str(c.get("sub")) + " for " + json.dumps(c.get("aud")) + ", " + str(c.get("exp", 0) - c.get("iat", 0)) + " s"


def text(s, kept):
    for name, v in kept.items():
        if len(v) > 20:
            s = s.replace(v, "$" + name)
    s = re.sub(r"https://[\w.-]+:\d+(?=/openid)", "https://SERVER", s)
    s = TIME.sub("TIME", s)
    s = UID.sub("UID", s)
    s = JWT.sub(claims, s)
    s = re.sub(r'(value): (?:null|"null"): ', r"\1: X: ", s)
    return GO_ALONE.sub(r"\1: X", GO.sub(r"\1: X: ", s))


def same(a, b):
    """Texts; where upstream showed what Go shows, any value is as good."""
    if not isinstance(a, str) or not isinstance(b, str):
        return a == b
    if a.endswith("value: X"):
        return a == re.sub(r"value: .*$", "value: X", b, flags=re.S)
    return a == b or "value: X: " in a and \
        a == re.sub(r'value: (?:"(?:[^"\\]|\\.)*"|[^\s"]+): ', "value: X: ", b)


def plain(v, step, kept, key=""):
    if isinstance(v, str):
        return "IP" if key in ADDRESS and re.match(r"\d+\.", v) else text(v, kept)
    if isinstance(v, list):
        v = [plain(x, step, kept, key) for x in v]
        if key in ("resourceRules", "nonResourceRules"):
            v.sort(key=lambda c: json.dumps(c, sort_keys=True))
        if key == "causes":
            v.sort(key=lambda c: (c.get("field", ""), c.get("message", "")))
        return v
    if not isinstance(v, dict):
        return v
    if v.get("kind") == "Table":
        ages = [i for i, c in enumerate(v.get("columnDefinitions") or []) if c["type"] == "date" or c["name"] in ("Age", "Created At", "Last Seen", "First Seen")]
        for row in v.get("rows") or []:
            for i in ages:
                row["cells"][i] = "AGE"
            row["cells"] = ["IP" if isinstance(c, str) and SERVICE_IP.match(c) else c for c in row["cells"]]
            if "full" not in step.flags:
                row.pop("object", None)
    made = isinstance(v.get("generateName"), str) and str(v.get("name", "")).startswith(v["generateName"])
    out = {}
    for k, x in v.items():
        if x is None or k == "description" or (k == "managedFields" and "managed" not in step.flags):
            continue
        if key == "metadata" and k in META or key == "details" and k == "uid":
            continue
        if k == "message" and key != "causes" and isinstance(at(v, "details.causes.0.field"), str):
            x = re.sub(r" is invalid: .*", " is invalid: …", x, flags=re.S)      # the causes tell
        if key == "metadata" and k == "name" and made:
            x = v["generateName"] + "RANDOM"
        out[k] = plain(x, step, kept, k)
    return out


def keyed(v):
    """A list whose elements have names: by them."""
    if v and all(isinstance(e, dict) and "message" in e and "field" in e for e in v):
        return {"%s %d" % (e["field"], sum(x["field"] == e["field"] for x in v[:i])): e for i, e in enumerate(v)}
    for k in ("name", "type", "groupVersion", "key"):
        if v and all(isinstance(e, dict) and isinstance(e.get(k), str) for e in v):
            names = [e[k] for e in v]
            if len(set(names)) == len(names):
                return dict(zip(names, v))
    if v and all(isinstance(e, dict) and isinstance(e.get("metadata"), dict) and "name" in e["metadata"] for e in v):
        return {e["metadata"].get("namespace", "") + "/" + e["metadata"]["name"]: e for e in v}
    return None


def differ(a, b, path=""):
    """(path, a's, b's) of each difference."""
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(set(a) | set(b)):
            yield from differ(a.get(k, ABSENT), b.get(k, ABSENT), path + "." + k if path else k)
    elif isinstance(a, list) and isinstance(b, list):
        ka, kb = keyed(a), keyed(b)
        if ka is not None and kb is not None:
            yield from differ(ka, kb, path)
            both = [k for k in ka if k in kb]
            if both != [k for k in kb if k in ka]:
                yield path + ".order", list(ka), list(kb)
        elif len(a) == len(b) and all(isinstance(x, dict) for x in a + b):
            for i, (x, y) in enumerate(zip(a, b)):
                yield from differ(x, y, "%s.%d" % (path, i))
        elif a != b:
            yield path, a, b
    elif a is ABSENT or b is ABSENT or type(a) is not type(b) or not same(a, b):
        yield path, a, b


def pretty(v, indent=""):
    """JSON, sorted, with what is short on one line."""
    short = json.dumps(v, sort_keys=True, ensure_ascii=False)
    if len(indent) + len(short) <= 150 and indent or not isinstance(v, (dict, list)) or not v:
        return short
    inner = indent + " "
    if isinstance(v, list):
        return "[\n%s\n%s]" % (",\n".join(inner + pretty(x, inner) for x in v), indent)
    return "{\n%s\n%s}" % (",\n".join(inner + json.dumps(k, ensure_ascii=False) + ": " + pretty(v[k], inner) for k in sorted(v)), indent)
