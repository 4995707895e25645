"""HTTP/2 by hand: frames that no client library would send."""
import select
import ssl
import struct
import time

from rig import FACTOR

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def lit(index, value):
    return bytes([index]) + bytes([len(value)]) + value      # literal without indexing, names of the static table, short values


HEAD = b"\x82\x87" + lit(0x04, b"/livez") + lit(0x01, b"localhost")
SETTINGS = frame(4, 0, 0)


def h2(d, frames, name="admin", seconds=5, until=None):
    """Send frames as long as the server takes them. What came back: bytes; until it is silent, or until(bytes) is true."""
    s = d.connect(name, ["h2"])
    s.setblocking(False)
    out = bytearray()
    end = time.monotonic() + seconds * FACTOR
    todo = PREFACE + SETTINGS
    it = iter(frames)
    more = True
    try:
        while time.monotonic() < end:
            if len(todo) < 16384 and more:
                parts = []
                for _ in range(500):
                    f = next(it, None)
                    if f is None:
                        more = False
                        break
                    parts.append(f)
                todo += b"".join(parts)
            progress = False
            try:
                b = s.recv(65536)
                if not b:
                    break
                out += b
                progress = True
                if until and until(bytes(out)):
                    break
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if todo:
                try:
                    n = s.send(todo[:16384])
                    todo = todo[n:]
                    progress = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:     # it takes no more; what it said before is still to be read
                    todo, more = b"", False
            if not todo and not more and (not progress):
                if not select.select([s], [], [], 0.5)[0] and not until:
                    break
            elif not progress:
                select.select([s], [s] if todo else [], [], 0.05)
    except (OSError, ssl.SSLError):
        pass
    finally:
        s.close()
    return bytes(out)


def frames_of(data):
    out, at = [], 0
    while at + 9 <= len(data):
        n = struct.unpack(">I", b"\0" + data[at:at + 3])[0]
        out.append((data[at + 3], data[at + 4], struct.unpack(">I", data[at + 5:at + 9])[0] & 0x7fffffff, data[at + 9:at + 9 + n]))
        at += 9 + n
    return out


def goaway(data):
    """The error code of a GOAWAY, or None."""
    codes = [struct.unpack(">I", p[4:8])[0] for k, _, _, p in frames_of(data) if k == 7 and len(p) >= 8]
    return codes[-1] if codes else None
