"""The control socket of orlopd, for tests: frames and messages of abi/orlop/admin.h and call.h."""
import json
import socket
import struct
import subprocess

FORWARD = 10


def field(tag, kind, data):
    return struct.pack("<HHI", tag, kind, len(data)) + data + b"\0" * (-len(data) % 8)


def text(tag, s):
    return field(tag, 2, s if isinstance(s, bytes) else s.encode())


def num(tag, v):
    return field(tag, 1, struct.pack("<Q", v))


def parse(b):
    """{tag: value} of a message; the last of a repeated tag"""
    out, p = {}, 0
    while p + 8 <= len(b):
        tag, kind, size = struct.unpack_from("<HHI", b, p)
        data = b[p + 8:p + 8 + size]
        out[tag] = struct.unpack("<Q", data)[0] if kind == 1 else data
        p += 8 + (size + 7 & ~7)
    return out


def processes(words):
    """whose command line has these; a monitor goes a moment after what it held"""
    return subprocess.run(["pgrep", "-af", words], stdout=subprocess.PIPE, text=True, check=False).stdout


class Control:
    def __init__(self, path, timeout=30):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)

    def read(self, n):
        b = b""
        while len(b) < n:
            more = self.sock.recv(n - len(b))
            if not more:
                raise EOFError("control socket closed")
            b += more
        return b

    def call(self, op, msg=b""):
        self.sock.sendall(struct.pack("<II", len(msg), op) + msg)
        size, status = struct.unpack("<Ii", self.read(8))
        return status, parse(self.read(size))

    def forward(self, to, op, msg=b""):
        """status and the fields of the answer; on failure {4: text}"""
        status, m = self.call(FORWARD, text(5, to) + num(6, op) + text(7, msg))
        return (status, parse(m.get(7, b""))) if status >= 0 else (status, m)

    def cri(self, op, req):
        """a runtime op with JSON documents: status, document (or the reason), all fields"""
        status, m = self.forward("runtime", op, text(1, json.dumps(req)))
        if status < 0:
            return status, m.get(4, b"").decode(), m
        return status, json.loads(m.get(2, b"{}")), m
