#!/bin/sh
# run: timeout=300
# curl and h2load: connections kept and shared, many streams, compressed answers, ranges, odd headers.
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
for program in curl h2load python3 openssl; do
	command -v $program > /dev/null || { echo "1..0 # SKIP no $program"; exit 0; }
done
[ -n "${RIG_DIR:-}" ] || exec python3 -B "$srcdir/tests/api/rig.py" sh "$0"
# shellcheck disable=SC2034 # for tap.sh
KUBECTL=true
. "$srcdir/tests/api/tap.sh"
pki=$RIG_DIR/pki
api=$APISERVER/api/v1/namespaces/default/configmaps
c()
{
	timeout $((60 * TEST_TIMEOUT_FACTOR)) curl -sS --noproxy '*' --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$@"
}
say()	# FORMAT CURL-OPTIONS...: what curl tells of the transfer, nothing else
{
	format=$1
	shift
	c -o "$dir/body" -D "$dir/head" -w "$format" "$@"
}
map()	# NAME: a config map with something to compress
{
	printf '{"metadata":{"name":"%s","labels":{"of":"curl"}},"data":{"k":"%04000d"}}' "$1" 0
}
map a > "$dir/a.json"
map b > "$dir/b.json"

# ---- one connection, many requests ----
for v in 1.1 2; do
	is "HTTP/$v is spoken" "$v 200" say '%{http_version} %{http_code}' --http$v "$APISERVER/version"
	is "HTTP/$v: one connection for all" "1 0 0 0 0" sh -c '
		curl -sS --noproxy "*" --cacert "$1/ca.crt" --cert "$1/admin.crt" --key "$1/admin.key" -w " %{num_connects}" \
			"$2" "$3/version?x=[1-5]" -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null \
			--http'$v' | tr -d "\n" | sed "s/.*\(1 0 0 0 0\)\$/\1/"' sh "$pki" --no-progress-meter "$APISERVER"
	is "HTTP/$v: made" 201 say '%{http_code}' --http$v -H 'Content-Type: application/json' -d "@$dir/a.json" "$api"
	is "HTTP/$v: made of YAML" 201 say '%{http_code}' --http$v -H 'Content-Type: application/yaml' --data-binary 'metadata: {name: y}' "$api"
	is "HTTP/$v: with Expect: 100-continue" 201 say '%{http_code}' --http$v -H 'Expect: 100-continue' -H 'Content-Type: application/json' -d "@$dir/b.json" "$api"
	is "HTTP/$v: in chunks" 409 say '%{http_code}' --http$v -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' -d "@$dir/b.json" "$api"
	is "HTTP/$v: replaced" 200 say '%{http_code}' --http$v -X PUT -H 'Content-Type: application/json' -d "@$dir/a.json" "$api/a"
	is "HTTP/$v: patched" 200 say '%{http_code}' --http$v -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"data":{"k":null}}' "$api/a"
	is "HTTP/$v: HEAD has no body" "405 0" say '%{http_code} %{size_download}' --http$v -I "$api/a"
	is "HTTP/$v: deleted" 200 say '%{http_code}' --http$v -X DELETE "$api/a"
	is "HTTP/$v: all of them" 200 say '%{http_code}' --http$v -X DELETE "$api"
	is "HTTP/$v: a watch is a stream that ends in time" "200" say '%{http_code}' --http$v "$api?watch=1&timeoutSeconds=1"
	is "HTTP/$v: OPTIONS" 405 say '%{http_code}' --http$v -X OPTIONS "$api"
done
is "an upgrade to cleartext HTTP/2 is not taken" 1.1 say '%{http_version}' --http1.1 -H 'Connection: Upgrade, HTTP2-Settings' -H 'Upgrade: h2c' \
	-H 'HTTP2-Settings: AAMAAABkAAQAAP__' "$APISERVER/version"
is "a connection that is to close does" 11 sh -c 'exec curl -sS --noproxy "*" --http1.1 -H "Connection: close" --cacert "$1/ca.crt" --cert "$1/admin.crt" --key "$1/admin.key" \
	-w "%{num_connects}" -o /dev/null "$2/version" -o /dev/null "$2/version"' sh "$pki" "$APISERVER"

# ---- encodings ----
for i in 1 2 3 4 5 6 7 8 9; do
	map "z$i" | c -o /dev/null -H 'Content-Type: application/json' -d @- "$api"
	map "y$i" | c -o /dev/null -H 'Content-Type: application/json' -d @- "$api"
	map "x$i" | c -o /dev/null -H 'Content-Type: application/json' -d @- "$api"
	map "w$i" | c -o /dev/null -H 'Content-Type: application/json' -d @- "$api"
done
c "$api" > "$dir/plain"
for v in 1.1 2; do
	say '' --http$v -H 'Accept-Encoding: gzip' "$api"
	grep -qi '^content-encoding: gzip' "$dir/head" && [ "$(wc -c < "$dir/body")" -lt 50000 ]
	result "HTTP/$v: a long list is compressed" $?
	gzip -dc < "$dir/body" > "$out" 2>&1 && cmp "$out" "$dir/plain" > "$dir/cmp" 2>&1
	result "HTTP/$v: and the same" $?
	grep -qi '^vary:.*accept-encoding' "$dir/head"
	result "HTTP/$v: which a cache is told" $?
done
for e in identity '' br 'gzip;q=0' 'deflate, br'; do
	say '' -H "Accept-Encoding: $e" "$api"
	! grep -qi '^content-encoding:' "$dir/head" && cmp "$dir/body" "$dir/plain" > "$out" 2>&1
	result "not for who says Accept-Encoding: $e" $?
done
is "what a body says of its own encoding is not looked at" "409" say '%{http_code}' -H 'Content-Encoding: gzip' -H 'Content-Type: application/json' -d "$(map z1)" "$api"

# ---- headers ----
is "no part of an answer is to be had" "200" say '%{http_code}' -r 0-10 "$api"
cmp "$dir/body" "$dir/plain" > "$out" 2>&1
result "the whole of it comes" $?
is "an If-None-Match is no question here" 200 say '%{http_code}' -H 'If-None-Match: *' "$api/z1"
is "Accept */*" 200 say '%{http_code}' -H 'Accept: */*' "$api/z1"
is "Accept with weights" 200 say '%{http_code}' -H 'Accept: text/html;q=0.9, application/json;q=0.1' "$api/z1"
is "Accept of nothing we have" 406 say '%{http_code}' -H 'Accept: text/html' "$api/z1"
is "no Accept at all" 200 say '%{http_code}' -H 'Accept:' "$api/z1"
say '' -H 'Accept: application/yaml' "$api/z1"
grep -q '^kind: ConfigMap' "$dir/body"; result "YAML for who wants it" $?
is "a Content-Type with a charset" 409 say '%{http_code}' -H 'Content-Type: application/json; charset=utf-8' -d "$(map z1)" "$api"
is "no Content-Type: JSON" 409 say '%{http_code}' -H 'Content-Type:' -d "$(map z1)" "$api"
is "a Content-Type nobody knows" 415 say '%{http_code}' -H 'Content-Type: text/odd' -d "$(map z1)" "$api"
is "a method nobody knows" 405 say '%{http_code}' -X BREW "$api"
is "another Host" 200 say '%{http_code}' -H 'Host: elsewhere.example' "$APISERVER/version"
is "a header of 8 KiB" 200 say '%{http_code}' -H "X-Long: $(printf '%08000d' 0)" "$APISERVER/version"
is "one that is empty" 200 say '%{http_code}' -H 'X-Empty;' "$APISERVER/version"
is "one of Latin letters" 200 say '%{http_code}' -H "X-Odd: $(printf '\344\366\374')" "$APISERVER/version"
is "a hundred of them" 200 sh -c 'i=0; set -- ; while [ $i -lt 100 ]; do set -- "$@" -H "X-$i: $i"; i=$((i + 1)); done
	exec curl -sS --noproxy "*" --cacert "'"$pki"'/ca.crt" --cert "'"$pki"'/admin.crt" --key "'"$pki"'/admin.key" -o /dev/null -w "%{http_code}" "$@" "'"$APISERVER"'/version"'
is "a wrong token beside a certificate" 401 sh -c 'exec curl -sS --noproxy "*" --cacert "$1/ca.crt" -o /dev/null -w "%{http_code}" -H "Authorization: Bearer wrong" "$2/api/v1/nodes"' sh "$pki" "$APISERVER"
is "Basic is no way in" 401 sh -c 'exec curl -sS --noproxy "*" --cacert "$1/ca.crt" -o /dev/null -w "%{http_code}" -u a:b "$2/api/v1/nodes"' sh "$pki" "$APISERVER"
say '' "$api/z1"
for h in audit-id: cache-control: 'content-type: application/json' x-kubernetes-pf-flowschema-uid:; do
	grep -qi "^$h" "$dir/head"; result "an answer says $h" $?
done

# ---- many streams ----
load()	# NAME H2LOAD-OPTIONS...: all of them answered well
{
	name=$1
	shift
	timeout $((120 * TEST_TIMEOUT_FACTOR)) h2load -H "Authorization: Bearer token-of-root" "$@" > "$out" 2>&1
	grep -q 'requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout' "$out"
	result "$name" $?
}
load "2000 requests in 100 streams each of 10 connections" -n 2000 -c 10 -m 100 "$api/z1"
load "in 250 streams of one" -n 2000 -c 1 -m 250 "$api/z1"
load "more streams than are allowed" -n 2000 -c 1 -m 1000 "$APISERVER/version"
load "in small windows" -n 2000 -c 2 -m 50 -w 10 -W 12 "$api/z1"
load "over HTTP/1.1" -n 2000 -c 20 --h1 "$api/z1"
load "pipelined" -n 2000 -c 4 -m 8 --h1 "$api/z1"
is "and it goes on" ok c "$APISERVER/readyz"
finish
