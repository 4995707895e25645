#!/bin/sh
# What it costs to replace each module under load, in the daemon and in a process of its own, and how long an
# isolated module that was killed is away. ORLOP_BENCH_CLIENTS=100 write without pause, 5 watch.
#
# The bounds of the module promise are judged here and nowhere else, since time is a question to a machine that has
# nothing else to do: no request fails, nobody waits for longer than 50 ms, a killed module serves again after 20 ms.
# A line that misses one says "missed":true; then the exit status is 1.
goal_gap_ms=50 goal_back_ms=20
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
# missed NAME WHAT GOT GOAL: true or false; a number that is not there is missed too.
missed()
{
	awk -v got="$3" -v goal="$4" 'BEGIN { exit !(got == "" || got + 0 > goal + 0) }' || { echo false; return; }
	echo "$1: $2 $3, at most $4" >> "$tmp/missed"
	echo true
}
value()	# NAME: of a number of $line
{
	echo "$line" | sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"
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
		what="replace $where: $name"
		miss=$(missed "$what" "failed requests" "$(value failed)" 0)
		[ "$(missed "$what" "ms without an answer" "$(value gap_ms)" $goal_gap_ms)" = "$miss" ] || miss=true
		echo "$line" | sed "s|^{\"name\":\"[^\"]*\",\"requests\"|{\"name\":\"$what\",\"clients\":$clients,\"requests\"|; s|}\$|,\"goal_failed\":0,\"goal_gap_ms\":$goal_gap_ms,\"missed\":$miss,\"command\":\"$COMMAND\"}|"
	done 9< "$tmp/modules"
	tell stop
	wait $load || fail "$line"
	exec 4>&- 5<&-
	case $* in *isolate*)
		modules > "$tmp/modules"
		while read -r name pid <&9; do
			t0=$(date +%s%N)
			kill -9 "$pid"
			timeout 60 tail -n +1 -f "$dir/log/orlopd.log" 2> /dev/null | grep -q -m 1 "event=module_restarted name=$name " ||
				fail "$name was killed and does not come back"
			stamp=$(sed -n "s/^time=\([^ ]*\) .*event=module_restarted name=$(echo "$name" | sed 's|/|\\/|g') .*/\1/p" "$dir/log/orlopd.log" | tail -n 1)
			ms=$(awk -v ns=$(($(date -d "$stamp" +%s%N) - t0)) 'BEGIN { printf "%.2f", ns / 1e6 }')
			what="killed to service again: $name"
			miss=$(missed "$what" ms "$ms" $goal_back_ms)
			echo "{\"name\":\"$what\",\"ms\":$ms,\"goal_ms\":$goal_back_ms,\"missed\":$miss,\"command\":\"$COMMAND\"}"
		done 9< "$tmp/modules" ;;
	esac
	"$orlop" down --wipe --grace 0 --data-dir "$dir" > "$out" 2>&1 || fail "down"
}
round "in the daemon"
round "isolated" --isolate all
[ ! -s "$tmp/missed" ] || { sed "s|^|$0: MISSED: |" "$tmp/missed" >&2; exit 1; }
