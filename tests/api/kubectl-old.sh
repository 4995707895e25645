#!/bin/sh
# run: timeout=500
# The same with Debian 12's kubectl (1.20), which asks in older ways. Taken from Debian for the time of the test.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
if kubectl version --client -o json 2>/dev/null | grep -q '"minor": "20'; then
	echo "1..0 # SKIP kubectl.sh has used it already"
	exit 0
fi
if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then
	echo "1..0 # SKIP not a Debian system"
	exit 0
fi
if ! (cd "$tmp" && timeout 60 apt-get -q download kubernetes-client > log 2>&1 && dpkg -x kubernetes-client_*.deb .); then
	sed 's/^/# /' "$tmp/log"
	echo "1..0 # SKIP kubernetes-client cannot be had here"
	exit 0
fi
if [ ! -x "$tmp/usr/bin/kubectl" ]; then	# from Debian 13 on the package is empty, and kubectl one of its own
	echo "1..0 # SKIP kubernetes-client is not Debian 12's"
	exit 0
fi
KUBECTL=$tmp/usr/bin/kubectl python3 "$srcdir/tests/api/rig.py" sh "$srcdir/tests/api/kubectl-steps.sh"
