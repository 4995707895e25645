#!/bin/sh
# Shell scripts have none of the mistakes that shellcheck knows (warnings and errors, not taste).
# run: timeout=120
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
command -v shellcheck > /dev/null || { echo "1..0 # SKIP no shellcheck"; exit 0; }
cd "$srcdir" || exit 2
n=0 bad=0
for f in check quickstart .ci/run $(find tools tests examples cli -type f | LC_ALL=C sort); do
	[ -f "$f" ] || continue
	case $f in
	*.sh) shell='sh' ;;
	*.bash) shell='bash' ;;
	*) case $(head -c 14 "$f" | head -n 1) in '#!/bin/sh') shell='sh' ;; '#!/bin/bash') shell='bash' ;; *) continue ;; esac ;;
	esac
	[ "$(head -n 1 "$f")" = '#!/bin/bash' ] && shell='bash'
	n=$((n + 1))
	# SC1091 the sourced file is not followed; SC2034, SC2154 variables cross a sourced file;
	# SC3043 local is in every sh there is; SC3013 so is -nt.
	if out=$(shellcheck -s $shell -S warning -e SC1091,SC2034,SC2154,SC3043,SC3013 -f gcc "$f" 2>&1); then
		echo "ok $n - $f"
	else
		echo "not ok $n - $f"
		echo "$out" | sed 's/^/# /'
		bad=1
	fi
done
echo "1..$n"
exit $bad
