# Sourced by the tests beside it: another configuration of the same tree, built and tested in a
# directory of its own, as TAP.

: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${MAKE:=make}" "${CC:=cc}"
unset MAKEFLAGS MAKELEVEL MFLAGS
jobs=$(nproc 2>/dev/null || echo 2)
sub_n=0 sub_bad=0
sub_dir=$(mktemp -d "${TMPDIR:-/tmp}/orlop-build.XXXXXX") || exit 2
trap 'chmod -R u+w "$sub_dir"; rm -rf "$sub_dir"' EXIT
trap 'exit 1' INT TERM

# step WHAT COMMAND...: one TAP point; on failure the end of the output.
step()
{
	what=$1
	shift
	sub_n=$((sub_n + 1))
	if "$@" > "$sub_dir/out" 2>&1; then
		echo "ok $sub_n - $what"
		return 0
	fi
	echo "not ok $sub_n - $what"
	grep -E 'error|warning|\*\*\*|^not ok|^FAIL|    #' "$sub_dir/out" | head -n 60 | sed 's/^/# /'
	echo "# …"
	tail -n 25 "$sub_dir/out" | sed 's/^/# /'
	sub_bad=1
	return 1
}

# With the compiler cache of the outer build, if it has one.
cached()
{
	case $CC in "ccache "*) echo "ccache $1" ;; *) echo "$1" ;; esac
}

configure_in()	# directory, options
{
	mkdir -p "$1" && cd "$1" && shift && "$srcdir/configure" "$@"
}

finish()
{
	echo "1..$sub_n"
	exit $sub_bad
}
