#!/bin/sh
# run: timeout=300 alone
# orlopd is killed without warning, again and again, while clients write and pods run: what was
# acknowledged is there afterwards, and no container has noticed.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3
rounds=5

hello
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)

processes()	# pid and start of each first process, and the time at which its monitor began
{
	for f in "$dir"/runtime/containers/*/pid; do
		read -r pid < "$f" || read -r pid _ < "$f" || [ -n "$pid" ] || return 1
		echo "$pid $(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)"
	done | sort
}
containers > "$tmp/containers.before" && processes > "$tmp/processes.before"
ok "three containers run" test "$(wc -l < "$tmp/processes.before")" = 3

# Writers: each notes what was acknowledged, with the revision it was told. Errors while nobody
# answers are no acknowledgement; they go on until their input closes.
cat > "$tmp/writer.py" << 'PY'
import http.client, json, ssl, sys, select
port, pki, me, log = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
ctx = ssl.create_default_context(cafile=pki + "/ca.crt")
ctx.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
conn, n = None, 0
with open(log, "w", buffering=1) as out:
    while not select.select([sys.stdin], [], [], 0)[0]:
        n += 1
        name = "w%s-%06d" % (me, n)
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(n)}})
        try:
            if conn is None:
                conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=20)
            conn.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
            r = conn.getresponse()
            answer = json.loads(r.read())
            if r.status == 201:
                out.write("%s %s\n" % (name, answer["metadata"]["resourceVersion"]))
        except (OSError, http.client.HTTPException, ValueError):
            if conn:
                conn.close()
            conn = None
            select.select([sys.stdin], [], [], 0.01)
PY
port=$(setting port)
mkfifo "$tmp/go"
writers=''
for w in 1 2 3 4; do
	: > "$tmp/acked.$w"
	python3 "$tmp/writer.py" "$port" "$dir/pki" $w "$tmp/acked.$w" < "$tmp/go" &
	writers="$writers $!"
done
exec 9> "$tmp/go"

written()	# so many lines more than there were: what is being written is followed, not polled
{
	[ "$(timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -n 0 -f "$tmp/acked.1" | head -n "$1" | wc -l)" = "$1" ]
}
for round in $(seq $rounds); do
	ok "round $round: writes go on" written 100
	read -r pid < "$dir/orlopd.pid"
	kill -9 "$pid"
	ok "round $round: up again after kill -9" "$orlop" up --data-dir "$dir"
done
ok "writes still go on" written 100
exec 9>&-
# shellcheck disable=SC2086 # a list
wait $writers

cat "$tmp"/acked.* | cut -d' ' -f1 | sort > "$tmp/acked"
echo "# $(wc -l < "$tmp/acked") writes were acknowledged"
k get configmaps -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort > "$tmp/there"
comm -23 "$tmp/acked" "$tmp/there" > "$out"
[ ! -s "$out" ]
result "everything that was acknowledged is there" $?
cat "$tmp"/acked.* | cut -d' ' -f2 | sort | uniq -d > "$out"
[ ! -s "$out" ]
result "no revision was given twice" $?

ok "the node is ready again" await ' Ready ' nodes --no-headers
same()	# WHAT: before and now
{
	"$1" > "$tmp/$1.after" && diff "$tmp/$1.before" "$tmp/$1.after"
}
ok "no process of a container is another" same processes
ok "no container was restarted" same containers
ok "the pods still serve" sh -c "curl -fsS --noproxy '*' --max-time 20 http://$(k get pods -l app=hello -o jsonpath='{.items[0].status.podIP}'):8080/"
victim=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
ok "delete a pod after all that" k delete pod "$victim" --timeout=60s
ok "another appears" k rollout status deployment/hello --timeout=60s

# The last one is not followed by an up: down cleans by what is on disk.
read -r pid < "$dir/orlopd.pid"
kill -9 "$pid"
gone "$pid"
ok "down --wipe without a daemon" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
