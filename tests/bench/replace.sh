#!/bin/sh
# What it costs to replace each module under load, in the daemon and in a process of its own, and how long an
# isolated module that was killed is away. ORLOP_BENCH_CLIENTS=100 write without pause, 5 watch.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl busybox
COMMAND="builddir=$builddir $0"
clients=${ORLOP_BENCH_CLIENTS:-100}
fail()
{
	echo "$0: $*" >&2
	cat "$out" >&2
	exit 1
}
tell()
{
	echo "$*" >&4 && read -r line <&5
}
modules()	# name and pid
{
	"$orlop" module list --json --data-dir "$dir" > "$tmp/list" && awk -F'"' '$2 == "name" { n = $4 }
		$2 == "pid" { p = $3; gsub(/[^0-9]/, "", p) } /^  }/ { if (n != "core") print n, p; n = ""; p = "" }' "$tmp/list"
}
round()	# WHERE, UP-OPTIONS...
{
	where=$1
	shift
	up "$@" > "$out" 2>&1 || fail "orlop up"
	await ' Ready ' nodes --no-headers > "$out" 2>&1 || fail "the node"
	image 1 > "$out" 2>&1 || fail "image"
	k apply -f "$srcdir/examples/hello" > "$out" 2>&1 && k rollout status deployment/hello --timeout=60s > "$out" 2>&1 || fail "hello"
	k create namespace steady > "$out" 2>&1 || fail "namespace"
	rm -f "$tmp/tell" "$tmp/said"
	mkfifo "$tmp/tell" "$tmp/said"
	"$builddir/tests/bench/steady" "$dir/pki" "$(setting port)" steady "$clients" 5 < "$tmp/tell" > "$tmp/said" 2> "$out" &
	load=$!
	exec 4> "$tmp/tell" 5< "$tmp/said"
	tell mark warm
	tell more 3000
	tell end
	modules > "$tmp/modules"
	while read -r name _ <&9; do
		tell mark "$name"
		"$orlop" module replace "$name" --data-dir "$dir" > "$tmp/said2" 2>&1 || { cat "$tmp/said2"; fail "$name"; }
		tell more 3000
		tell end
		echo "$line" | sed "s|^{\"name\":\"\([^\"]*\)\",\"requests\"|{\"name\":\"replace $where: \1\",\"clients\":$clients,\"requests\"|; s|}\$|,\"goal_failed\":0,\"goal_gap_ms\":50,\"command\":\"$COMMAND\"}|"
	done 9< "$tmp/modules"
	tell stop
	wait $load || fail "$line"
	exec 4>&- 5<&-
	case $* in *isolate*)
		modules > "$tmp/modules"
		while read -r name pid <&9; do
			t0=$(date +%s%N)
			kill -9 "$pid"
			tail -n +1 -f "$dir/log/orlopd.log" 2> /dev/null | grep -q -m 1 "event=module_restarted name=$name "
			stamp=$(sed -n "s/^time=\([^ ]*\) .*event=module_restarted name=$(echo "$name" | sed 's|/|\\/|g') .*/\1/p" "$dir/log/orlopd.log" | tail -n 1)
			echo "{\"name\":\"killed to service again: $name\",\"ms\":$(( ($(date -d "$stamp" +%s%N) - t0) / 10000 ))e-2,\"goal_ms\":20,\"command\":\"$COMMAND\"}"
		done 9< "$tmp/modules" ;;
	esac
	"$orlop" down --wipe --grace 0 --data-dir "$dir" > "$out" 2>&1 || fail "down"
}
round "in the daemon"
round "isolated" --isolate all
exit 0
