#!/bin/sh
# run: timeout=900 alone
# client-go as programs use it (go/*.go), against a node that runs pods. ORLOP_CLIENT_GO is a folder with client-go and all
# that it needs: Kubernetes' source tree (with vendor/), or a GOPATH (with src/), such as Debian's golang-k8s-client-go-dev
# makes. GO is the compiler (go). Nothing is fetched here.
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
command -v "${GO:=go}" > /dev/null || { echo "1..0 # SKIP no $GO"; exit 0; }
if [ -d "${ORLOP_CLIENT_GO:-}/vendor/k8s.io/client-go" ]; then
	sources=$ORLOP_CLIENT_GO/vendor
elif [ -d "${ORLOP_CLIENT_GO:-}/src/k8s.io/client-go" ]; then
	sources=$ORLOP_CLIENT_GO/src
else
	echo "1..0 # SKIP no client-go: name the folder that has it by ORLOP_CLIENT_GO"
	exit 0
fi
. "$srcdir/tests/e2e/lib.sh"
need conmon runtime skopeo kubectl busybox
mkdir "$tmp/go" && ln -s "$sources" "$tmp/go/src"
build()
{
	cd "$srcdir/tests/clients/go" && GO111MODULE=off GOFLAGS='' GOPATH="$tmp/go" CGO_ENABLED=0 GOCACHE="${GOCACHE:-${HOME:-$tmp}/.cache/go-build}" "$GO" build -trimpath -o "$tmp/client" .
}
build > "$out" 2>&1 || { result "it compiles" 1; finish; }
{ up && image 1 && await ' Ready ' nodes --no-headers; } > "$out" 2>&1 || { result "a node" 1; finish; }
KUBECONFIG="$dir/admin.kubeconfig" PODS=1 "$tmp/client"
status=$?
[ $status = 0 ] || [ ! -f "$dir/log/orlopd.log" ] || tail -n 40 "$dir/log/orlopd.log" | sed 's/^/# /'
exit $status
