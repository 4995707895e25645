#!/bin/sh
# run: timeout=200 alone
# The processes of API server and storage are killed in turn while clients write and watchers watch: no watcher lists
# again, each sees every acknowledged write once and in order, no revision is given out twice.
. "$(dirname "$0")/lib.sh"
need kubectl python3

cat > "$tmp/watch.py" << 'PY'
import http.client, json, os, signal, ssl, subprocess, sys, threading

port, pki, orlop, data, kills, names = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6:]
ctx = ssl.create_default_context(cafile=pki + "/ca.crt")
ctx.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
path = "/api/v1/namespaces/default/configmaps"
stop, acked, last, more = threading.Event(), [], [0], threading.Condition()


def connect():
    return http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=30)


def ask(conn, method, where, doc=None):
    conn.request(method, where, json.dumps(doc) if doc else None, {"Content-Type": "application/json"})
    r = conn.getresponse()
    return r.status, json.loads(r.read())


def write(name):
    conn, seq, made = None, 0, False
    while not stop.is_set():
        seq += 1
        doc = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"seq": str(seq)}}
        try:
            conn = conn or connect()
            status, o = ask(conn, "PUT", path + "/" + name, doc) if made else ask(conn, "POST", path, doc)
            made = made or status in (201, 409)
            if status in (200, 201):
                with more:
                    acked.append((int(o["metadata"]["resourceVersion"]), name, str(seq)))
                    more.notify()
        except (OSError, http.client.HTTPException, ValueError):
            conn = None


def acknowledged(n):
    goal = len(acked) + n
    with more:
        more.wait_for(lambda: len(acked) >= goal)


class Watcher(threading.Thread):
    def __init__(self, rv):
        super().__init__(daemon=True)
        self.rv, self.seen, self.wrong = rv, [], []

    def event(self, e):
        if e["type"] == "ERROR":
            self.wrong.append(e)
            self.rv = 1 << 62
            return
        rv = int(e["object"]["metadata"]["resourceVersion"])
        if e["type"] != "BOOKMARK":
            if rv <= self.rv:
                self.wrong.append("%d after %d" % (rv, self.rv))
            self.seen.append((rv, e["object"]["metadata"]["name"], e["object"].get("data", {}).get("seq")))
        self.rv = max(rv, self.rv)

    def run(self):
        while not last[0] or self.rv < last[0]:
            try:
                conn = connect()
                conn.request("GET", "%s?watch=1&allowWatchBookmarks=true&resourceVersion=%d" % (path, self.rv))
                r = conn.getresponse()
                while not last[0] or self.rv < last[0]:
                    line = r.readline()
                    if not line:
                        break
                    self.event(json.loads(line))
            except (OSError, http.client.HTTPException, ValueError):
                pass


start = int(ask(connect(), "GET", path + "?limit=1")[1]["metadata"]["resourceVersion"])
watchers = [Watcher(start) for _ in range(4)]
writers = [threading.Thread(target=write, args=("k%d" % i,), daemon=True) for i in range(8)]
for t in watchers + writers:
    t.start()
for _ in range(kills):
    for name in names:
        acknowledged(300)
        listed = json.loads(subprocess.check_output([orlop, "module", "list", "--json", "--data-dir", data]))
        for m in listed:
            if m["name"] == name and m.get("pid"):
                os.kill(m["pid"], signal.SIGKILL)
acknowledged(300)
stop.set()
for t in writers:
    t.join(60)
doc = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "last-"}}
last[0] = int(ask(connect(), "POST", path, doc)[1]["metadata"]["resourceVersion"])
ask(connect(), "POST", path, doc)	# wakes who has seen that already
bad = len(acked) - len({a[0] for a in acked})
for w in watchers:
    w.join(60)
    missed = set(acked) - set(w.seen)
    bad += bool(missed or w.wrong or w.is_alive())
    print("# %d acknowledged, %d events, missed %s, wrong %s" % (len(acked), len(w.seen), sorted(missed)[:3], w.wrong[:3]))
sys.exit(bad != 0)
PY
watched()	# KILLS NAMES...
{
	timeout $((100 * TEST_TIMEOUT_FACTOR)) python3 -B "$tmp/watch.py" "$(setting port)" "$dir/pki" "$orlop" "$dir" "$@"
}

ok "up, storage and API server in processes of their own" up --without kubelet,runtime/oci,cni/bridge --isolate storage/lmdb,apiserver || finish
ok "the API server is killed: watches go on" watched 4 apiserver
k delete configmap --all > /dev/null
ok "the storage is killed: watches go on" watched 4 storage/lmdb
k delete configmap --all > /dev/null
ok "one after the other" watched 2 apiserver storage/lmdb
ok "down" "$orlop" down --wipe --data-dir "$dir"
finish
