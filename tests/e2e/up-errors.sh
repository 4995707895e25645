#!/bin/sh
# run: timeout=120 alone
# orlop up where it cannot work: one line that says what to do, and nothing changed; down likewise.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo python3

untouched()
{
	[ ! -e "$dir" ] || { ls -la "$dir"; return 1; }
}
# A user without rights, a file system where some programs are missing: in namespaces of their own.
without()	# PROGRAM COMMAND...
{
	hidden=$(command -v "$1")
	shift
	unshare --mount sh -c 'for p in "$1" "/usr$1" "/usr/bin/${1##*/}" "/usr/sbin/${1##*/}"; do [ ! -e "$p" ] || mount --bind /proc/sys/kernel/ostype "$p"; done; shift; exec "$@"' sh "$hidden" "$@"
}
as_nobody()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
cp "$orlop" "$tmp/orlop.copy" 2> /dev/null
chmod 755 "$tmp"

if command -v setpriv > /dev/null && as_nobody test -x "$orlop"; then
	refuses "not root" "needs root" as_nobody "$orlop" up --data-dir "$dir"
else
	skip "not root" "no setpriv, or nobody may not reach the build"
fi
refuses "an unknown option" "no such option" "$orlop" up --data-dire "$dir"
refuses "a port that is none" "not a number" "$orlop" up --data-dir "$dir" --port x
refuses "a port out of range" "1 to 65535" "$orlop" up --data-dir "$dir" --port 70000
refuses "a network that is none" "--pod-cidr 10.244.0.1/24: want an IPv4 network" "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --pod-cidr 10.244.0.1/24
refuses "on a machine without a network" "--pod-cidr 10.244.0.1/24: want an IPv4 network" unshare --net "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --pod-cidr 10.244.0.1/24
refuses "there pods' addresses alone are none for the machine" "choose one by --node-ip" unshare --net "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --pod-cidr fd00:10:244::/64
refuses "a network that the machine has" "overlaps with the addresses of link lo" "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --pod-cidr 127.0.0.0/16
refuses "a path too long" "choose a shorter path" "$orlop" up --data-dir "$tmp/$(printf '%0100d' 0)" --port 0
: > "$tmp/file"
refuses "a data directory that is a file" "is a file" "$orlop" up --data-dir "$tmp/file" --port 0 --kubelet-port 0

# Somebody listens there.
mkfifo "$tmp/told"
python3 -c 'import socket, sys, signal
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
open(sys.argv[1], "w").write("%d\n" % s.getsockname()[1])
signal.pause()' "$tmp/told" &
listener=$!
read -r taken < "$tmp/told"
refuses "a port that is taken" "port $taken is taken" "$orlop" up --data-dir "$dir" --port "$taken" --kubelet-port 0
refuses "a kubelet port that is taken" "--kubelet-port" "$orlop" up --data-dir "$dir" --port 0 --kubelet-port "$taken"
kill $listener
wait $listener 2> /dev/null

if unshare --mount true 2> /dev/null; then
	refuses "no conmon" "conmon is not installed" without conmon "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0
	refuses "no skopeo" "skopeo is not installed" without skopeo "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0
else
	skip "no conmon" "no mount namespaces here"
fi
ok "none of that has changed anything" untouched

refuses "status without a daemon" "is not running" "$orlop" status --data-dir "$dir"
refuses "module list without a daemon" "orlop up" "$orlop" module list --data-dir "$dir"
says "down without a daemon" "was not running" "$orlop" down --data-dir "$dir"
says "wipe of nothing" "nothing to remove" "$orlop" down --wipe --data-dir "$dir"
mkdir "$tmp/mine" && : > "$tmp/mine/precious"
refuses "wipe of a directory that is not ours" "not a data directory" "$orlop" down --wipe --data-dir "$tmp/mine"
ok "it is still there" test -e "$tmp/mine/precious"

# Configurations that cannot be read.
printf 'data_dir = "%s";\nmodules = ( { module = ' "$dir" > "$tmp/broken.conf"
refuses "a corrupt configuration names file and line" "broken.conf:2" "$orlop" up --config "$tmp/broken.conf"
printf 'data_dir = "%s";\nmodules = ( { module = "storage/nosuch"; } );\n' "$dir" > "$tmp/nosuch.conf"
refuses "a module that is not there" "storage/nosuch" "$orlop" up --config "$tmp/nosuch.conf"
refuses "a configuration that is not there" "nosuch-file" "$orlop" up --config "$tmp/nosuch-file"
"$orlop" down --wipe --data-dir "$dir" > /dev/null 2>&1

# Two daemons on one data directory.
ok "up" up --without kubelet,runtime/oci,cni/bridge || finish
refuses "a second daemon on the same data directory" "runs on $dir already" up
says "the first has not noticed" "ready" "$orlop" status --data-dir "$dir"
refuses "unknown command" "there is no command flup" "$orlop" flup
refuses "half a command" "one of these must follow" "$orlop" module
refuses "unload what others need" "is needed by" "$orlop" module unload storage/lmdb --data-dir "$dir"
refuses "image commands without a runtime" "runtime" "$orlop" image list --data-dir "$dir"
port=$(setting port)
ok "down" "$orlop" down --data-dir "$dir"
ok "up again, without options" "$orlop" up --data-dir "$dir"
is "on the same port" "$port" setting port
echo rubbish > "$tmp/rubbish" && cp "$tmp/rubbish" "$dir/pki/ca.crt"
"$orlop" down --data-dir "$dir" > /dev/null
refuses "an authority that cannot be read is not replaced" "ca.crt" "$orlop" up --data-dir "$dir"
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" untouched
finish
