# Sourced by the tests beside it: TAP; an Orlop of their own in a temporary directory with free ports;
# kubectl; waiting for events; and an end that leaves nothing behind.

: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${builddir:=$PWD}" "${TEST_TIMEOUT_FACTOR:=1}"
orlop=$builddir/orlop
tap_n=0 tap_bad=0

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 0
}

# What a real container needs; missing things are a visible skip.
need()
{
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	for program; do
		case $program in
		runtime) command -v crun > /dev/null || command -v runc > /dev/null || skip_all "needs crun or runc" ;;
		*) command -v "$program" > /dev/null || skip_all "needs $program" ;;
		esac
	done
	[ -x "$orlop" ] || { echo "Bail out! $orlop is not built"; exit 1; }
}

tmp=$(mktemp -d "${TMPDIR:-/tmp}/orlop-e2e.XXXXXX") || exit 2
dir=$tmp/d
out=$tmp/out
e2e_end()
{
	trap - EXIT
	[ ! -x "$orlop" ] || [ ! -e "$dir" ] || "$orlop" down --wipe --grace 0 --data-dir "$dir" > /dev/null 2>&1
	rm -rf "$tmp"
}
trap e2e_end EXIT
trap 'exit 1' INT TERM HUP

# ---- TAP -----------------------------------------------------------------------------------------

result()	# NAME STATUS
{
	tap_n=$((tap_n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $tap_n - $1"
		return 0
	fi
	echo "not ok $tap_n - $1"
	tail -n 40 "$out" | sed 's/^/#   /'
	tap_bad=1
	return 1
}
skip()	# NAME REASON
{
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}
# ok NAME COMMAND...: it succeeds.
ok()
{
	what=$1
	shift
	"$@" > "$out" 2>&1
	status=$?
	[ $status = 0 ] || echo "(status $status of: $*)" >> "$out"
	result "$what" $status
}
# is NAME WANT COMMAND...: it prints exactly WANT.
is()
{
	what=$1 want=$2
	shift 2
	"$@" > "$out" 2> "$tmp/err"
	status=$?
	[ $status = 0 ] && [ "$(cat "$out")" = "$want" ] && { result "$what" 0; return; }
	{ echo "(status $status of: $*; wanted: $want)"; cat "$tmp/err"; } >> "$out"
	result "$what" 1
}
# says NAME TEXT COMMAND...: it succeeds and its output has TEXT.
says()
{
	what=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	[ $status = 0 ] && grep -qF -- "$want" "$out" && { result "$what" 0; return; }
	echo "(status $status of: $*; wanted: $want)" >> "$out"
	result "$what" 1
}
# refuses NAME TEXT COMMAND...: it fails with one line that has TEXT.
refuses()
{
	what=$1 want=$2
	shift 2
	"$@" > "$tmp/stdout" 2> "$out"
	status=$?
	[ $status != 0 ] && [ "$(wc -l < "$out")" = 1 ] && grep -qF -- "$want" "$out" && { result "$what" 0; return; }
	{ echo "(status $status of: $*; wanted one line with: $want)"; cat "$tmp/stdout"; } >> "$out"
	result "$what" 1
}
finish()
{
	if [ "$tap_bad" != 0 ] && [ -f "$dir/log/orlopd.log" ]; then
		echo "# the end of orlopd's log:"
		tail -n 40 "$dir/log/orlopd.log" | sed 's/^/#   /'
	fi
	echo "1..$tap_n"
	exit $tap_bad
}

# ---- Orlop, kubectl --------------------------------------------------------------------------------

up()	# OPTIONS...
{
	"$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --timeout $((60 * TEST_TIMEOUT_FACTOR)) "$@"
}
k()
{
	timeout $((${K_TIMEOUT:-60} * TEST_TIMEOUT_FACTOR)) "${KUBECTL:-kubectl}" --kubeconfig="$dir/admin.kubeconfig" --cache-dir="$tmp/kube-cache" "$@"
}
# The same in the background, where $! is to be the pid of what runs and not of a shell that waits for it.
k_job()
{
	exec timeout $((${K_TIMEOUT:-60} * TEST_TIMEOUT_FACTOR)) "${KUBECTL:-kubectl}" --kubeconfig="$dir/admin.kubeconfig" --cache-dir="$tmp/kube-cache" "$@"
}
image()	# TAG: localhost/hello:TAG, from this machine's busybox
{
	"$srcdir/examples/hello/make-image" "$tmp/image.tar" "$1" && "$orlop" image import --data-dir "$dir" "$tmp/image.tar" &&
		rm -f "$tmp/image.tar"
}
# hello [OPTIONS of up]: an Orlop in which the example runs.
hello()
{
	ok "up${*:+ $*}" up "$@" || finish
	ok "the node is ready" await ' Ready ' nodes --no-headers || finish
	ok "image" image 1
	ok "apply" k apply -f "$srcdir/examples/hello"
	ok "rolled out" k rollout status deployment/hello --timeout=60s
}
containers()	# id, restarts and start of each of the example's
{
	k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.containerStatuses[0].containerID}{" "}{.status.containerStatuses[0].restartCount}{" "}{.status.containerStatuses[0].state.running.startedAt}{"\n"}{end}' | sort
}
setting()	# KEY of orlop status
{
	"$orlop" status --json --data-dir "$dir" | sed -n "s/^  \"$1\": \"\{0,1\}\([^\",]*\).*/\1/p"
}
page()	# ADDRESS[:PORT]
{
	curl -fsS --noproxy '*' --retry 20 --retry-connrefused --retry-delay 1 --max-time 30 "http://$1/"
}
# Debian's own kubectl of long ago beside the one of this machine: its path, or nothing.
old_kubectl()
{
	command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
	mkdir -p "$tmp/old" && (cd "$tmp/old" && timeout 60 apt-get -q download kubernetes-client > log 2>&1 &&
		dpkg -x kubernetes-client_*.deb .) && [ -x "$tmp/old/usr/bin/kubectl" ] && echo "$tmp/old/usr/bin/kubectl"
}

# await PATTERN RESOURCE [OPTIONS]: until a line of kubectl get --watch matches.
await()
{
	pattern=$1
	shift
	# Of one that is named kubectl shows what it was, and then not the first that its watch sees, which may be the last to come.
	case $1+${2:--} in
	-*+* | *+-*) ;;
	*)
		await_kind=$1 await_name=$2
		shift 2
		set -- "$await_kind" "--field-selector=metadata.name=$await_name" "$@"
		;;
	esac
	rm -f "$tmp/fifo"
	mkfifo "$tmp/fifo"
	k_job get -w "$@" > "$tmp/fifo" 2> "$tmp/watch.err" &
	watcher=$!
	grep -q -m 1 -E -- "$pattern" < "$tmp/fifo"
	found=$?
	kill $watcher 2> /dev/null
	wait $watcher 2> /dev/null
	[ $found = 0 ] || { echo "(never came: $pattern)"; cat "$tmp/watch.err"; k get "$@"; }
	return $found
}
# within COMMAND...: until it succeeds, a minute at most; for what nobody announces.
within()
{
	within_end=$(($(date +%s) + 60 * TEST_TIMEOUT_FACTOR))
	until "$@"; do
		[ "$(date +%s)" -lt $within_end ] || return 1
	done
}
modules()	# [DATA-DIR]: name, pid, restarts, state and health of each
{
	"$orlop" module list --json --data-dir "${1:-$dir}" | python3 -c '
import json, sys
for m in json.load(sys.stdin):
    print(m["name"], m.get("pid", 0), m.get("restarts", 0), m["state"], m["healthy"])'
}
# back NAME OLD-PID [DATA-DIR]: until it is another process, healthy.
back()
{
	within other_process "$@" || { cat "$tmp/now"; return 1; }
}
other_process()
{
	modules "$3" > "$tmp/now"
	awk -v n="$1" -v p="$2" '$1 == n && $2 != 0 && $2 != p && $4 == "ready" && $5 == "True" { found = 1 } END { exit !found }' "$tmp/now"
}
# Until every process of the list has ended: tail waits for one by --pid, without a loop of ours.
gone()
{
	for pid; do
		timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -s 0.05 --pid="$pid" -f /dev/null || return 1
	done
}

# ---- what must not be left ----------------------------------------------------------------------------

# Everything of ours that one can see from outside: processes, mounts, links, packet rules, cgroups, files.
traces()	# BRIDGE CGROUP-ROOT
{
	for p in /proc/[0-9]*; do
		tr '\0' ' ' < "$p/cmdline" 2> /dev/null | grep -F -- "$dir/" | sed 's/^/process /'
	done | grep -v -e ' down --wipe' -e 'grep ' || :
	grep -F -- " $dir" /proc/self/mountinfo | sed 's/^/mount /'
	[ ! -e "/sys/class/net/$1" ] || { echo "link $1"; ls "/sys/class/net/$1/brif" | sed 's/^/link /'; }
	! command -v nft > /dev/null || nft list tables 2> /dev/null | grep -F "orlop-$1" | sed 's/^/rule /'
	find /sys/fs/cgroup -maxdepth 2 -type d -name "$2" | sed 's/^/cgroup /'
	[ ! -e "$dir" ] || find "$dir" -maxdepth 1 | sed 's/^/file /'
}
no_traces()
{
	left=$(traces "$@")
	[ -z "$left" ] || { echo "$left"; return 1; }
}
# All links, mounts, rules and cgroups of the machine, for before and after; others' pods disturb it.
machine()
{
	ls /sys/class/net | sed 's/^/link /'
	awk '{ print "mount " $5 }' /proc/self/mountinfo | sort
	! command -v nft > /dev/null || nft list tables 2> /dev/null | sed 's/^/rule /'
	find /sys/fs/cgroup -maxdepth 2 -type d -name 'kubepods*' | sort | sed 's/^/cgroup /'
	pgrep -x conmon | sed 's/^/conmon /'
}
