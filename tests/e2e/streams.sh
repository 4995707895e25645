#!/bin/sh
# run: timeout=600 alone
# What people hold a connection open for: exec, attach, port-forward, cp, logs; over WebSockets and over SPDY, by
# people who leave when they like. Nothing of it stays behind.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox curl python3

main()	# NAME COMMAND [FURTHER LINES OF THE CONTAINER]
{
	k apply -f - << END
apiVersion: v1
kind: Pod
metadata:
  name: $1
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    command:
    - /bin/sh
    - -c
    - |-
      $2
$3
END
}
exit_code()	# WANT COMMAND...
{
	want=$1
	shift
	"$@"
	got=$?
	[ $got = "$want" ] || { echo "(exit code $got, wanted $want)"; return 1; }
}
# A command with a terminal of ROWS x COLUMNS, which is changed to 10 x 20 when it has said "ready"; who says "pressing
# enter" is told $SEND.
on_terminal()	# ROWS COLUMNS COMMAND...
{
	python3 - "$@" << 'END'
import fcntl, os, pty, select, struct, sys, termios, time
rows, cols, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
def size(r, c):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", r, c, 0, 0))
size(rows, cols)
seen, told = b"", False
end = time.monotonic() + 60
while time.monotonic() < end and select.select([fd], [], [], 60)[0]:
    try:
        b = os.read(fd, 4096)
    except OSError:
        break
    if not b:
        break
    os.write(1, b)
    seen += b
    if not told and b"ready" in seen:
        told = True
        size(10, 20)
    if not told and b"pressing enter" in seen:
        told = True
        os.write(fd, os.environ.get("SEND", "").encode() + b"\n")
if time.monotonic() >= end:
    os.kill(pid, 9)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}
# A client of ours that has a terminal for its command, by WebSocket, and tells its size "first", "later" or "never"; prints what comes.
cat > "$tmp/talk.py" << 'END'
import base64, http.client, json, os, ssl, struct, subprocess, sys, urllib.parse
when, argv = sys.argv[1], sys.argv[2:]
conf = json.loads(subprocess.run([os.environ["KUBECTL"], "--kubeconfig", os.environ["KUBECONFIG"], "config", "view", "--raw", "-o", "json"], check=True, stdout=subprocess.PIPE).stdout)
user, cluster = conf["users"][0]["user"], conf["clusters"][0]["cluster"]
ctx = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
ctx.check_hostname = False
with open(os.environ["TMP_PEM"], "wb") as f:
    f.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
ctx.load_cert_chain(os.environ["TMP_PEM"])
at = urllib.parse.urlsplit(cluster["server"])
c = http.client.HTTPSConnection(at.hostname, at.port, context=ctx, timeout=60)
q = urllib.parse.urlencode([("command", a) for a in argv] + [("stdin", "1"), ("stdout", "1"), ("tty", "1")])
c.request("GET", "/api/v1/namespaces/default/pods/web/exec?" + q, headers={
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()})
s = c.sock
head = b""
while b"\r\n\r\n" not in head:
    head += s.recv(1)
assert b" 101 " in head.split(b"\r\n")[0], head
def tell(rows, cols):
    text = b"\x04" + json.dumps({"Width": cols, "Height": rows}).encode()
    s.sendall(bytes([0x82, 0x80 | len(text)]) + b"\0\0\0\0" + text)
def take(n):
    b = b""
    while len(b) < n:
        more = s.recv(n - len(b))
        if not more:
            raise EOFError
        b += more
    return b
if when == "first":
    tell(21, 43)
seen = b""
while True:
    op, n = take(2)
    n = struct.unpack(">H", take(2))[0] if n == 126 else struct.unpack(">Q", take(8))[0] if n == 127 else n
    text = take(n)
    if op & 15 == 8:
        break
    if text[:1] == b"\x01":
        os.write(1, text[1:])
        seen += text[1:]
        if when == "later" and b"ready" in seen:
            when = "told"
            tell(21, 43)
    if text[:1] == b"\x03":
        break
END
talk()	# WHEN COMMAND...
{
	KUBECTL=${KUBECTL:-kubectl} KUBECONFIG=$dir/admin.kubeconfig TMP_PEM=$tmp/talk.pem timeout $((60 * TEST_TIMEOUT_FACTOR)) python3 -B "$tmp/talk.py" "$@" | tr -d '\r'
}
kube="${KUBECTL:-kubectl} --kubeconfig=$dir/admin.kubeconfig --cache-dir=$tmp/kube-cache"
# Processes on this machine whose command line has the word.
running()	# WORD
{
	for p in /proc/[0-9]*; do
		tr '\0' ' ' < "$p/cmdline" 2> /dev/null | grep -qF -- "$1" && echo "${p#/proc/}"
	done | grep -vx $$
}
fds()
{
	ls "/proc/$(cat "$dir/orlopd.pid")/fd" | wc -l
}

ok "up" up || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
k run web --image=localhost/hello:1 --port=8080 > /dev/null
ok "a pod" k wait --for=condition=Ready pod/web --timeout=60s

# The command waits a moment for a size that its first line should know, and no longer: many clients never tell any.
is "a client that never tells a size" "none" talk never sh -c '[ -n "$(stty size 2> /dev/null)" ] || echo none'
is "one that tells it" "21 43" talk first sh -c 'until [ "$(stty size 2> /dev/null)" = "21 43" ]; do sleep 0.1; done; stty size'
is "one that tells it when the command runs" "ready
21 43" talk later sh -c 'echo ready; until [ "$(stty size 2> /dev/null)" = "21 43" ]; do sleep 0.1; done; stty size'

for over in true false; do
	export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=$over KUBECTL_PORT_FORWARD_WEBSOCKETS=$over
	[ $over = true ] && by=WebSocket || by=SPDY
	is "$by: exec" "out" k exec web -- sh -c 'echo out; echo err >&2'
	ok "$by: its exit code" exit_code 7 k exec web -- sh -c 'exit 7'
	is "$by: its input" "$(seq 1 20000 | md5sum)" sh -c "seq 1 20000 | $kube exec -i web -- md5sum"
	is "$by: its output, a lot of it" 60000000 sh -c "$kube exec web -- head -c 60000000 /dev/zero | wc -c"
	ok "$by: a program that is not there" exit_code 1 k exec web -- nosuchprogram
	says "$by: is named" 'exec: "nosuchprogram": executable file not found in $PATH' sh -c "$kube exec web -- nosuchprogram 2>&1 || :"
	ok "$by: a short command on a terminal" exit_code 4 on_terminal 33 77 $kube exec -it web -- sh -c 'exit 4'
	says "$by: a terminal has the size of ours" "33 77" on_terminal 33 77 $kube exec -it web -- sh -c 'until stty size | grep "33 77"; do sleep 0.1; done'
	says "$by: and follows it" "10 20" on_terminal 33 77 $kube exec -it web -- sh -c \
		'echo ready; until [ "$(stty size)" = "10 20" ]; do sleep 0.1; done; stty size'
	head -c 3000000 /dev/urandom > "$tmp/sent"
	ok "$by: cp there" k cp "$tmp/sent" web:/tmp/sent
	ok "$by: and back" k cp web:/tmp/sent "$tmp/back"
	ok "$by: the same" cmp "$tmp/sent" "$tmp/back"

	rm -f "$tmp/pf"
	mkfifo "$tmp/pf"
	$kube port-forward pod/web :8080 :81 > "$tmp/pf" 2> "$tmp/pf.err" &
	pf=$!
	exec 4< "$tmp/pf"
	read -r _ _ a _ <&4
	read -r _ <&4
	read -r _ _ c _ <&4
	(cat <&4 > /dev/null) &
	says "$by: port-forward" "Hello from web" page "$a"
	says "$by: again" "Hello from web" page "$a"
	ok "$by: to a port that nobody listens on" exit_code 1 sh -c "curl -fsS --max-time 20 http://$c/ || exit 1"
	wait $pf
	says "$by: why" "error forwarding port 81 to pod" cat "$tmp/pf.err"
	exec 4<&-

	main "att-$over" 'echo begin; read -r x; echo "got $x" >&2; exit 3' '    stdin: true' > /dev/null
	ok "$by: one that waits for input" k wait --for=condition=Ready "pod/att-$over" --timeout=60s
	says "$by: attach" "got it" sh -c "echo it | $kube attach -i att-$over 2>&1"
	ok "$by: its end" await "^att-$over +0/1 +Error " pod "att-$over" --no-headers
	main "tty-$over" 'echo begin; read -r x; stty size; echo "got $x"' '    stdin: true
    tty: true' > /dev/null
	ok "$by: one with a terminal" k wait --for=condition=Ready "pod/tty-$over" --timeout=60s
	export SEND=it
	says "$by: attach to it" "got it" on_terminal 33 77 $kube attach -it "tty-$over"
done
unset KUBECTL_REMOTE_COMMAND_WEBSOCKETS KUBECTL_PORT_FORWARD_WEBSOCKETS
says "run -i: its output and its input" "got 5" sh -c "echo 5 | $kube run runi -i --rm --restart=Never --image=localhost/hello:1 --command -- sh -c 'read -r x; echo got \$x'"

# ---- who leaves ------------------------------------------------------------------------------------------

before=$(fds)
$kube exec -i web -- sleep 54321 < /dev/zero > /dev/null 2>&1 &
left=$!
$kube exec web -- sleep 54322 > /dev/null 2>&1 &
left="$left $!"
$kube logs -f web > /dev/null 2>&1 &
left="$left $!"
$kube attach web > /dev/null 2>&1 &
left="$left $!"
ok "somebody's command runs" k exec web -- sh -c 'until ps | grep -q 5432[1]; do sleep 0.1; done'
kill -9 $left
ok "it ends when he vanishes" k exec web -- sh -c 'while ps | grep -q 5432[12]; do sleep 0.1; done'
ok "the container goes on" k exec web -- true
as_before() { [ "$(fds)" -le $((before + 2)) ]; }
ok "and no descriptor is left open" within as_before

# ---- logs ------------------------------------------------------------------------------------------------

k apply -f - > /dev/null << 'END'
apiVersion: v1
kind: Pod
metadata:
  name: talk
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - { name: init, image: "localhost/hello:1", command: [echo, "from init"] }
  containers:
  - { name: one, image: "localhost/hello:1", command: [sh, -c, "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; sleep 1000"] }
  - { name: two, image: "localhost/hello:1", command: [sh, -c, "echo begin; until [ -e /tmp/go ]; do sleep 0.1; done; head -c 30000000 /dev/zero | tr '\\0' x; echo; sleep 1000"] }
END
ok "a pod that talks" k wait --for=condition=Ready pod/talk --timeout=60s
until k logs talk -c one | grep -q bad; do k exec talk -c one -- true; done
is "logs --tail" "line 5
bad" k logs talk -c one --tail=2
is "logs --limit-bytes" "line" k logs talk -c one --limit-bytes=4
is "logs of an init container" "from init" k logs talk -c init
says "logs --all-containers" "from init" sh -c "$kube logs talk --all-containers --limit-bytes=100"
is "logs --since-time of later" "" k logs talk -c one --since-time=2200-01-01T00:00:00Z
ok "logs --timestamps" sh -c "$kube logs talk -c one --timestamps --tail=1 | grep -Eq '^20[0-9-]+T[0-9:.]+Z bad\$'"
is "one stream alone" "bad" k get --raw '/api/v1/namespaces/default/pods/talk/log?container=one&stream=Stderr'
# Who comes after a file of that size was put away sees only what is in the next one: the reader is there first.
is "30 MB on one line" "begin 30000001" sh -c "$kube logs talk -c two -f --limit-bytes=30000007 | {
	read -r first
	$kube exec talk -c two -- touch /tmp/go
	echo \"\$first \$(wc -c)\"
}"
k run never --image=localhost/absent:1 --image-pull-policy=Never > /dev/null
ok "a container that cannot begin" await ErrImageNeverPull pod never --no-headers
says "why it has no log" 'container "never" in pod "never" is waiting to start: ErrImageNeverPull' sh -c "$kube logs never 2>&1 || :"

# Ten seconds are the period at which sizes are looked at.
ok "logs have a size" "$orlop" module replace --data-dir "$dir" kubelet "$builddir/modules/kubelet/kubelet.so" container_log_max_size=64Ki container_log_max_files=3
k apply -f - > /dev/null << 'END'
apiVersion: v1
kind: Pod
metadata:
  name: chat
spec:
  restartPolicy: Never
  containers:
  - { name: c, image: "localhost/hello:1", command: [sh, -c, 'echo begin; until [ -e /tmp/go ]; do sleep 0.1; done; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo "line $i of many, long enough to fill a file"; [ $((i % 1000)) != 0 ] || sleep 1; done'] }
END
ok "one that talks much" await '^chat +1/1 +Running ' pod chat --no-headers
is "it is followed over several files, without a gap" "begin 30000 lines, 0 out of order" sh -c "$kube logs -f chat | {
	read -r first
	$kube exec chat -- touch /tmp/go
	awk -v first=\"\$first\" '{ bad += \$2 != NR } END { print first \" \" NR \" lines, \" bad+0 \" out of order\" }'
}"
ok "older files are compressed" within sh -c "ls $dir/log/pods/default_chat_*/c/*.gz"
ok "delete all" k delete pod --all --grace-period=1 --timeout=60s
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
