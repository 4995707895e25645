#!/usr/bin/env python3
# run: timeout=180 alone
"""The contract of the class cni (abi/orlop/cni.h): real network namespaces. Without arguments ours, otherwise
MODULE.so [param=value …]; @ in a value is the directory of the test."""
import concurrent.futures
import ipaddress
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon import Daemon, arguments, done, ok, skip_all  # noqa: E402
from ctl import text  # noqa: E402

ADD, DEL, CHECK, GC, STATUS, TEARDOWN = 1, 2, 3, 4, 5, 6
ME = "octn%d" % os.getpid()
BRIDGE = "oc%d" % (os.getpid() % 1000000)


def ip(*args):
    return subprocess.run(["ip", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


class Space:
    """a network namespace, pinned as a runtime would"""
    all = []

    def __init__(self, n):
        self.id, self.name = "sandbox%d" % n, "%s-%d" % (ME, n)
        ip("netns", "add", self.name)
        self.path = "/run/netns/" + self.name
        Space.all.append(self)

    def ask(self, c, op, args=None):
        m = text(1, self.id) + text(2, self.path)
        if args:
            m += text(4, json.dumps(args))
        return c.forward("cni", op, m)

    def add(self, c):
        status, m = self.ask(c, ADD, {"namespace": "default", "name": self.id, "uid": "uid-" + self.id})
        return (status, json.loads(m[5])) if status == 0 else (status, m)

    def run(self, *args):
        return subprocess.run(["ip", "netns", "exec", self.name, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)

    def link(self):
        out = self.run("ip", "-j", "addr", "show", "dev", "eth0")
        return json.loads(out.stdout)[0] if out.returncode == 0 else None


def addresses(result):
    return [str(ipaddress.ip_interface(i["address"]).ip) for i in result.get("ips", [])]


def main():
    if os.geteuid():
        skip_all("needs root")
    if not shutil.which("ip"):
        skip_all("needs ip")
    module, params = arguments("cni/bridge", {"bridge": BRIDGE, "subnet": "10.213.9.0/24", "leases": "@/leases"})
    d = Daemon(module, params)
    try:
        d.start()
        a, b = Space(1), Space(2)
        status, first = a.add(d.c)
        if not ok(status == 0, "add answers", first):
            return
        ok(first.get("cniVersion", "").startswith("1."), "a result of CNI 1.x", first)
        ok(len(addresses(first)) >= 1, "with an address", first)
        ok(any(i.get("name") == "eth0" and i.get("sandbox") == a.path for i in first.get("interfaces", [])),
           "on eth0 of that namespace", first)
        link = a.link()
        ok(link and "UP" in link["flags"], "eth0 is there and up", link)
        ok(link and addresses(first)[0] in [x["local"] for x in link["addr_info"]], "and has it", link)
        ok("default" in a.run("ip", "route").stdout, "there is a way out")
        lo = json.loads(a.run("ip", "-j", "link", "show", "lo").stdout)[0]
        ok("UP" in lo["flags"], "localhost is up")
        status, again = a.add(d.c)
        ok(status == 0 and addresses(again) == addresses(first), "add of what is there gives the same", again)
        status, second = b.add(d.c)
        ok(status == 0 and not set(addresses(second)) & set(addresses(first)), "another pod has another address", second)
        ok(b.run("ping", "-c1", "-W5", addresses(first)[0]).returncode == 0 if shutil.which("ping") else
           b.run("busybox", "ping", "-c1", "-W5", addresses(first)[0]).returncode == 0, "they reach each other")
        ok(a.ask(d.c, CHECK)[0] == 0, "check finds it right")
        a.run("ip", "link", "del", "eth0")
        status, m = a.ask(d.c, CHECK)
        ok(status < 0 and m.get(4), "and says what is wrong", m)
        ok(a.ask(d.c, DEL)[0] == 0, "del of what is half gone")
        ok(a.ask(d.c, DEL)[0] == 0, "del of what is gone")
        ok(d.c.forward("cni", DEL, text(1, "never-was"))[0] == 0, "del of what never was")
        ok(b.ask(d.c, CHECK)[0] == 0, "nobody else is touched")
        status, m = d.c.forward("cni", ADD, text(1, "x") + text(2, "/nonexistent/ns"))
        ok(status < 0 and b"/nonexistent/ns" in m.get(4, b""), "a namespace that is not there is refused by name", m)
        status, m = d.c.forward("cni", ADD, text(1, "../x") + text(2, a.path))
        ok(status < 0, "an id that is a path is refused", m)

        spaces = [Space(10 + i) for i in range(40)]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            made = list(pool.map(lambda s: s.add(d.control()), spaces))
        got = [x for status, r in made if status == 0 for x in addresses(r)]
        ok(len(got) == 40 and len(set(got)) == 40, "forty at once: each has its own address", made[:3])
        d.kill()
        d.start()
        status, again = b.add(d.c)
        ok(status == 0 and addresses(again) == addresses(second), "after kill -9: what was given is known", again)
        c = Space(3)
        status, third = c.add(d.c)
        ok(status == 0 and not set(addresses(third)) & set(got + addresses(second)), "and not given again", third)
        for s in spaces:
            s.ask(d.c, DEL)
        ok(spaces[0].link() is None, "del takes the interface along")
        status, m = d.c.forward("cni", GC, text(6, b.id))
        ok(status == 0 and c.link() is None and b.link() is not None, "gc keeps what lives and nothing else", m)
        status, m = d.c.forward("cni", STATUS)
        doc = json.loads(m.get(5, b"{}"))
        ok(status == 0 and doc.get("ready") is True, "status", m)
        ok(d.c.forward("cni", TEARDOWN)[0] < 0, "teardown is refused while a pod is attached")
        ok(b.ask(d.c, DEL)[0] == 0 and d.c.forward("cni", TEARDOWN)[0] == 0, "and done when none is")
        ok(ip("link", "show", params.get("bridge", BRIDGE)).returncode != 0, "no link is left")
        ok(d.stop() == 0, "the daemon ends in order")
        ok("module_left" not in d.log(), "and nothing is left in it", d.log())
    finally:
        for s in Space.all:
            ip("netns", "del", s.name)
        d.end()
        ip("link", "del", BRIDGE)
        if shutil.which("nft"):
            subprocess.run("nft list tables | grep -- '-%s' | while read -r t; do nft delete $t; done" % BRIDGE, shell=True, check=False)


main()
done()
