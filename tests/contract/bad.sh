#!/bin/sh
# run: timeout=240
# That the contracts can fail: modules that break them are told so, point by point.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${builddir:=.}"
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
n=0 bad=0

# breaks NAME TEXT COMMAND...: the contract fails, with TEXT in the name of a point that does.
breaks()
{
	what=$1 want=$2
	shift 2
	n=$((n + 1))
	if ! "$@" > "$out" 2>&1 && grep -q "^not ok .*$want" "$out"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		grep -E '^not ok|^#' "$out" | head -n 20 | sed 's/^/# /'
		bad=1
	fi
}
controllers="$builddir/tests/contract/controllers $builddir/tests/modules/badctl.so $srcdir/tests/contract/controllers/replicaset.scenario"
scheduler="$builddir/tests/contract/scheduler $builddir/tests/modules/badsched.so"
plugin="$builddir/tests/contract/plugin $builddir/tests/modules/badplugin.so"
cni="python3 -B $srcdir/tests/contract/cni.py $builddir/tests/modules/badcni.so"
runtime="python3 -B $srcdir/tests/contract/runtime.py $builddir/tests/modules/badrt.so"
# shellcheck disable=SC2086
{
	breaks "a controller that does not look at what is there" "comes to it plainly" $controllers
	breaks "that does not care who leads" "writes nothing while it does not lead" $controllers
	breaks "that never comes to rest" "and then writes nothing more" $controllers
	breaks "that leaves what it opened" "and leaves nothing" $controllers
	breaks "a scheduler that takes everybody's pods" "another scheduler's does not" $scheduler
	breaks "that fills a node beyond its room" "no node has more than it can take" $scheduler
	breaks "that ignores what a pod asks for" "required node affinity is kept" $scheduler
	breaks "that binds without leading" "who does not lead binds nothing" $scheduler
	breaks "a plugin that finds nodes better than best" "scores end at 100" $plugin
	breaks "that refuses without a reason" "who is refused is told why" $plugin
	breaks "that says of more nodes than it was asked about" "a verdict a node at most" $plugin
	breaks "that changes its mind" "the same when it is asked once more" $plugin
	breaks "that writes" "and changes nothing" $plugin
	if [ "$(id -u)" = 0 ] && command -v ip conmon busybox > /dev/null; then
		breaks "a network that gives one address to all" "another pod has another address" $cni
		breaks "that makes no link" "eth0 is there and up" $cni
		breaks "that cannot remove what is gone" "del of what never was" $cni
		breaks "that checks nothing" "and says what is wrong" $cni
		breaks "a runtime that only says that it runs" "which exists" $runtime
		breaks "that knows no image" "and listed" $runtime
		breaks "that starts what runs" "what runs is not started again" $runtime
	fi
	breaks "a module of another class" "is of the class scheduler, not controllers" "$builddir/tests/contract/controllers" \
		"$builddir/tests/modules/badsched.so" "$srcdir/tests/contract/controllers/replicaset.scenario"
	breaks "a file that is no module" "" "$builddir/tests/contract/scheduler" "$srcdir/README.md"
}
echo "1..$n"
exit $bad
