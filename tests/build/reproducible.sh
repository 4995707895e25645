#!/bin/sh
# Built twice, in directories of other names and by different ways to the source, what is installed
# is the same byte by byte, and names no path of this machine.
# run: timeout=1800 alone
. "$(dirname "$0")/sub.sh"

# No compiler cache here: it would give the second build the objects of the first.
cc=${CC#ccache }
mkdir -p "$sub_dir/one" "$sub_dir/a/longer/way"
ln -s "$srcdir" "$sub_dir/source"
build_here()	# directory, source
{
	cd "$1" && "$2/configure" CC="$cc" --prefix=/usr && $MAKE -s -j"$jobs" all && $MAKE -s install DESTDIR="$1/root"
}
same()
{
	cd "$sub_dir/one/root" && find . -type f | LC_ALL=C sort | xargs sha256sum > "$sub_dir/sums" &&
		cd "$sub_dir/a/longer/way/root" && sha256sum --quiet -c "$sub_dir/sums" &&
		[ "$(find . -type f | wc -l)" = "$(wc -l < "$sub_dir/sums")" ]
}
no_paths()
{
	! grep -rlF -e "$sub_dir" "$sub_dir/one/root" && ! grep -rlF -e "$srcdir/" "$sub_dir/one/root"
}
step "first build" build_here "$sub_dir/one" "$srcdir" &&
step "second build" build_here "$sub_dir/a/longer/way" "$sub_dir/source" &&
step "the same files" same && step "no paths of the build in them" no_paths
finish
