#!/usr/bin/env -S python3 -B
"""The schema files have every field of the types that Kubernetes 1.36 serves (fields.tsv): its name, its number on the wire, its type,
whether it is required, always written or apart when absent, how lists and maps merge, how strategic merge patches treat it; and no other."""
import glob
import os
import re

from rig import SRCDIR, Tap

t = Tap()
HERE = os.path.join(SRCDIR, "tests", "api", "fields.tsv")
WORD = re.compile(r'(?:[^\s"\[{]|"[^"]*"|\[[^\]]*\]|\{[^}]*\})+')
KEPT = ("req", "atomic")


def full(name, package):
    """A type's name with its package."""
    pre, base = re.match(r"((?:\[\]|map\[string\])*)(.*)", name).groups()
    return pre + (package + "." + base if base[:1].isupper() else base)


def said(words, package):
    """A field: what this test compares of it."""
    number, name, kind = words[:3]
    base = kind.rstrip("!*")
    marks = kind[len(base):]
    base = full(base.split(":")[0], package)
    if "." in base and base[0] != "[" and not base.startswith("map") and "*" not in marks:
        marks = ""      # a struct is always written
    rest = [w for w in words[3:] if w in KEPT or w.startswith(("list=", "patch="))]
    return name, (number, base, "".join(sorted(marks))) + tuple(sorted(rest))


def facts():
    with open(HERE) as f:
        for line in f:
            if line.startswith("#"):
                continue
            head, _, fields = line.rstrip("\n").partition("\t")
            name, *words = head.split()
            package = name.rpartition(".")[0]
            out = {}
            for x in fields.split("; ") if fields else []:
                w = x.split(" ")
                if w[0][0] == "+":
                    out["+" + full(w[1], package)] = w[0][1:]
                else:
                    k, v = said(w, package)
                    out[k] = v
            yield name, words == ["atomic"], out


def ours():
    types = {}
    for path in sorted(glob.glob(os.path.join(SRCDIR, "api", "*.schema"))):
        package = now = None
        with open(path) as f:
            lines = [l.rstrip("\n").split(" -- ")[0] for l in f]
        for line in lines:
            words = WORD.findall(line)
            if not words or words[0].startswith("#"):
                continue
            if not line[0].isspace():
                now = None
                if words[0] == "group":
                    package = [w[8:] for w in words if w.startswith("package=")][0]
                elif words[0] in ("struct", "object"):
                    now = {}
                    types[words[1] if "/" in words[1] else package + "." + words[1]] = ("atomic" in words[2:], now)
            elif now is not None and line.strip()[0] == "@":
                k, v = said([words[0][1:]] + words[1:], package)
                now[k] = v
            elif now is not None and line.strip()[0] == "+":
                now["+" + full(words[1].rstrip("!*"), package)] = words[0][1:]
    return types


have, n = ours(), 0
for name, atomic, fields in facts():
    n += 1
    if not t.ok(name in have, name + " is there"):
        continue
    got = have[name]
    wrong = ["%s: %r, not %r" % (k, got[1].get(k), fields.get(k)) for k in sorted(set(got[1]) | set(fields)) if got[1].get(k) != fields.get(k)]
    t.ok(not wrong and got[0] == atomic, "with the fields that it should have", "\n".join(wrong) or "atomic: %r" % got[0])
t.ok(n > 500, "all of them", n)
t.done()
