#!/usr/bin/env -S python3 -B
"""
A module's file with one right less: less.py FILE KEY RIGHT COPY, KEY asks or reads ("pods;create", "pods"); less.py FILE KEY lists them.

The modinfo is text in the file, read before any of its code runs; the right becomes a word of the same length that is none.
"""
import os
import re
import sys


def says(path, key):
    with open(path, "rb") as f:
        m = re.search(rb"\0" + key.encode() + rb"=([^\0]*)\0", f.read())
    return m.group(1).decode() if m else ""


def rights(path, key):
    out = []
    for entry in says(path, key).split(","):
        what, *verbs = entry.split(";")
        out += [what + ";" + v for v in verbs] if key == "asks" else [entry]
    return out


def without(path, key, right, to):
    whole = says(path, key)
    entries = whole.split(",")
    if key == "asks":
        what, verb = right.split(";")
        less = ",".join(e if e.split(";")[0] != what else ";".join("x" * len(w) if i and w == verb else w for i, w in enumerate(e.split(";"))) for e in entries)
    else:
        less = ",".join("x" * len(e) if e == right else e for e in entries)
    assert less != whole and len(less) == len(whole), (whole, right)
    rewrite(path, {key + "=" + whole: key + "=" + less}, to)


def rewrite(path, words, to):
    with open(path, "rb") as f:
        data = f.read()
    for old, new in words.items():
        assert data.count(b"\0" + old.encode() + b"\0") == 1, old
        data = data.replace(b"\0" + old.encode() + b"\0", b"\0" + new.encode() + b"\0")
    with open(to + ".new", "wb") as f:
        f.write(data)
    os.rename(to + ".new", to)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print("\n".join(rights(*sys.argv[1:])))
    else:
        without(*sys.argv[1:])
