#!/bin/sh
# run: timeout=240 alone
# No module touches another's files: every path below the data directory that a module opens, makes,
# renames or removes lies below one of its own parameters. strace tells who asked: the innermost frame
# of a module on the stack of the call.
. "$(dirname "$0")/lib.sh"
K_TIMEOUT=120	# whoever is traced is slow
need conmon runtime skopeo kubectl curl busybox python3 strace
strace -k -o /dev/null true 2> /dev/null || skip_all "strace cannot show stacks here"

ok "up" up || finish
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "down, to start it traced" "$orlop" down --data-dir "$dir"
cp "$dir/orlop.conf" "$tmp/conf"
: > "$tmp/log"
strace -f -k -qq -e trace=%file -e signal=none -o "$tmp/trace" "$builddir/orlopd" -c "$tmp/conf" -f > "$tmp/log" 2>&1 &
tracer=$!
ok "ready under strace" timeout 60 sh -c "tail -n +1 --pid=$tracer -f '$tmp/log' | grep -m 1 event=ready"
ok "apply" k apply -f "$srcdir/examples/hello"
ok "rolled out" k rollout status deployment/hello --timeout=120s
pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
ok "logs" k logs "$pod"
ok "exec" k exec "$pod" -- true
ok "scaled down" k scale deployment hello --replicas=0
ok "pods go" k wait --for=delete pod -l app=hello --timeout=90s
daemon=$(sed -n 1p "$dir/lock")
ok "ends" sh -c "kill $daemon && timeout 60 tail --pid=$tracer -f /dev/null"

cat > "$tmp/look.py" << 'PY'
import re, sys
conf, trace, top, build = sys.argv[1:5]
own, module = {}, None
for line in open(conf):
    m = re.search(r'\bmodule = "([^"]+)"', line)
    if m:
        module = m.group(1)
        own[module] = []
    m = re.search(r'(\w+) = "(%s/[^"]+)"' % re.escape(top), line)
    if m and module:
        own[module].append(m.group(2))
by_file = {m: "%s/modules/%s.so" % (build, m if "/" in m else m + "/" + m) for m in own}
of_file = {f: m for m, f in by_file.items()}
of_file.update({"%s/modules/%s.so" % (build, m): m for m in own})
seen, bad = {}, set()
# What a request hands over as a path, by the contract of the class, and for which call.
handed = [("cni/", r"/sandboxes/[0-9a-f]+/ns/net$", ""),        # the network namespace of a sandbox
          ("kubelet", r"/runtime$", "statfs")]                  # where images are: how full is it?
def under(path, p):
    # the file of a parameter may have neighbours: db, db-lock, db.owner
    return path == p or path.startswith(p + "/") or path.startswith(p + ".") or path.startswith(p + "-")
def judge(call, paths, frames):
    who = next((of_file[f] for f in frames if f in of_file), None)
    if not who:
        return
    for path in paths:
        if not path.startswith(top + "/"):
            continue
        seen[who] = seen.get(who, 0) + 1
        if any(under(path, p) or p.startswith(path.rstrip("/") + "/") for p in own[who]):
            continue        # below a parameter of its own, or a directory on the way to one
        if any(who.startswith(c) and re.search(r, path) and what in ('', call) for c, r, what in handed):
            continue
        theirs = [m for m in own if m != who and any(under(path, p) for p in own[m])]
        bad.add("%s touches %s, which is %s's" % (who, path, ", ".join(theirs) or "nobody"))
call, paths, frames = "", [], []
for line in open(trace, errors="replace"):
    if line.startswith(" > "):
        # " > FILE(FUNCTION+0x1) [0x2]". A module is mapped from a private copy that is called like its file:
        # "/memfd:FILE (deleted)".
        frames.append(line[3:].split("(")[0].strip().removeprefix("/memfd:"))
        continue
    judge(call, paths, frames)
    call = (re.match(r"(?:\d+\s+)?(\w+)\(", line) or [line, ""])[1]
    paths, frames = re.findall(r'"((?:[^"\\]|\\.)*)"', line), []
judge(call, paths, frames)
for m in sorted(own):
    print("# %s: %d" % (m, seen.get(m, 0)))
for line in sorted(bad):
    print(line)
# Whoever has files uses them: a trace that does not show it proves nothing.
blind = [m for m in sorted(own) if own[m] and not seen.get(m)]
if blind or sum(1 for m in own if own[m]) < 5:
    print("the trace shows too little: nothing of %s" % ", ".join(blind))
    bad.add("")
sys.exit(bool(bad))
PY
ok "each module touches its own files only" python3 "$tmp/look.py" "$tmp/conf" "$tmp/trace" "$dir" "$(cd "$builddir" && pwd)"
sed -n '/^#/p' "$out"
# It can fail: with the parameters of two modules exchanged everything is somebody else's.
sed -e 's|storage/lmdb|%|; s|"runtime/oci"|"storage/lmdb"|; s|%|runtime/oci|' "$tmp/conf" > "$tmp/wrong"
python3 "$tmp/look.py" "$tmp/wrong" "$tmp/trace" "$dir" "$(cd "$builddir" && pwd)" > "$out" 2>&1
grep -q "^storage/lmdb touches $dir/.*, which is runtime/oci's" "$out" &&
	grep -q "^runtime/oci touches $dir/.*, which is storage/lmdb's" "$out"
result "and it would show" $?
ok "down" "$orlop" down --wipe --data-dir "$dir"
ok "no trace is left" no_traces "$bridge" "$cgroups"
finish
