#!/bin/sh
# run: timeout=60
# orlopd as a program: options, one per data directory, readiness, signals, what it says when it fails.
srcdir=${srcdir:-.} builddir=${builddir:-.}
orlopd=$builddir/orlopd
dir=$(mktemp -d) || exit 1
pids=
tidy() {
	[ -z "$pids" ] || kill -9 "$pids" 2>/dev/null
	rm -rf "$dir"
}
trap tidy EXIT
n=0

ok() {	# ok NAME: of the last status
	status=$?
	n=$((n + 1))
	if [ $status = 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
says() {	# says FILE TEXT
	grep -qF -- "$2" "$1" || { sed 's/^/# /' "$1"; return 1; }
}

cat > "$dir/good.conf" <<-END
	data_dir = "$dir/data";
	module_dir = "$builddir/tests/modules";
	modules = (
		{ module = "$builddir/tests/modules/caller.so"; },
		{ module = "$builddir/tests/modules/good.so"; params = { number = 5; }; }
	);
END
sed 's/number = 5/number = "five"/' "$dir/good.conf" > "$dir/bad.conf"
sed 's/good.so/abinew.so/' "$dir/good.conf" > "$dir/abi.conf"

"$orlopd" --version | grep -q '^orlopd .* (module ABI [0-9]*\.[0-9]*)$'; ok "--version"
abi=$("$orlopd" --version | sed 's/.*ABI \([0-9.]*\).*/\1/')
"$orlopd" --help | grep -q -- --check-config; ok "--help"
"$orlopd" --nonsense > "$dir/out" 2>&1; [ $? = 2 ] && says "$dir/out" usage:; ok "an unknown option"
"$orlopd" -f -c "$dir/none.conf" > "$dir/out" 2>&1; [ $? = 1 ] && says "$dir/out" "no configuration file $dir/none.conf"
ok "no configuration"
"$orlopd" --check-config -c "$dir/good.conf" > "$dir/out" 2>&1 && says "$dir/out" "good.conf: ok, 2 modules"
ok "--check-config"
"$orlopd" --check-config -c "$dir/abi.conf" > "$dir/out" 2>&1
[ $? = 1 ] && says "$dir/out" "abinew.so: built for ABI ${abi%.*}.999, this core provides"
ok "--check-config reads the modules' files"
[ ! -e "$dir/data" ]; ok "and leaves nothing"
"$orlopd" -f -c "$dir/bad.conf" > "$dir/out" 2>&1
[ $? = 1 ] && says "$dir/out" "bad.conf:5: module $builddir/tests/modules/good.so: parameter number: want a number"
ok "a wrong parameter, with file and line"

mkfifo "$dir/ready"
"$orlopd" -f -c "$dir/good.conf" --ready-fd 3 3> "$dir/ready" 2> "$dir/log" &
pid=$!
pids=$pid
read -r word < "$dir/ready"; [ "$word" = READY ]; ok "says READY on its descriptor"
[ "$(cat "$dir/data/orlopd.pid")" = $pid ]; ok "writes its pid"
[ -S "$dir/data/orlop.sock" ]; ok "has a control socket"
"$orlopd" -f -c "$dir/good.conf" > "$dir/out" 2>&1
[ $? = 1 ] && says "$dir/out" "another orlopd (pid $pid) uses $dir/data"; ok "a second one is refused"
[ -S "$dir/data/orlop.sock" ] && [ "$(cat "$dir/data/orlopd.pid")" = $pid ]; ok "and changes nothing"
kill -USR1 $pid
timeout 30 tail -n +1 -s 0.05 -f "$dir/log" | grep -q -m 1 "event=state_module name=test/good state=ready"; ok "SIGUSR1 tells the state"
kill -HUP $pid
kill -TERM $pid
wait $pid; ok "ends well on SIGTERM"
says "$dir/log" "event=stopped code=0"; ok "in order"
[ ! -e "$dir/data/orlopd.pid" ] && [ ! -e "$dir/data/orlop.sock" ]; ok "and leaves no pid file and no socket"

"$orlopd" -c "$dir/good.conf" > "$dir/out" 2>&1; ok "goes to the background when it is ready"
pid=$(cat "$dir/data/orlopd.pid")
pids=$pid
kill -0 "$pid"; ok "and runs there"
kill -9 "$pid"
while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do :; done
"$orlopd" -f -c "$dir/good.conf" --ready-fd 3 3> "$dir/ready" 2> "$dir/log" &
pid=$!
pids=$pid
read -r word < "$dir/ready"; [ "$word" = READY ]; ok "starts again after kill -9"
case ${SANITIZERS:-} in
*address*|*thread*) n=$((n + 1)); echo "ok $n - crash output # SKIP sanitizers have their own"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	pids= ;;
*)	kill -SEGV $pid
	wait $pid 2>/dev/null
	pids=
	says "$dir/log" "orlopd crashed: signal 11" && says "$dir/log" "module test/good 1.2 ABI $abi build-id"
	ok "a crash names version and modules" ;;
esac
if unshare -pf --mount-proc true 2>/dev/null && command -v nsenter > /dev/null && command -v setsid > /dev/null; then
	# in a container of its own: its first process
	unshare -pf --mount-proc --kill-child setsid "$orlopd" -f -c "$dir/good.conf" --ready-fd 3 3> "$dir/ready" 2> "$dir/log" &
	pid=$!
	pids=$pid
	read -r word < "$dir/ready"; [ "$word" = READY ]; ok "as the first process of a container"
	first=$(cat /proc/$pid/task/$pid/children)
	first=${first% }
	[ "$(cat "$dir/data/orlopd.pid")" != 1 ]; ok "it is a child of that"
	orphan=$(nsenter -t "$first" -p -m sh -c 'sleep 1000 > /dev/null & echo $!')
	nsenter -t "$first" -p -m sh -c "kill $orphan; while [ -e /proc/$orphan ]; do :; done"; ok "which reaps what nobody else does"
	kill -TERM "-$first"
	wait $pid; ok "and ends with it in order, also if all of its group are told"
	says "$dir/log" "event=stopped code=0"; ok "as it says"
	pids=
else
	for _ in 1 2 3 4 5; do n=$((n + 1)); echo "ok $n - as the first process of a container # SKIP needs root, unshare, nsenter and setsid"; done
fi
"$orlopd" -c "$dir/bad.conf" > "$dir/out" 2>&1; [ $? = 1 ] && says "$dir/out" "parameter number"
ok "a failure in the background is told in the foreground"
echo "1..$n"
