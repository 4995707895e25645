#!/bin/sh
# run: timeout=900 alone
# Every module of a running machine is replaced in turn, in the daemon and in processes of their own,
# while 100 clients write, watchers watch, pods run, a log is followed and a shell stands open: no request
# fails, nothing acknowledged is lost, each change is seen once, no container has noticed.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox
[ -x "$builddir/tests/bench/steady" ] || skip_all "tests/bench/steady is not built"

trap "" PIPE		# a shell that ended early is a failure, not our end

# The clients are on descriptors 4 and 5, the shell, last so that nobody else holds its end open, on 6 and 7.
streams_open()
{
	for f in tell said in echoed log; do
		rm -f "$tmp/$f"
		mkfifo "$tmp/$f" || return 1
	done
	"$builddir/tests/bench/steady" "$dir/pki" "$(setting port)" steady 100 5 < "$tmp/tell" > "$tmp/said" 2> "$tmp/steady.err" &
	clients=$!
	exec 4> "$tmp/tell" 5< "$tmp/said"
	pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
	K_TIMEOUT=500 k_job logs -f "$pod" > "$tmp/log.out" 2> "$tmp/log.err" &
	logs=$!
	K_TIMEOUT=500 k_job exec -i "$pod" -- /bin/busybox cat < "$tmp/in" > "$tmp/echoed" 2> "$tmp/exec.err" &
	shell=$!
	exec 6> "$tmp/in" 7< "$tmp/echoed"
	shell_echoes first
}
shell_echoes()	# WORD
{
	echo "$1" >&6 && read -r word <&7 && [ "$word" = "$1" ] || { cat "$tmp/exec.err"; return 1; }
}
tell()	# WORDS: what the clients answer
{
	echo "$*" >&4 && read -r line <&5 && echo "$line"
}
streams_close()
{
	exec 6>&-
	wait $shell || { cat "$tmp/exec.err"; return 1; }
	exec 7<&-
	kill $logs
	wait $logs 2> /dev/null
	[ ! -s "$tmp/log.err" ] || { cat "$tmp/log.err"; return 1; }
}
# One line says what it cost; nothing may have failed.
replaced()	# NAME
{
	tell mark "$1" && "$orlop" module replace "$1" --data-dir "$dir" && tell more 3000 && tell end || return 1
	echo "$line" >> "$tmp/costs"
	case $line in *'"failed":0,'*) ;; *) cat "$tmp/steady.err"; return 1 ;; esac
	shell_echoes "after-$1"
}
clients_stop()
{
	tell stop
	case $line in *'"failed":0,"lost":0,'*) ;; *) cat "$tmp/steady.err"; return 1 ;; esac
	wait $clients
}
names()
{
	"$orlop" module list --json --data-dir "$dir" | sed -n 's/^ *"name": *"\([^"]*\)".*/\1/p' | grep -v '^core$'
}

round()	# WHERE, UP-OPTIONS...
{
	where=$1
	shift
	ok "$where: up" up "$@" || finish
	bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
	ok "$where: the node is ready" await ' Ready ' nodes --no-headers || finish
	ok "$where: image" image 1
	ok "$where: apply" k apply -f "$srcdir/examples/hello"
	ok "$where: rolled out" k rollout status deployment/hello --timeout=60s
	ok "$where: a namespace for the clients" k create namespace steady
	containers > "$tmp/before"
	ok "$where: three containers run" test "$(wc -l < "$tmp/before")" = 3
	ok "$where: clients write, a shell stands open" streams_open || finish
	names > "$tmp/names"
	ok "$where: the list of modules" test "$(wc -l < "$tmp/names")" -ge 10
	while read -r name <&9; do
		ok "$where: $name is replaced" replaced "$name"
	done 9< "$tmp/names"
	ok "$where: the log was followed all the time, the shell ends in order" streams_close
	ok "$where: nothing failed, nothing is lost, all was seen" clients_stop
	exec 4>&- 5<&-
	containers > "$tmp/after"
	ok "$where: no container has noticed" cmp "$tmp/before" "$tmp/after"
	ok "$where: the machine still works" k scale deployment/hello --replicas=4
	ok "$where: and brings a fourth" k rollout status deployment/hello --timeout=60s
	sed "s/^/# $where: /" "$tmp/costs"
	rm -f "$tmp/costs"
	ok "$where: down" "$orlop" down --wipe --grace 0 --data-dir "$dir"
	ok "$where: nothing is left" no_traces "$bridge" "$cgroups"
}
round "in the daemon"
round "each in a process" --isolate all
finish
