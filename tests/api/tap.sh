# Sourced by the scripts beside it: TAP, and kubectl within bounds.
# KUBECTL names the program; the output of the last command is in $out.

: "${KUBECTL:=kubectl}" "${RIG_DIR:?run by rig.py}" "${TEST_TIMEOUT_FACTOR:=1}"
dir=$(mktemp -d "$RIG_DIR/sh.XXXXXX") || exit 2
out=$dir/out
tap_n=0
tap_bad=0

k()
{
	timeout $((${K_TIMEOUT:-90} * TEST_TIMEOUT_FACTOR)) "$KUBECTL" "$@"
}

# result NAME STATUS: one point; on failure the last output.
result()
{
	tap_n=$((tap_n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $tap_n - $1"
		return 0
	fi
	echo "not ok $tap_n - $1"
	head -n 40 "$out" | sed 's/^/#   /'
	tap_bad=1
}

skip()	# NAME REASON
{
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

# Lines of the last output: all of the given texts are in it.
has()
{
	for text; do
		grep -qF -- "$text" "$out" || { echo "(without: $text)" >> "$out"; return 1; }
	done
}

# run NAME TEXT COMMAND...: it succeeds and says TEXT (lines: each of them).
run()
{
	name=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	[ $status = 0 ] && [ -n "$want" ] && { has_lines "$want" || status=1; }
	[ $status = 0 ] || echo "(status $status of: $*)" >> "$out"
	result "$name" $status
}

# fails NAME TEXT COMMAND...: it fails, in time, and says TEXT.
fails()
{
	name=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	case $status in 0 | 124) echo "(status $status of: $*)" >> "$out"; result "$name" 1; return ;; esac
	has_lines "$want"
	result "$name" $?
}

has_lines()
{
	printf '%s\n' "$1" > "$dir/want"
	while IFS= read -r text; do
		has "$text" || return 1
	done < "$dir/want"
}

# is NAME WANT COMMAND...: it prints exactly WANT.
is()
{
	name=$1 want=$2
	shift 2
	"$@" > "$out" 2> "$dir/err"
	status=$?
	if [ $status = 0 ] && [ "$(cat "$out")" = "$want" ]; then
		result "$name" 0
		return
	fi
	{ echo "(status $status; wanted: $want)"; cat "$dir/err"; } >> "$out"
	result "$name" 1
}

finish()
{
	echo "1..$tap_n"
	exit $tap_bad
}
