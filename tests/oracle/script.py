"""Request scripts as data: what stands in *.req, and the short JSON they are written in.

    ## NAME OF THE STEP
    METHOD PATH [merge|json|strategic|apply]
    Header: value
    > NAME PATH.IN.ANSWER       keep a value; $NAME in later paths, headers and bodies
    ? 404                       ask until the status, or a value, is this
    ? status.phase = Active
    ! managed                   compare managedFields, too
    {the: body, as: [JSON, "with quotes where needed"]}

"~/x" and "~g/v/x" are the paths of the script's own namespace; so is $NS. A body that begins with "raw:" is sent as it is.
"""
import json
import re

TYPES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
         "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
BARE = re.compile(r'[^\s,:{}\[\]"](?:[^,:{}\[\]"\n]|:(?=[^\s]))*')
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$")
WORDS = {"true": True, "false": False, "null": None}


class Reader:
    """JSON whose words need no quotes."""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def fail(self, what):
        raise ValueError("%s at %r" % (what, self.text[self.at:self.at + 40]))

    def blank(self):
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at:self.at + 1]

    def one(self):
        c = self.blank()
        if c == "{":
            return dict(self.several("}", self.pair))
        if c == "[":
            return list(self.several("]", self.one))
        return self.scalar(BARE)

    def several(self, end, fn):
        self.at += 1
        while self.blank() != end:
            yield fn()
            if self.blank() == ",":
                self.at += 1
            elif self.blank() != end:
                self.fail("no comma")
        self.at += 1

    def pair(self):
        self.blank()
        key = self.scalar(re.compile(r'[^\s:,{}\[\]"]+'), True)
        if self.blank() != ":":
            self.fail("no colon")
        self.at += 1
        return key, self.one()

    def scalar(self, form, key=False):
        if self.text[self.at:self.at + 1] == '"':
            v, n = json.JSONDecoder().raw_decode(self.text[self.at:])
            self.at += n
            return v
        m = form.match(self.text, self.at)
        if not m:
            self.fail("no value")
        self.at = m.end()
        word = m.group().strip()
        if key:
            return word
        if NUMBER.match(word):
            return json.loads(word)
        return WORDS.get(word, word)


def body_of(text):
    if not text.strip():
        return None
    if text.startswith("raw:"):
        return text[4:].strip()
    r = Reader(text)
    v = r.one()
    if r.blank():
        r.fail("more than a body")
    return json.dumps(v)


class Step:
    def __init__(self, topic, lines):
        self.topic = topic
        self.name = lines[0][2:].strip()
        words = lines[1].split()
        self.method, self.path = words[0], words[1].replace("~/", "/api/v1/namespaces/$NS/")
        self.path = re.sub(r"^~([^/]*/[^/]*)/", r"/apis/\1/namespaces/$NS/", self.path)
        self.headers, self.keep, self.until, self.flags = {}, [], None, set()
        if len(words) > 2:
            self.headers["Content-Type"] = TYPES[words[2]]
        rest = lines[2:]
        while rest:
            m = re.match(r"([A-Z][\w-]*): (.*)", rest[0])
            if m:
                self.headers[m.group(1)] = m.group(2)
            elif rest[0].startswith(">"):
                self.keep.append(rest[0][1:].split())
            elif rest[0].startswith("?"):
                self.until = [x.strip() for x in rest[0][1:].split(" = ")]
            elif rest[0].startswith("!"):
                self.flags.update(rest[0][1:].split())
            else:
                break
            rest = rest[1:]
        try:
            self.body = body_of("\n".join(rest))
        except ValueError as e:
            raise ValueError("%s: %s: %s" % (topic, self.name, e)) from None


def load(topic, path):
    steps, lines = [], []
    with open(path) as f:
        for line in f.read().split("\n"):
            if line.startswith("## "):
                if lines:
                    steps.append(Step(topic, lines))
                lines = [line]
            elif lines and line.strip() and not line.startswith("# "):
                lines.append(line)
    steps.append(Step(topic, lines))
    names = [s.name for s in steps]
    for n in names:
        if names.count(n) > 1:
            raise ValueError("%s: two steps are called %s" % (topic, n))
    return steps
