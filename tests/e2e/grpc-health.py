#!/usr/bin/env python3
"""grpc-health.py FILE: a server of grpc.health.v1.Health on a free port of every address, which it prints.

Each answer is the status in FILE: a number of HealthCheckResponse.ServingStatus (1: SERVING), or "no" for a server
that does not know the service. Just enough HTTP/2 for that.
"""
import socket
import struct
import sys
import threading


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def answer(stream):
    with open(sys.argv[1], encoding="ascii") as f:
        status = f.read().strip()
    head = frame(1, 4, stream, b"\x88" + header(b"content-type", b"application/grpc"))
    if status == "no":
        return frame(1, 5, stream, b"\x88" + header(b"grpc-status", b"12") + header(b"grpc-message", b"unknown service"))
    body = b"\x08" + bytes([int(status)])
    return (head + frame(0, 0, stream, b"\0" + struct.pack(">I", len(body)) + body)
            + frame(1, 5, stream, header(b"grpc-status", b"0")))


def serve(c):
    with c, c.makefile("rb") as f:
        if not f.read(24).startswith(b"PRI"):
            return
        c.sendall(frame(4, 0, 0))
        while True:
            h = f.read(9)
            if len(h) < 9:
                return
            length, kind, flags = int.from_bytes(h[:3], "big"), h[3], h[4]
            stream = int.from_bytes(h[5:9], "big")
            f.read(length)
            if kind == 4 and not flags & 1:
                c.sendall(frame(4, 1, 0))
            elif kind in (0, 1) and flags & 1:
                c.sendall(answer(stream))


s = socket.create_server(("", 0))
print(s.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
