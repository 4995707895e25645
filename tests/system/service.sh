#!/bin/sh
# run: timeout=300 alone
# Orlop as a service: what make install puts where systemd looks for it, a start that says when it is ready, a restart that no
# container notices, and what the unit says of it. What a service manager does is done by hand: no systemd runs the tests.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

# ---- what is installed -------------------------------------------------------------------------------
root=$tmp/root
ok "make install" make -C "$builddir" install DESTDIR="$root" MAKEFLAGS=
prefix=$(sed -n 's/^prefix[[:space:]]*= *//p' "$builddir/Makefile")
sysconf=$(sed -n 's/^sysconfdir[[:space:]]*= *//p' "$builddir/Makefile" | sed "s|\${prefix}|$prefix|")
unit=$root$prefix/lib/systemd/system/orlop.service conf=$root$sysconf/orlop/orlop.conf
for f in "$unit" "$conf" "$root$prefix/lib/sysusers.d/orlop.conf" "$root$prefix/lib/tmpfiles.d/orlop.conf"; do
	ok "there is ${f#"$root"}" test -s "$f"
done
ok "nothing is left to be filled in" sh -c "! grep -r '@[a-z]*@' '$root$prefix/lib/systemd' '$root$prefix/lib/sysusers.d' '$root$prefix/lib/tmpfiles.d' '$conf'"
for line in Type=notify KillMode=process Delegate=yes Restart=always; do
	ok "the unit says $line" grep -x "$line" "$unit"
done
if command -v systemd-analyze > /dev/null; then
	sed "s|^ExecStart=[^ ]*|ExecStart=$orlop|" "$unit" > "$tmp/orlop.service"
	is "systemd finds nothing wrong with it" "" sh -c "systemd-analyze verify --man=no '$tmp/orlop.service' 2>&1 | grep orlop || :"
	is "nor with the user" "" sh -c "systemd-sysusers --dry-run --root='$root' 2>&1 | grep -i -e error -e fail || :"
	is "nor with the directory" "" sh -c "systemd-tmpfiles --root='$root' --cat-config 2>&1 | grep -i -e error -e fail || :"
else
	skip "systemd finds nothing wrong with it" "no systemd-analyze"
fi
# As it comes every setting is a comment: it changes nothing.
echo "# mine" >> "$conf"
ok "installed again" make -C "$builddir" install DESTDIR="$root" MAKEFLAGS=
ok "a file that somebody changed stays" grep -x "# mine" "$conf"

# ---- start, reload, restart ----------------------------------------------------------------------------
# service.py DIR: waits for READY=1 on a socket as systemd does; then prints it and the pid it came from.
cat > "$tmp/service.py" << 'PY'
import os, socket, struct, subprocess, sys
path, argv = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(path)
s.settimeout(60)
p = subprocess.Popen(argv, env=dict(os.environ, NOTIFY_SOCKET=path), stdin=subprocess.DEVNULL)
while True:
    text, anc, _, _ = s.recvmsg(4096, 64)
    pid = struct.unpack("iii", anc[0][2])[0]
    if b"READY=1" in text.split(b"\n"):
        print("ready", "from the main process" if pid == p.pid else "from %d, not %d" % (pid, p.pid), flush=True)
        break
end, ended = "none", False
s.settimeout(0.2)
while True:
    try:
        if b"STOPPING=1" in s.recv(4096):
            end = "stopping"
    except socket.timeout:
        if ended:	# before this look: all that it said has been read
            break
        ended = p.poll() is not None
print("ended", p.wait(), end, flush=True)
os.unlink(path)
PY
serve()	# in the background, until it is ready
{
	rm -f "$tmp/service.out"
	: > "$tmp/service.out"
	python3 -B "$tmp/service.py" "$tmp/notify" "$orlop" up --foreground --data-dir "$dir" "$@" >> "$tmp/service.out" 2> "$tmp/service.err" &
	service=$!
	timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -n +1 --pid=$service -f "$tmp/service.out" | grep -q -m 1 '^ready'
}
ok "the service starts" serve --port 0 --kubelet-port 0 --settings "$conf" || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "READY=1 comes from the process that systemd knows" grep -x "ready from the main process" "$tmp/service.out"
ok "and it is ready" k get --raw /readyz
ok "the node is ready" await ' Ready ' nodes --no-headers
ok "image" image 1
ok "apply" k apply -f "$srcdir/examples/hello"
ok "rolled out" k rollout status deployment/hello --timeout=60s
containers()
{
	k get pods -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.containerStatuses[0].containerID}{" "}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
containers > "$tmp/before"
address=$(k get pods -o jsonpath='{.items[0].status.podIP}')
read -r pid < "$dir/orlopd.pid"
echo 'log_modules = ( { module = "kubelet"; level = "debug"; } );' >> "$conf"
kill -HUP "$pid"
ok "a reload reads the settings again" timeout $((60 * TEST_TIMEOUT_FACTOR)) sh -c "until grep -q 'event=reload ' '$dir/log/orlopd.log' '$tmp/service.err'; do :; done"
kill -TERM "$pid"
ok "systemctl stop: the main process alone is asked" gone "$pid"
wait $service
ok "it said so, and ended in order" grep -x "ended 0 stopping" "$tmp/service.out"
ok "containers go on" page "$address:8080"
ok "systemctl start" serve
containers > "$tmp/after"
ok "no container noticed" diff "$tmp/before" "$tmp/after"
read -r pid < "$dir/orlopd.pid"
kill -9 "$pid"
gone "$pid"
wait $service
ok "Restart=always after a crash" serve
containers > "$tmp/after"
ok "no container noticed that either" diff "$tmp/before" "$tmp/after"

# ---- the machine goes down -------------------------------------------------------------------------------
# What the unit runs when it is stopped, with a systemctl that says what we want.
mkdir "$tmp/bin"
printf '#!/bin/sh\n[ "$*" = is-system-running ] && cat "%s"\n' "$tmp/system" > "$tmp/bin/systemctl"
chmod +x "$tmp/bin/systemctl"
cat > "$tmp/stop" << END
PATH=$tmp/bin:\$PATH
$(sed -n 's/^ExecStop=//p' "$unit" | sed "s/[$][$]/$/g; s|[^ ]*/orlop down|$orlop down --data-dir '\\''$dir'\\''|")
END
ok "the unit has something to do when it is stopped" grep -q "$orlop down" "$tmp/stop"
cat > "$tmp/pods.yaml" << 'EOF'
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: { name: slow }
  spec:
    containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ sh, -c, 'trap "busybox sleep 2; exit 0" TERM; while :; do busybox sleep 0.1; done' ] } ]
- apiVersion: v1
  kind: Pod
  metadata: { name: critical }
  spec:
    priorityClassName: system-node-critical
    containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ sh, -c, 'trap "exit 0" TERM; while :; do busybox sleep 0.1; done' ] } ]
EOF
ok "two more pods" k apply -f "$tmp/pods.yaml"
ok "they run" k wait --for=condition=Ready pod/slow pod/critical --timeout=60s
echo running > "$tmp/system"
ok "systemctl stop while the machine goes on" sh "$tmp/stop"
is "no pod has ended" "Running Running" k get pod slow critical -o jsonpath='{.items[*].status.phase}'
echo stopping > "$tmp/system"
ok "the machine is shut down" sh "$tmp/stop"
gone "$pid"
wait $service
ok "the daemon has ended in order" grep -x "ended 0 stopping" "$tmp/service.out"
ok "no container is left" within sh -c "! pgrep -a conmon | grep -F '$dir/'"
ok "systemctl start" serve
is "the API knows that the pods have ended, and why" "Failed Failed Terminated Terminated" k get pod slow critical -o jsonpath='{.items[*].status.phase} {.items[*].status.reason}'
is "and says so" "Pod was terminated in response to imminent node shutdown." k get pod slow -o jsonpath='{.status.message}'
k get pod slow critical -o jsonpath='{range .items[*]}{.status.containerStatuses[0].state.terminated.finishedAt}{"\n"}{end}' > "$tmp/ends"
is "critical ones after the others" 2 grep -c T "$tmp/ends"
ok "critical ones after the others: $(tr '\n' ' ' < "$tmp/ends")" sort -c "$tmp/ends"
ok "others take their places" k rollout status deployment/hello --timeout=60s
read -r pid < "$dir/orlopd.pid"
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
gone "$pid"
wait $service
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
