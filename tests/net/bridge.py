#!/usr/bin/env python3
# run: timeout=900 alone
"""cni/bridge with real packets: host ports of two families, asked from outside, from this machine, from other pods and
from the pod itself; masquerading, limits; what somebody removes is made again; a thousand pods with kill -9 in between.
All of it in network and mount namespaces of the test's own."""
import ctypes
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "contract"))
from daemon import Daemon, done, ok, skip_all  # noqa: E402
from ctl import text  # noqa: E402

ADD, DEL, CHECK, GC, STATUS, TEARDOWN = 1, 2, 3, 4, 5, 6
BRIDGE, TABLE = "octn0", "orlop-octn0"
NODE4, NODE6, OUT4, OUT6 = "192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"

# Answers with the address that it sees, then closes.
SERVER = """
import socket, sys, threading
def tcp(family, port):
    s = socket.create_server(("", port), family=family) if family == socket.AF_INET else socket.create_server(("::", port), family=family)
    ready.release()
    while True:
        c, peer = s.accept()
        c.sendall((sys.argv[1] + " " + peer[0]).encode())
        c.close()
def udp(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("" if family == socket.AF_INET else "::", port))
    ready.release()
    while True:
        _, peer = s.recvfrom(100)
        s.sendto((sys.argv[1] + " " + peer[0]).encode(), peer)
ready = threading.Semaphore(0)
for how in (tcp, udp):
    for family in (socket.AF_INET, socket.AF_INET6):
        threading.Thread(target=how, args=(family, 80), daemon=True).start()
for _ in range(4):
    ready.acquire()
print("ready", flush=True)
sys.stdin.read()
"""
# Asks ADDRESS PORT tcp|udp and prints the answer.
CLIENT = """
import socket, sys
a, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
f = socket.AF_INET6 if ":" in a else socket.AF_INET
s = socket.socket(f, socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[4]))
try:
    if len(sys.argv) > 5:
        s.bind(("", int(sys.argv[5])))
    s.connect((a, port))
    if how == "udp":
        s.send(b"x")
    print(s.recv(100).decode())
except OSError as e:
    print("error", e.errno or "timeout")
"""


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def must(*args):
    r = run(*args)
    if r.returncode:
        raise RuntimeError("%s: %s" % (" ".join(args), r.stdout))
    return r.stdout


def ask(where, address, port, how="tcp", timeout=20, source=None):
    """@where: a namespace's name, None: this machine"""
    args = [sys.executable, "-c", CLIENT, address, str(port), how, str(timeout)] + ([str(source)] if source else [])
    return run(*((["ip", "netns", "exec", where] if where else []) + args)).stdout.strip()


class Pod:
    all = []

    def __init__(self, name):
        self.id, self.name, self.path = "box-" + name, name, "/run/netns/" + name
        must("ip", "netns", "add", name)
        self.server = None
        Pod.all.append(self)

    def add(self, c, ports=(), **args):
        m = text(1, self.id) + text(2, self.path)
        args.update(namespace="default", name=self.name, uid="u-" + self.name,
                    hostPorts=[{"hostPort": p[0], "containerPort": p[1], "protocol": p[2] if len(p) > 2 else "TCP",
                                "hostIP": p[3] if len(p) > 3 else ""} for p in ports])
        status, r = c.forward("cni", ADD, m + text(4, json.dumps(args)))
        if status:
            return status, r.get(4, b"").decode()
        r = json.loads(r[5])
        self.ips = [i["address"].split("/")[0] for i in r["ips"]]
        return 0, r

    def op(self, c, op):
        return c.forward("cni", op, text(1, self.id) + text(2, self.path))

    def serve(self):
        self.server = subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", SERVER, self.name],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()

    def gone(self):
        if self.server:
            self.server.kill()
            self.server.wait()
        run("ip", "netns", "del", self.name)
        Pod.all.remove(self)


def until(what, seconds=60):
    """The kernel's news of links and addresses are what is waited for; then it is looked at again."""
    m = subprocess.Popen(["ip", "-o", "monitor", "link", "address"], stdout=subprocess.PIPE)
    os.set_blocking(m.stdout.fileno(), False)
    end = time.monotonic() + seconds
    try:
        while not what():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if select.select([m.stdout], [], [], min(left, 0.2))[0]:
                m.stdout.read(65536)
        return True
    finally:
        m.kill()
        m.wait()


def elements():
    """of the four maps, whose types have a colon too"""
    r = run("nft", "-n", "list", "table", "inet", TABLE).stdout
    return r.count(" : ") - 4


def leases(d):
    return len([n for n in os.listdir(d.root + "/leases") if not n.startswith(".")])


def veths():
    return len([n for n in os.listdir("/sys/class/net") if n.startswith("veth")])


def world():
    """Namespaces of our own, and a neighbour machine behind a cable."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000 | 0x00020000):
        skip_all("needs namespaces")
    must("mount", "--make-rprivate", "/")
    os.makedirs("/run/netns", exist_ok=True)
    must("mount", "-t", "tmpfs", "none", "/run/netns")
    must("mount", "-t", "sysfs", "none", "/sys")
    must("ip", "link", "set", "lo", "up")
    must("ip", "netns", "add", "out")
    must("ip", "link", "add", "w0", "type", "veth", "peer", "name", "w1", "netns", "out")
    for where, dev, four, six in (((), "w0", NODE4, NODE6), (("-n", "out"), "w1", OUT4, OUT6)):
        must("ip", *where, "addr", "add", four + "/24", "dev", dev)
        must("ip", *where, "addr", "add", six + "/64", "dev", dev, "nodad")
        must("ip", *where, "link", "set", dev, "up")


def loopback(b):
    """CVE-2020-8558: host ports are reached by 127.0.0.1, for which the bridge takes such packets; a pod that sends its own that way
    must not reach what listens on this machine's loopback alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.setblocking(False)
        port = s.getsockname()[1]
        for f in ("all", "eth0"):
            must("ip", "netns", "exec", b.name, "sysctl", "-qw", "net.ipv4.conf.%s.route_localnet=1" % f)
        gate = must("ip", "-n", b.name, "route", "show", "default").split()[2]
        must("ip", "-n", b.name, "rule", "add", "pref", "10", "lookup", "local")
        must("ip", "-n", b.name, "rule", "del", "pref", "0")
        must("ip", "-n", b.name, "rule", "add", "pref", "1", "to", "127.0.0.1", "lookup", "100")
        must("ip", "-n", b.name, "route", "add", "127.0.0.1", "via", gate, "dev", "eth0", "src", b.ips[0], "table", "100")

        def arrives():
            """Two datagrams, the second to a host port, which answers: then the first has come or never will."""
            ask(b.name, "127.0.0.1", port, "udp", 0.2)
            ask(b.name, NODE4, 8080, "udp")
            return bool(select.select([s], [], [], 0)[0]) and bool(s.recv(100))
        ok(open("/proc/sys/net/ipv4/conf/%s/route_localnet" % BRIDGE).read() == "1\n" and not arrives(), "CVE-2020-8558: a pod does not reach this machine's loopback")
        must("nft", "flush", "chain", "inet", TABLE, "guard")
        ok(arrives(), "which it would without the guard")
        must("nft", "add", "rule", "inet", TABLE, "guard", "iifname", BRIDGE, "ip", "daddr", "127.0.0.0/8", "drop")
        for pref in ("1", "10"):
            must("ip", "-n", b.name, "rule", "del", "pref", pref)
        must("ip", "-n", b.name, "rule", "add", "pref", "0", "lookup", "local")


def host_ports(d, a, b, out):
    status, r = a.add(d.c, [(8080, 80), (8080, 80, "UDP"), (9090, 80, "TCP", NODE4), (9091, 80, "TCP", "127.0.0.1"),
                            (9092, 80, "TCP", NODE6), (7, 7, "SCTP")])
    if not ok(status == 0 and len(a.ips) == 2, "a pod with host ports, addresses of both families", r):
        return
    ok(r["routes"][1]["dst"] == "::/0" and r["ips"][0]["address"].startswith("10.213."), "in the order of the subnets", r)
    b.add(d.c)
    for p in (a, b, out):
        p.serve()
    for how in ("tcp", "udp"):
        ok(ask("out", NODE4, 8080, how) == "a " + OUT4, how + " from outside; the pod sees who asks", ask("out", NODE4, 8080, how))
        ok(ask("out", NODE6, 8080, how) == "a " + OUT6, how + " from outside by IPv6", ask("out", NODE6, 8080, how))
        ok(ask(None, NODE4, 8080, how).startswith("a "), how + " from this machine", ask(None, NODE4, 8080, how))
        ok(ask(None, NODE6, 8080, how).startswith("a "), how + " from this machine by IPv6", ask(None, NODE6, 8080, how))
        ok(ask(None, "127.0.0.1", 8080, how).startswith("a "), how + " by localhost", ask(None, "127.0.0.1", 8080, how))
        ok(ask("b", NODE4, 8080, how).startswith("a "), how + " from another pod", ask("b", NODE4, 8080, how))
        ok(ask("b", NODE6, 8080, how).startswith("a "), how + " from another pod by IPv6", ask("b", NODE6, 8080, how))
        ok(ask("a", NODE4, 8080, how).startswith("a "), how + " from the pod itself", ask("a", NODE4, 8080, how))
        ok(ask("a", NODE6, 8080, how).startswith("a "), how + " from the pod itself by IPv6", ask("a", NODE6, 8080, how))
    ok(ask("out", NODE4, 9090).startswith("a "), "a port of one address")
    ok(ask(None, "127.0.0.1", 9090).startswith("error"), "and of no other")
    ok(ask(None, "127.0.0.1", 9091).startswith("a "), "a port of the loopback only")
    ok(ask("out", NODE4, 9091).startswith("error"), "is nobody else's")
    ok(ask("out", NODE6, 9092).startswith("a "), "a port of an IPv6 address")
    loopback(b)
    ok(ask("b", a.ips[0], 80) == "a " + b.ips[0] and ask("b", a.ips[1], 80) == "a " + b.ips[1], "pods see each other as they are")
    ok(ask("a", OUT4, 80) == "out " + NODE4, "outside a pod is this machine", ask("a", OUT4, 80))
    ok(ask("a", OUT6, 80) == "out " + NODE6, "also by IPv6", ask("a", OUT6, 80))
    ok(a.op(d.c, CHECK)[0] == 0, "check finds it right", a.op(d.c, CHECK))
    c = Pod("c")
    status, why = c.add(d.c, [(8080, 81)])
    ok(status < 0 and why == "host port tcp 0.0.0.0:8080 is in use by pod default/a", "a port is one pod's", why)
    ok(leases(d) == 2 and veths() == 2, "and nothing is left of who asked for it")
    status, why = c.add(d.c, [(70000, 81)])
    ok(status < 0 and "1 to 65535" in why, "no such port", why)
    # A flow of UDP has no end: the next pod with that port gets it all the same.
    ok(ask("out", NODE4, 8080, "udp", source=5555) == "a " + OUT4, "a flow")
    a.op(d.c, DEL)
    ok(elements() == 0, "ports go with their pod", run("nft", "list", "table", "inet", TABLE).stdout)
    ok(c.add(d.c, [(8080, 80, "UDP"), (8080, 80)])[0] == 0, "another pod may have them then")
    c.serve()
    ok(ask("out", NODE4, 8080, "udp", source=5555) == "c " + OUT4, "and gets the flow too", ask("out", NODE4, 8080, "udp", source=5555))
    c.op(d.c, DEL)
    c.gone()


def limits(d):
    p = Pod("slow")
    status, r = p.add(d.c, bandwidth={"ingressRate": 8000000, "egressRate": 16000000})
    if not ok(status == 0, "a pod with limits", r):
        return
    inside = must("tc", "-n", "slow", "qdisc", "show", "dev", "eth0")
    ok("tbf" in inside and "16Mbit" in inside, "of what it sends", inside)
    veth = [i["name"] for i in r["interfaces"]][1]
    outside = must("tc", "qdisc", "show", "dev", veth)
    ok("tbf" in outside and "8Mbit" in outside, "and of what it gets", outside)
    ok(p.op(d.c, CHECK)[0] == 0, "check finds them")
    must("tc", "qdisc", "del", "dev", veth, "root")
    ok(p.op(d.c, CHECK)[0] < 0, "or misses them")
    p.op(d.c, DEL)
    p.gone()


def mending(d, b):
    a = Pod("m")
    _, r = a.add(d.c, [(8080, 80)])
    a.serve()
    veth = [i["name"] for i in r["interfaces"]][1]
    must("ip", "link", "del", BRIDGE)
    ok(until(lambda: a.op(d.c, CHECK)[0] == 0 and b.op(d.c, CHECK)[0] == 0), "a removed bridge comes back, with its pods", d.log())
    ok(ask("out", NODE4, 8080).startswith("m ") and ask("b", a.ips[0], 80).startswith("m "), "they serve")
    ok(ask(None, "127.0.0.1", 8080).startswith("m "), "by localhost too")
    must("ip", "link", "del", veth)
    ok(until(lambda: a.op(d.c, CHECK)[0] == 0), "a removed link comes back", d.log())
    ok(ask("out", NODE6, 8080).startswith("m "), "with address and port")
    must("nft", "flush", "ruleset")
    status, m = d.c.forward("cni", STATUS)
    doc = json.loads(m.get(5, b"{}"))
    ok(status == 0 and doc["ready"] and doc["podCIDRs"] == ["10.213.8.0/21", "fd00:213::/64"], "status looks after the rules", m)
    ok(ask("out", NODE4, 8080).startswith("m "), "and they are back")
    d.kill()
    must("ip", "link", "del", BRIDGE)
    must("ip", "link", "del", veth)
    must("nft", "flush", "ruleset")
    d.start()
    ok(until(lambda: a.op(d.c, CHECK)[0] == 0 and b.op(d.c, CHECK)[0] == 0), "what went while nobody looked comes back", d.log())
    ok(ask("out", NODE4, 8080).startswith("m "), "with its port")
    a.op(d.c, DEL)
    a.gone()


def thousand(d, b):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    rnd = random.Random(seed)
    print("# SEED=%d" % seed)
    spaces = [Pod("t%d" % i) for i in range(20)]
    seen, bad, there = 0, [], {}
    while seen < 1000 and not bad:
        p = rnd.choice(spaces)
        if seen % 100 == 99:
            seen += 1
            d.kill()
            d.start()
        if p in there and rnd.random() < 0.8:
            if p.op(d.c, DEL)[0]:
                bad.append("del")
            del there[p]
            continue
        # each time another sandbox, as a kubelet would
        if p not in there:
            p.id = "box-%d" % seen
        status, r = p.add(d.c, [(20000 + int(p.name[1:]), 80)])
        seen += p not in there
        if status or (p in there and there[p] != p.ips) or any(p.ips == x for o, x in there.items() if o is not p):
            bad.append((p.name, status, r, there))
        there[p] = p.ips
    ok(not bad, "a thousand adds and dels with kill -9 in between: each its own address, kept", bad)
    ok(leases(d) == len(there) + 1 and veths() == len(there) + 1, "as many leases and links as pods",
       (leases(d), veths(), len(there)))
    ok(elements() == 2 * len(there), "and ports", elements())
    # cut off in the middle of one
    p = spaces[0]
    for ms in range(0, 12, 3):
        p.id = "cut-%d" % ms
        pid = os.fork()
        if pid == 0:
            try:
                p.add(d.control(), [(30000 + ms, 80)])
            finally:
                os._exit(0)
        time.sleep(ms / 1000)		# where in the middle does not matter, only that it differs
        d.kill()
        os.waitpid(pid, 0)
        d.start()
    status, m = d.c.forward("cni", GC, text(6, b.id))
    ok(status == 0 and leases(d) == 1 and elements() == 0, "what was cut off is collected", (m, os.listdir(d.root + "/leases"), elements()))
    ok(veths() == 1, "links too", os.listdir("/sys/class/net"))
    for p in spaces:
        p.gone()


def again(d, b):
    """As after a reboot: the disk is there, namespaces, links and rules are not."""
    d.kill()
    for p in list(Pod.all):
        if p.name != "out":
            p.gone()
    run("ip", "link", "del", BRIDGE)
    run("nft", "flush", "ruleset")
    with open("/run/netns/b", "w", encoding="utf-8"):
        pass				# the file that pinned one is still there, on disk
    d.start()
    ok(leases(d) == 0, "after a reboot no address is taken", os.listdir(d.root + "/leases"))
    os.unlink("/run/netns/b")
    n = Pod("n")
    ok(n.add(d.c, [(8080, 80)])[0] == 0 and elements() == 2, "and no port", d.log())
    n.op(d.c, DEL)
    n.gone()


def main():
    if os.geteuid():
        skip_all("needs root")
    for p in ("ip", "nft", "tc", "mount"):
        if not shutil.which(p):
            skip_all("needs " + p)
    world()
    d = Daemon("cni/bridge", {"bridge": BRIDGE, "subnet": "10.213.8.0/21,fd00:213::/64", "leases": "@/leases"})
    try:
        d.start()
        a, b, out = Pod("a"), Pod("b"), Pod.__new__(Pod)
        out.name, out.server = "out", None
        Pod.all.append(out)
        host_ports(d, a, b, out)
        limits(d)
        mending(d, b)
        thousand(d, b)
        again(d, b)
        ok(d.c.forward("cni", TEARDOWN)[0] == 0, "teardown")
        ok(not os.path.exists("/sys/class/net/" + BRIDGE) and TABLE not in run("nft", "list", "tables").stdout,
           "leaves no link and no rule")
        ok(d.stop() == 0 and "module_left" not in d.log(), "the daemon ends in order", d.log())
    finally:
        for p in list(Pod.all):
            p.gone()
        d.end()


main()
done()
