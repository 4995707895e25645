# Sourced by tools/check-*: the walls, things that the architecture forbids. Each prints TAP and is
# proven able to fail by tools/test-walls. They read $builddir/build.list (made by the Makefile):
#
#	part KIND NAME dir=DIR out=FILE libs=A,B testlibs=A,B,C link=-lX,-lY
#	flags NAME compiler flags
#	obj NAME FILE			logic NAME FILE

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}" "${builddir:=.}"
: "${CC:=cc}" "${CXX:=c++}" "${NM:=nm}" "${OBJDUMP:=objdump}" "${READELF:=readelf}"
list=$builddir/build.list
wall_n=0 wall_bad=0
wall_tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$wall_tmp"' EXIT
trap 'exit 1' INT TERM

# verdict WHAT FILE: passes if FILE, with one complaint a line, is empty.
verdict()
{
	wall_n=$((wall_n + 1))
	if [ -s "$2" ]; then
		echo "not ok $wall_n - $1"
		sed 's/^/# /' "$2"
		wall_bad=1
	else
		echo "ok $wall_n - $1"
	fi
}

finish()
{
	echo "1..$wall_n"
	exit $wall_bad
}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

# Files that instrumentation filled with its own symbols tell nothing.
needs_plain_objects()
{
	[ -z "$SANITIZERS" ] || skip_all "objects are instrumented ($SANITIZERS)"
	case $(grep '^flags ' "$list") in
	*--coverage*|*-fsanitize*) skip_all "objects are instrumented" ;;
	esac
}

[ -s "$list" ] || skip_all "no $list: make build.list"
