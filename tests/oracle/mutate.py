"""What can be wrong with an object: mutations of one field each, named, so that a name is enough to make one again.

    spec/replicas = -1          set, whatever was there
    spec/selector gone
    spec/ports twice            the list's first element once more, at its end

The words of a path are separated by "/"; "~1" is a slash and "~0" a tilde, as in a JSON pointer.
"""
import copy
import json
import os
import re

# fields whose change says nothing about the kind, and those that every kind has alike
OURS = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "selfLink", "generation")
COMMON = ("metadata",)
LONG = "a" * 260
TEXTS = ["", "other", "Bad_Name!", LONG, "-1", "5", "1.2.3.4", "10.0.0.0/8", "150%", "/x/../y", "a.example.com/b", 7]
NUMBERS = [0, -1, 1, 101, 70000, 3000000000, "x"]


def esc(word):
    return str(word).replace("~", "~0").replace("/", "~1")


def words_of(path):
    return [w.replace("~1", "/").replace("~0", "~") for w in path.split("/")]


def at(v, words):
    for w in words:
        if isinstance(v, list):
            v = v[int(w)] if w.isdigit() and int(w) < len(v) else None
        else:
            v = v.get(w) if isinstance(v, dict) else None
    return v


def mutant(obj, name):
    """The object with the mutation of that name, or None if there is no such place."""
    out = copy.deepcopy(obj)
    m = re.match(r"(.*) (gone|twice)$", name) or re.match(r"(.*?) = (.*)$", name, re.S)
    words = words_of(m.group(1))
    v = at(out, words[:-1])
    last = words[-1]
    if isinstance(v, list):
        last = int(last)
        if last >= len(v):
            return None
    elif not isinstance(v, dict):
        return None
    if m.group(2) == "gone":
        if isinstance(v, dict) and last not in v:
            return None
        del v[last]
    elif m.group(2) == "twice":
        if not isinstance(v, dict) or not v.get(last):
            return None
        v[last] = v[last] + [copy.deepcopy(v[last][0])]
    else:
        v[last] = json.loads(m.group(2))
    return out


class Words:
    """The values of enumerations, by the name of the field, from the schema files."""

    def __init__(self, folder):
        self.of = {}
        for f in os.listdir(folder):
            if f.endswith(".schema"):
                with open(os.path.join(folder, f)) as lines:
                    for line in lines:
                        m = re.match(r"\s+@\d+\s+(\S+)\s.*\b(?:enum|known)=(\S+)", line)
                        if m:
                            self.of.setdefault(m.group(1), set()).update(x.strip('"') for x in m.group(2).split("|"))


class Shapes:
    """The types of a server's OpenAPI: which fields an object might have, too."""

    def __init__(self, doc):
        self.defs = doc.get("definitions", {})
        self.kinds = {}
        for name, d in self.defs.items():
            for k in d.get("x-kubernetes-group-version-kind", ()):
                self.kinds[k["group"], k["version"], k["kind"]] = name

    def of(self, obj):
        group, _, version = obj["apiVersion"].rpartition("/")
        return {"$ref": "/" + self.kinds.get((group, version, obj["kind"]), "")}

    def open(self, shape):
        ref = (shape or {}).get("$ref")
        return self.defs.get(ref.rsplit("/", 1)[1], {}) if ref else shape or {}

    def sample(self, shape):
        ref = shape.get("$ref", "")
        if ref.endswith(("Quantity", "IntOrString")):
            return "5"
        if ref.endswith("Time"):
            return "2020-01-01T00:00:00Z"
        s = self.open(shape)
        kind = s.get("type", "object")
        if kind == "array":
            return [self.sample(s["items"])]
        return {"string": "x", "integer": 1, "number": 1, "boolean": True}.get(kind, {})


def several(v, path, shape, shapes, words, brief=False):
    """The names of the mutations of what stands there."""
    here = "/".join(map(esc, path))
    key = path[-1] if path else ""
    if path:
        yield here + " gone"
        yield from values(v, here, key, words, brief)
    s = shapes.open(shape)
    if isinstance(v, dict):
        props = s.get("properties", {})
        if s.get("additionalProperties") and path:
            for bad in ("Bad key!", "a/b/c", "", LONG):
                yield "%s/%s = %s" % (here, esc(bad), json.dumps(next(iter(v.values()), "x")))
        for k in v:
            if k in OURS or (path == ["metadata"] and k in ("name", "namespace")):
                continue
            yield from several(v[k], path + [k], props.get(k) or s.get("additionalProperties"), shapes, words, brief)
        for k in props:
            if k not in v and k not in OURS and k not in ("status", "kind", "apiVersion") and path[:1] != ["metadata"]:
                yield "%s = %s" % ("/".join(map(esc, path + [k])), json.dumps(shapes.sample(props[k])))
    elif isinstance(v, list):
        for i, x in enumerate(v):
            if not (brief and i > 1):
                yield from several(x, path + [str(i)], s.get("items"), shapes, words, brief)


def values(v, here, key, words, brief):
    if isinstance(v, bool):
        news = [not v] if brief else [not v, "x"]
    elif isinstance(v, (int, float)):
        news = [v + 1, 0] if brief else NUMBERS + [v + 1]
    elif isinstance(v, str):
        news = ["other", ""] if brief else TEXTS
        if re.match(r"\d+(\.\d+)*[mkKMGi%]*$", v):
            news = news + ["9999"]
        if re.match(r"\d{4}-\d\d-", v):
            news = ["2021-02-03T04:05:06Z"] + ([] if brief else ["x", 7])
        news = news + sorted(words.of.get(key, ()))
    elif isinstance(v, list):
        news = [[]] if brief else [[], "x", [None]] if v and isinstance(v[0], dict) else [[], "x", [""]]
        if v:
            yield here + " twice"
    else:
        news = [{}] if brief else [{}, "x"]
    for n in news:
        if n != v or type(n) is not type(v):
            yield "%s = %s" % (here, json.dumps(n, ensure_ascii=False))


def inside_template(name):
    """Pods in templates are looked at as pods; here it is enough that they are."""
    return re.search(r"(^|/)template/spec/containers/0/(?!image)", name) is not None


def names(obj, shapes, words, part, common):
    """Mutations for a part: "create", "update" or "status"."""
    brief = part == "update"
    seen = set()
    for n in several(obj, [], shapes.of(obj), shapes, words, brief):
        top = n.split("/")[0].split(" ")[0]
        if top in ("kind", "apiVersion") or (top == "status") != (part == "status") or n in seen or inside_template(n):
            continue
        if top in COMMON and not common:
            continue
        seen.add(n)
        yield n
