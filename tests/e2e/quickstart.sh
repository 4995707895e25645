#!/bin/sh
# run: timeout=900 alone
# ./quickstart twice, then --down: the machine is as it was.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox

others=$(pgrep -x orlopd)
machine > "$tmp/before"
quick()
{
	"$srcdir/quickstart" --build "$builddir" --data-dir "$dir" "$@"
}
ok "quickstart" quick --port 0
cp "$out" "$tmp/first"
ok "it shows three pods" test "$(grep -c '^hello-.* Running ' "$tmp/first")" = 3
ok "it shows a page of each" test "$(grep -c ': Hello from hello-' "$tmp/first")" = 3
ok "it tells the daemon's memory" grep -E '^memory of the daemon +[0-9]+\.[0-9] MiB' "$tmp/first"
ok "it tells the time to Ready" grep -E '^time to Ready +[0-9]+ ms' "$tmp/first"
ok "it says how to go on" grep -F "export KUBECONFIG=$dir/admin.kubeconfig" "$tmp/first"
ok "it says how to remove it" grep -F "quickstart --down" "$tmp/first"
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.uid}{"\n"}{end}' > "$tmp/uids"
ok "quickstart again" quick
says "nothing was replaced" "$(cat "$tmp/uids")" k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.uid}{"\n"}{end}'
refuses "another port while it runs" "leave out --port" quick --port 1
ok "quickstart --down" quick --down
ok "nothing is left" no_traces "$bridge" "$cgroups"
machine > "$tmp/after"
if [ -z "$others$(pgrep -x orlopd)" ]; then
	ok "the machine is as it was" diff "$tmp/before" "$tmp/after"
else
	skip "the machine is as it was" "other orlopd run on it"
fi
says "quickstart --down again" "nothing to remove" quick --down

if command -v setpriv > /dev/null && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$srcdir/quickstart"; then
	refuses "not root" "needs root" setpriv --reuid=65534 --regid=65534 --clear-groups "$srcdir/quickstart"
else
	skip "not root" "no setpriv, or nobody may not reach the sources"
fi
mkdir "$dir" && : > "$dir/precious"
refuses "a directory that is not ours" "not a data directory" quick --port 0
rm -rf "$dir"
finish
