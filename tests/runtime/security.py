#!/usr/bin/env python3
# run: timeout=180 alone
"""What a container may do, in real containers (by the OCI runtime that is named, crun by default): capabilities, seccomp, AppArmor, namespaces shared and not, user namespaces,
devices, hidden paths; and programs that are not there, in the words that people know."""
import json
import os
import select
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import processes, text  # noqa: E402


class Pod(rt.Pod):
    """with namespace options of its own"""

    def __init__(self, d, name, sc=None, **more):
        self.d, self.c, self.name = d, d.c, name
        self.config = {"metadata": {"name": name, "namespace": "s", "uid": "uid-" + name, "attempt": 0}, "hostname": name,
                       "logDirectory": d.root, "linux": {"cgroupParent": rt.CGROUP + "/" + name, "securityContext": sc or {}}}
        self.config["linux"].update(more)
        self.st, self.doc, self.fields = self.c.cri(rt.RUN, {"config": self.config})
        self.id = self.doc.get("podSandboxId") if self.st == 0 else None

    def says(self, name, command, sc=None, **more):
        """what it printed, and its status"""
        linux = {"securityContext": sc or {}}
        linux.update(more.pop("linux", {}))
        cid = self.run(name, command, linux=linux, **more)
        if not isinstance(cid, str):
            return str(cid), {}
        s = rt.ended(self.d, cid)
        try:
            with open("%s/%s-%s.log" % (self.d.root, self.name, name), encoding="utf-8") as f:
                return "\n".join(x.split(" ", 3)[3] for x in f.read().splitlines()), s
        except FileNotFoundError:
            return "", s


def exec_in(c, cid, *cmd):
    return c.cri(rt.EXEC_SYNC, {"containerId": cid, "timeout": 20, "cmd": list(cmd)})


def gone(pid):
    """whether it ends, or is nobody's any more"""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = bool(select.select([fd], [], [], 30)[0])
    os.close(fd)
    return ended


B = "busybox "


def capabilities(p):
    out, s = p.says("caps", B + "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    f = dict(x.split(":\t") for x in out.splitlines() if ":\t" in x)
    ok(f.get("CapEff") == f.get("CapBnd") == "00000000a80425fb" and f.get("Seccomp") == "0" and f.get("NoNewPrivs") == "0",
       "capabilities as everywhere, no filter unless asked for", out or s)
    out, s = p.says("drop", B + "grep -E '^(CapEff|NoNewPrivs):' /proc/self/status",
                    {"noNewPrivs": True, "capabilities": {"addCapabilities": ["NET_BIND_SERVICE"], "dropCapabilities": ["ALL"]}})
    ok("CapEff:\t0000000000000400" in out and "NoNewPrivs:\t1" in out, "ALL dropped, one added; no new privileges", out or s)
    out, s = p.says("user", B + "grep -E '^(CapEff|CapBnd|Groups|Uid|Gid):' /proc/self/status",
                    {"runAsUser": {"value": "1000"}, "runAsGroup": {"value": "2000"}, "supplementalGroups": ["3000"]})
    ok("CapEff:\t0000000000000000" in out and "\t1000" in out and "Gid:\t2000" in out and "3000" in out, "a user of its own", out or s)
    ok(s.get("user") == {"linux": {"uid": 1000, "gid": 2000, "supplementalGroups": [2000, 3000]}}, "which its status tells", s)
    out, s = p.says("priv", B + "ls /dev; " + B + "grep Seccomp: /proc/self/status; " + B + "mount | " + B + "grep /sys/fs/cgroup", {"privileged": True})
    ok("Seccomp:\t0" in out and ("vda" in out or "sda" in out or "loop" in out or "kmsg" in out or "mem" in out) and " (rw" in out,
       "a privileged one sees devices, and writes cgroups", out or s)
    out, s = p.says("paths", B + "ls /proc/acpi /proc/scsi; " + B + "wc -c < /proc/keys; echo 1 > /proc/sys/kernel/panic || echo refused; echo x > /f && echo wrote")
    ok("refused" in out and "wrote" in out, "paths are hidden and read-only", out or s)
    out, s = p.says("unmasked", "echo $(( $(" + B + "cat /proc/sys/kernel/panic) )) > /proc/sys/kernel/panic && echo open; echo x > /f || echo fixed",
                    {"maskedPaths": [], "readonlyPaths": [], "readonlyRootfs": True})
    ok("open" in out and "fixed" in out, "unmasked, with a root that is read-only", out or s)


def seccomp(d, p):
    forbidden = B + "unshare -U true && echo made || echo no; " + B + "mount -t tmpfs x /mnt; " + B + "grep Seccomp: /proc/self/status"
    out, s = p.says("default", forbidden, {"seccomp": {"profileType": "RuntimeDefault"}})
    ok("no" in out and "Seccomp:\t2" in out and not s.get("exitCode"), "RuntimeDefault: no namespaces, and programs run", (out, s))
    out, s = p.says("every", "for i in 1 2 3; do " + B + "ls / > /dev/null && " + B + "date > /dev/null && " + B + "nc -l -p 0 -w 1; done; echo fine; "
                    + B + "chroot / " + B + "true && echo rooted", {"seccomp": {"profileType": "RuntimeDefault"}})
    ok("fine" in out and "rooted" in out, "what programs usually do goes", (out, s))
    out, s = p.says("unconfined", forbidden, {"seccomp": {"profileType": "Unconfined"}})
    ok("Seccomp:\t0" in out, "Unconfined: no filter", out)
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "archMap": [], "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}},
        {"names": ["rmdir", "unlinkat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}
    os.makedirs(d.root + "/seccomp")
    with open(d.root + "/seccomp/own.json", "w", encoding="utf-8") as f:
        json.dump(profile, f)
    for what, ref in (("relative", "own.json"), ("absolute", d.root + "/seccomp/own.json")):
        out, s = p.says(what, B + "mkdir /x || echo full; echo > /f; " + B + "chmod 600 /f && echo changed",
                        {"seccomp": {"profileType": "Localhost", "localhostRef": ref}})
        ok("No space left" in out and "full" in out and "changed" in out, "a profile from the folder, named %s" % what, (out, s))
    for name, content, words in (("none.json", None, "No such file"), ("bad.json", "{", "decoding seccomp profile failed"),
                                 ("worse.json", '{"defaultAction":"BOOM"}', "is no action"), ("../../etc/passwd", None, "no path of a profile")):
        if content:
            with open(d.root + "/seccomp/" + name, "w", encoding="utf-8") as f:
                f.write(content)
        got = p.create("bad", "true", linux={"securityContext": {"seccomp": {"profileType": "Localhost", "localhostRef": name}}})
        ok(not isinstance(got, str) and words in got[1], "profile %s: %s" % (name, got[1] if not isinstance(got, str) else got), got)


def apparmor(p):
    if os.path.exists("/sys/module/apparmor/parameters/enabled"):
        got = p.create("aa", "true", linux={"securityContext": {"apparmor": {"profileType": "Localhost", "localhostRef": "no-such"}}})
        ok(not isinstance(got, str) and "apparmor profile not found no-such" in got[1], "a profile that is not loaded", got)
        return
    got = p.create("aa", "true", linux={"securityContext": {"apparmor": {"profileType": "Localhost", "localhostRef": "x"}}})
    ok(not isinstance(got, str) and "apparmor is not supported" in got[1], "AppArmor where there is none: %s" % (got[1],), got)
    ok(isinstance(p.create("aad", "true", linux={"securityContext": {"apparmor": {"profileType": "RuntimeDefault"}}}), str),
       "its default there means none")


def namespaces(d, p):
    c = d.c
    q = Pod(d, "shared", {"namespaceOptions": {"pid": "POD"}})
    opts = {"securityContext": {"namespaceOptions": {"pid": "POD"}}}
    a = q.run("a", "while :; do busybox sleep 1; done", linux=opts)
    b = q.run("b", "( trap '' HUP; while :; do busybox sleep 1; done ) & busybox sleep 1000", linux=opts)
    st, doc, _ = exec_in(c, a, "/bin/sh", "-c", "until busybox ps -o args | busybox grep -q '[s]leep 1000'; do busybox sleep 0.1; done; "
                        "busybox ps -o pid,args; echo x > /dev/shm/f")
    out = doc.get("stdout", "") if st == 0 else str(doc)
    ok("oci-pause" in out and "sleep 1000" in out, "one PID namespace for a pod, with a first process of its own", out)
    st, doc, _ = exec_in(c, b, "/bin/sh", "-c", "busybox cat /dev/shm/f")
    ok(st == 0 and doc["stdout"] == "x\n", "and one /dev/shm", doc)
    cg = subprocess.run("cat /sys/fs/cgroup/pids%s/shared/%s/cgroup.procs /sys/fs/cgroup%s/shared/%s/cgroup.procs 2>/dev/null" % (
        rt.CGROUP, b, rt.CGROUP, b), shell=True, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    c.cri(rt.STOP, {"containerId": b, "timeout": 0})
    left = [pid for pid in cg if not gone(int(pid))]
    ok(len(cg) > 1 and not left, "a container that ends takes all of its own along", (cg, left))
    d.kill()
    d.start()
    q.c = p.c = c = d.c
    st, doc, _ = exec_in(c, a, "/bin/sh", "-c", "busybox ps -o args")
    ok(st == 0 and "oci-pause" in doc["stdout"], "it outlives the daemon", doc)
    t = q.run("t", "busybox ps -o args; while :; do busybox sleep 1; done",
              linux={"securityContext": {"namespaceOptions": {"pid": "TARGET", "targetId": a}}})
    st, doc, _ = exec_in(c, t, "/bin/sh", "-c", "busybox ps -o args") if isinstance(t, str) else (-1, t, 0)
    ok(st == 0 and "oci-pause" in doc["stdout"], "another container's PID namespace", doc)
    ok(q.remove() == 0, "removed")
    ok(until(lambda: not processes("oci-pause hold " + d.root)), "with its first process", processes("oci-pause hold " + d.root))
    h = Pod(d, "host", {"namespaceOptions": {"pid": "NODE", "ipc": "NODE", "network": "NODE"}})
    out, s = h.says("h", "for i in pid net ipc; do busybox readlink /proc/self/ns/$i; done",
                    {"namespaceOptions": {"pid": "NODE", "ipc": "NODE", "network": "NODE"}})
    own = [os.readlink("/proc/self/ns/" + x) for x in ("pid", "net", "ipc")]
    ok(out.split() == own and not h.fields.get(3), "the machine's namespaces", (out, own))
    h.remove()
    q = Pod(d, "sysctl", None, sysctls={"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1"})
    out, s = q.says("s", "busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced")
    ok(out.split() == ["80", "1"], "sysctls", (out, s))
    q.remove()


def userns(d):
    maps = [{"containerId": 0, "hostId": 300000, "length": 65536}]
    opts = {"namespaceOptions": {"usernsOptions": {"mode": "POD", "uids": maps, "gids": maps}}}
    q = Pod(d, "users", opts)
    if not ok(q.id, "a sandbox with users of its own", q.doc):
        return
    out, s = q.says("u", "busybox cat /proc/self/uid_map; busybox ls -ln /bin/busybox; echo > /f; busybox ls -ln /f; busybox hostname; "
                    "busybox stat -c %u /proc/1; busybox sysctl -w net.ipv4.ip_unprivileged_port_start=1", opts)
    ok("300000" in out and out.count(" 0 ") >= 2 and "users" in out, "its root is nobody here, and owns its files there", (out, s))
    kept = q.create("v", "busybox sleep 1000", linux={"securityContext": opts})
    if isinstance(kept, str):
        d.c.cri(rt.START, {"containerId": kept})
        pid = rt.status(d.c, kept).get("pid", 0)
        # before its program begins it is of the OCI runtime, into which nobody may look
        ok(pid and until(lambda: os.stat("/proc/%s" % pid).st_uid == 300000), "seen from here it is user 300000", rt.status(d.c, kept))
        st, doc, _ = exec_in(d.c, kept, "/bin/sh", "-c", "busybox id -u; echo x > /dev/shm/x && echo shm")
        ok(st == 0 and "0\n" in doc["stdout"] and "shm" in doc["stdout"], "a command in it", doc)
    else:
        ok(False, "a container in it", kept)
    ok(q.remove() == 0, "removed")


def programs(d, p):
    c = d.c
    run = p.run("run", "while :; do busybox sleep 1; done")
    for cmd, words in ((("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
                       (("nosuch", "-x"), 'exec: "nosuch": executable file not found in $PATH: unknown'),
                       (("/etc",), 'exec: "/etc": permission denied: unknown')):
        if cmd[0] == "/etc":
            exec_in(c, run, "/bin/sh", "-c", "busybox mkdir -p /etc")
        st, why, _ = exec_in(c, run, *cmd)
        ok(st < 0 and words in why and "failed to exec in container" in why, "exec of %s: %s" % (cmd[0], why), why)
    st, doc, _ = exec_in(c, run, "busybox", "true")
    ok(st == 0 and not doc.get("exitCode"), "found in $PATH", doc)
    exec_in(c, run, "/bin/sh", "-c", "echo '#!/bin/sh' > /good; busybox chmod +x /good")
    st, doc, _ = exec_in(c, run, "/good")
    ok(st == 0 and not doc.get("exitCode"), "a script with an interpreter", doc)
    st, doc, _ = exec_in(c, run, "/bin/sh", "-c", "nosuch")
    ok(st == 0 and doc.get("exitCode") == 127, "a shell's own 127 is the command's", doc)
    for command, words in ((["/does/not/exist"], 'exec: "/does/not/exist": stat /does/not/exist: no such file or directory'),
                           (["nosuch"], 'exec: "nosuch": executable file not found in $PATH')):
        st, doc, _ = c.cri(rt.CREATE, {"podSandboxId": p.id, "sandboxConfig": p.config, "config": {
            "metadata": {"name": "np" + command[0].replace("/", "-")}, "image": {"image": rt.IMAGE}, "command": command}})
        cid = doc.get("containerId") if st == 0 else None
        st, why, _ = c.cri(rt.START, {"containerId": cid}) if cid else (st, doc, 0)
        ok(cid and st < 0 and words in why and "OCI runtime create failed" in why, "a container of %s: %s" % (command[0], why), why)
        s = rt.status(c, cid) if cid else {}
        ok(s.get("exitCode") == 128 and s.get("reason") == "StartError" and words in s.get("message", "") and s.get("state") == "CONTAINER_EXITED",
           "has ended with 128, StartError", s)
        d.kill()
        d.start()
        c = p.c = d.c
        ok(rt.status(c, cid).get("reason") == "StartError", "and is remembered so")


def program(machine, loader):
    """an ELF file of nothing but a header and the name of its loader"""
    at = 64 + 56
    return (b"\x7fELF" + struct.pack("<BBB9x", 2, 1, 1) + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0) +
            struct.pack("<IIQQQQQQ", 3, 4, at, 0x400000, 0, len(loader) + 1, len(loader) + 1, 1) + loader + b"\0")


def unrun(d, p):
    """what is there, and the kernel does not run: it was started, says so, and ends with 255"""
    native = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine)
    files = {"script": b"#! /no/such -x\n", "byscript": b"#!/vol/script\n", "noreader": b"#!/vol/plain-text\n", "plain": b"echo no first line\n",
             "empty": b"", "elf": program(native or 62, b"/lib/no-such-loader.so"), "far": program(8, b"/no")}
    os.mkdir(d.root + "/vol")
    for name, what in dict(files, **{"plain-text": b"x"}).items():
        with open(d.root + "/vol/" + name, "wb") as f:
            f.write(what)
        os.chmod(d.root + "/vol/" + name, 0o755 if name in files else 0o644)
    taught = os.path.isdir("/proc/sys/fs/binfmt_misc") and set(os.listdir("/proc/sys/fs/binfmt_misc")) - {"register", "status"}
    mount = [{"containerPath": "/vol", "hostPath": d.root + "/vol"}]
    c = d.c
    run = p.run("unrun", "while :; do busybox sleep 1; done", mounts=mount, envs=[{"key": "PATH", "value": "/none:/vol:/bin"}])
    for name in files:
        want = "exec /vol/%s: %s" % (name, "permission denied" if name == "noreader" else "exec format error" if name in ("plain", "empty", "far")
                                     else "no such file or directory")
        if (taught and "format" in want) or (name in ("elf", "far") and not native):
            continue
        st, doc, _ = exec_in(c, run, "/vol/" + name)
        ok(st == 0 and doc.get("exitCode") == 255 and doc.get("stderr") == want + "\n", "exec: %s" % want, (st, doc))
        st, doc, _ = c.cri(rt.CREATE, {"podSandboxId": p.id, "sandboxConfig": p.config, "config": {
            "metadata": {"name": name}, "image": {"image": rt.IMAGE}, "command": ["/vol/" + name], "mounts": mount, "logPath": name + ".log"}})
        cid = doc.get("containerId") if st == 0 else None
        st, doc, _ = c.cri(rt.START, {"containerId": cid})
        ok(st == 0, "a container of it starts", doc)
        s = rt.ended(d, cid)
        ok(s.get("exitCode") == 255 and s.get("reason") == "Error" and not s.get("message"), "and ends with 255, Error", s)
        with open("%s/%s.log" % (d.root, name), encoding="utf-8") as f:
            log = f.read().splitlines()
        ok(len(log) == 1 and log[0].split(" ", 1)[1] == "stderr F " + want, "having said so", log)
        if name == "script":
            d.kill()
            d.start()
            c = p.c = d.c
            s = rt.status(c, cid)
            ok(s.get("exitCode") == 255 and s.get("reason") == "Error", "which is remembered", s)
        st, doc, _ = c.cri(rt.RM, {"containerId": cid})
        ok(st == 0, "removed", doc)
    st, doc, _ = exec_in(c, run, "script")
    ok(st == 0 and doc.get("stderr") == "exec /vol/script: no such file or directory\n", "one found in $PATH says where", doc)


def devices(p):
    out, s = p.says("dev", "busybox head -c 4 /dev/own | busybox wc -c; busybox dd if=/dev/zero of=/dev/own bs=1 count=1 2>&1 | busybox grep -c ermitted",
                    devices=[{"containerPath": "/dev/own", "hostPath": "/dev/zero", "permissions": "r"}])
    ok(out.split()[:1] == ["4"], "a device under another name", (out, s))
    got = p.create("nodev", "true", devices=[{"containerPath": "/dev/x", "hostPath": "/dev/no-such", "permissions": "rwm"}])
    ok(not isinstance(got, str) and "/dev/no-such" in got[1], "one that is not there: %s" % (got,), got)
    out, s = p.says("oom", "busybox cat /proc/self/oom_score_adj", linux={"resources": {"oomScoreAdj": 500}})
    ok(out.strip() == "500", "oom_score_adj", (out, s))
    out, s = p.says("oomlow", "busybox cat /proc/self/oom_score_adj", linux={"resources": {"oomScoreAdj": -997}})
    ok(s.get("exitCode", 0) == 0 and out.strip(), "one lower than may be given is as low as may be: %s" % out.strip(), (out, s))


def volumes(d, p):
    """images as volumes"""
    def mount(at, **more):
        return dict({"containerPath": at, "image": {"image": rt.IMAGE}, "readonly": True}, **more)

    os.makedirs(d.root + "/tree/in/deep")
    for path, what in (("in/deep/word", "said\n"), ("run", "#!/bin/sh\necho ran\n")):
        with open(d.root + "/tree/" + path, "w", encoding="utf-8") as f:
            f.write(what)
    os.chmod(d.root + "/tree/run", 0o755)
    os.symlink("/etc", d.root + "/tree/out")
    other = "localhost/tree:1"
    rt.image(d.root + "/tree.tar", d.root + "/tree", other)
    d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/tree.tar"))
    tree = {"image": {"image": other}}
    out, s = p.says("vol", B + "cat /vol/in/deep/word /sub/word; " + B + "touch /vol/x /sub/x 2>&1; /vol/run 2>&1; echo; " + B + "ls /own",
                    mounts=[mount("/vol", **tree), mount("/sub", imageSubPath="in/deep", **tree), mount("/own", imageSubPath="bin")])
    ok(out.count("said") == 2 and "sh" in out, "an image is a volume, and so is a part of it", out or s)
    ok(out.count("Read-only file system") == 2, "read-only", out or s)
    ok("ran" not in out and "ermission denied" in out, "and not to be executed", out or s)
    maps = [{"containerId": 0, "hostId": 300000, "length": 65536}]
    opts = {"namespaceOptions": {"usernsOptions": {"mode": "POD", "uids": maps, "gids": maps}}}
    q = Pod(d, "volusers", opts)
    if ok(q.id, "a sandbox with users of its own", q.doc):
        out, s = q.says("vol", B + "cat /vol/in/deep/word /sub/word; " + B + "stat -c %u /vol/run /sub/word /vol/in; " + B + "touch /vol/x 2>&1", opts,
                        mounts=[mount("/vol", **tree), mount("/sub", imageSubPath="in/deep", **tree)])
        ok(out.count("said") == 2 and out.split()[2:5] == ["0", "0", "0"] and "Read-only file system" in out, "an image that is a volume is its users'", out or s)
        ok(q.remove() == 0, "removed")
    st, doc, _ = d.c.cri(rt.I_REMOVE, {"image": {"image": other}})
    ok(st and "in use" in str(doc), "it stays while it is used", doc)
    for sub, want in (("in/none", "No such file"), ("out/passwd", "No such file")):
        got = p.create("bad", "true", mounts=[mount("/vol", imageSubPath=sub, **tree)])
        ok(not isinstance(got, str) and want in str(got), "no way to %s of it" % sub, got)
    got = p.create("bad", "true", mounts=[{"containerPath": "/vol", "image": {"image": "localhost/none:1"}}])
    ok(not isinstance(got, str) and 'image "localhost/none:1" not found' in str(got), "an image that is not there", got)


def main():
    rt.needs()
    d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack", "seccomp_dir": "@/seccomp",
                               "runtime": sys.argv[1] if len(sys.argv) > 1 else ""})
    os.chmod(d.root, 0o711)		# users of their own must get through
    try:
        d.start()
        rt.image(d.root + "/image.tar")
        d.c.forward("runtime", rt.IMPORT, text(13, d.root + "/image.tar"))
        p = Pod(d, "plain")
        capabilities(p)
        seccomp(d, p)
        apparmor(p)
        devices(p)
        programs(d, p)
        unrun(d, p)
        namespaces(d, p)
        volumes(d, p)
        userns(d)
        ok(p.remove() == 0, "all of it removed")
        ok(d.stop() == 0, "the daemon ends in order")
        ok(until(lambda: not processes(d.root + "/")), "no process is left", processes(d.root + "/"))
        left = [m for m in d.mounts() if m != d.root + "/oci" and m[len(d.root + "/oci/"):] not in rt.MEMORY]
        ok(not left, "no mount is left", left)
    finally:
        d.end()
        rt.sweep()


main()
done()
