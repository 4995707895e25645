#!/bin/sh
# tests/run itself: counts what tests say, and does not believe one that ends early, hangs, crashes,
# or leaves processes behind.
# run: timeout=120
: "${builddir:=.}"
builddir=$(cd "$builddir" && pwd)
run=$builddir/tests/run
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/tests/log"
n=0 bad=0

t()		# name; body on stdin
{
	{ echo '#!/bin/sh'; cat; } > "$tmp/$1" && chmod +x "$tmp/$1"
}

expect()	# what, totals, status, pattern, run's arguments
{
	what=$1 totals=$2 status=$3 pattern=$4
	shift 4
	(cd "$tmp" && srcdir=$tmp builddir=$tmp TEST_TIMEOUT_FACTOR=1 "$run" "$@") > "$tmp/out" 2>&1
	got=$?
	n=$((n + 1))
	if [ $got = "$status" ] && [ "$(cat "$tmp/tests/log/tests.totals")" = "$totals" ] && grep -qE "$pattern" "$tmp/out"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what (status $got, totals $(cat "$tmp/tests/log/tests.totals"))"
		sed 's/^/# /' "$tmp/out"
		bad=1
	fi
}

t good <<'END'
echo "ok 1 - a"; echo "ok 2 - b # SKIP no root"; echo "not ok 3 - c # TODO later"; echo 1..3
END
t fails <<'END'
echo 1..2; echo "ok 1"; echo "not ok 2 - broken"; exit 1
END
t short <<'END'
echo 1..3; echo "ok 1"
END
t noplan <<'END'
echo "ok 1"
END
t status <<'END'
echo "ok 1"; echo 1..1; exit 3
END
t crash <<'END'
echo "ok 1"; echo 1..1; kill -SEGV $$
END
t hangs <<'END'
# run: timeout=5
echo "ok 1"; echo 1..1; sleep 1000
END
t allskip <<'END'
echo "1..0 # SKIP not here"
END
t bails <<'END'
echo "ok 1"; echo "Bail out! no disk"; exit 1
END
t leaves <<END
setsid sh -c 'echo \$\$ > $tmp/pid; exec sleep 1000' &
while [ ! -s $tmp/pid ]; do :; done
echo "ok 1"; echo 1..1
END
t first <<END
# run: alone
# run: and only the first of these lines counts
test -e $tmp/second-was && ! test -e $tmp/second-is && echo "ok 1"; echo 1..1
END
t second <<END
touch $tmp/second-is $tmp/second-was; rm $tmp/second-is; echo "ok 1"; echo 1..1
END
expect "counts passed, skipped, todo" "1 0 2" 0 "^tests: 1 passed, 0 failed, 2 skipped" ./good
expect "shows a failure and its output" "1 1 0" 1 "^    not ok 2 - broken" ./fails
expect "a test that ends early failed" "1 1 0" 1 "planned 3, reported 1" ./short
expect "a test without a plan failed" "1 1 0" 1 "no plan" ./noplan
expect "a bad status alone is a failure" "1 1 0" 1 "exit status 3" ./status
expect "a crash is a failure" "1 1 0" 1 "killed by signal 11" ./crash
expect "a test that hangs is ended" "1 1 0" 1 "no end after 5 s" ./hangs
expect "a whole file may skip" "0 0 1" 0 "SKIP not here" ./allskip
expect "bail out is a failure" "1 1 0" 1 "no disk" ./bails
expect "a missing test is a failure" "0 1 0" 1 "no plan" ./missing
expect "several at a time" "3 1 2" 1 "failed: ./fails" -j 4 ./good ./fails ./leaves
expect "who runs alone runs last" "2 0 0" 0 "2 passed" -j 4 ./first ./second
n=$((n + 1))
if [ -s "$tmp/pid" ] && ! kill -0 "$(cat "$tmp/pid")" 2> /dev/null; then
	echo "ok $n - a process left behind is killed, session of its own or not"
else
	echo "not ok $n - process $(cat "$tmp/pid") lives on"
	bad=1
fi
echo "1..$n"
exit $bad
