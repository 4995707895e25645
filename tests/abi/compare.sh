#!/bin/sh
# The ABI against those that were frozen (tests/abi/MAJOR.MINOR/): structs may grow at their end,
# constants may be added, nothing else. What is accepted beyond that stands in accepted.ini.
# run: timeout=120
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${CC:=cc}"
here=$srcdir/tests/abi
. "$here/surface.sh"
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0
verdict()	# STATUS NAME [FILE]
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		[ -z "$3" ] || head -n 40 "$3" | sed 's/^/# /'
		bad=1
	fi
}
command -v abidiff > /dev/null && command -v abidw > /dev/null || { echo "1..0 # SKIP no abigail-tools"; exit 0; }

# same OLD.abi NEW.so: 0 if who was built with the old can be loaded beside the new. Of what abidiff
# tells only members behind the old end of a struct are none of its business.
same()
{
	abidiff --no-show-locs -l --suppressions "$here/accepted.ini" "$1" "$2" > "$tmp/all" 2>&1
	awk '
	/^Leaf changes|^Changed leaf|^$/ { next }
	/^ *[0-9]* Added functions*:$/ || /^ *\[A\] / { next }
	/^Removed\/Changed\/Added/ { if (!/ 0 Removed, 0 Changed/) print; next }
	/^\047struct orlop_[a-z0-9_]*\047 changed:$/ { name = $2; end = -1; next }
	/^  type size changed from [0-9]* to [0-9]* \(in bits\)$/ { end = $5; if ($7 < $5) print name, $0; next }
	/^  [0-9]* data member insertions?:$/ { next }
	/^    .*, at offset [0-9]* \(in bits\)$/ { if (end < 0 || $(NF - 2) < end) print name, $0; next }
	{ print name, $0 }' "$tmp/all" > "$tmp/diff"
	[ ! -s "$tmp/diff" ]
}
# constants_kept OLD NEW
constants_kept()
{
	LC_ALL=C comm -23 "$1" "$2" > "$tmp/diff"
	[ ! -s "$tmp/diff" ]
}

surface_library "$srcdir/abi" "$tmp/now.so" > "$tmp/out" 2>&1 && surface_constants "$srcdir/abi" "$tmp/now.txt" >> "$tmp/out" 2>&1
verdict $? "the headers have a surface" "$tmp/out"
[ "$(grep -c ^ORLOP_ "$tmp/now.txt")" -gt 100 ]
verdict $? "with its constants"

# That the comparison can fail.
abidw --out-file "$tmp/now.abi" "$tmp/now.so"
mkdir "$tmp/m" && cp -r "$srcdir/abi/orlop" "$tmp/m/" && copy=$tmp/m/orlop
change()	# EDIT FILE: a copy of the headers with one edit, as a library
{
	cp "$srcdir/abi/orlop/$2" "$copy/$2" && sed -i "$1" "$copy/$2" && ! cmp -s "$srcdir/abi/orlop/$2" "$copy/$2" &&
		surface_library "$tmp/m" "$tmp/m.so" && surface_constants "$tmp/m" "$tmp/m.txt"
	changed=$?
	cp "$srcdir/abi/orlop/$2" "$copy/$2"
	return $changed
}
change 's/^\tuint32_t\tn_index;/&\n\tuint64_t\tnew_member;/' cache.h && ! same "$tmp/now.abi" "$tmp/m.so"
verdict $? "a member in the middle is a break"
change 's/^\tuint64_t\trev;\t\t\/\* revision of/\tuint32_t\trev; \/*/' cache.h && ! same "$tmp/now.abi" "$tmp/m.so"
verdict $? "a narrower member is a break"
change 's/^\tuint64_t\t(\*now_boot)(const struct orlop_host \*h);//; s/(\*now_mono)(const/(*now_mono)(uint32_t x, const/' host.h &&
	! same "$tmp/now.abi" "$tmp/m.so"
verdict $? "a function of the table that is gone, or takes other arguments, is a break"
change '/^struct orlop_host {/,/^};/s/^};/\tint (*new_member)(const struct orlop_host *h);\n};/' host.h && same "$tmp/now.abi" "$tmp/m.so"
verdict $? "a member at the end of a table is none" "$tmp/diff"
change 's/^struct orlop_change {/struct orlop_new_struct {\n\tint x;\n};\n&/' cache.h && same "$tmp/now.abi" "$tmp/m.so" && grep -q 'Added function' "$tmp/all"
verdict $? "nor is another struct" "$tmp/diff"
change 's/^struct orlop_change {/struct orlop_changed {/' cache.h && ! same "$tmp/now.abi" "$tmp/m.so"
verdict $? "a struct that is gone is a break"
change '/ORLOP_STORAGE_TXN[[:space:]]*=/d' storage.h && ! constants_kept "$tmp/now.txt" "$tmp/m.txt"
verdict $? "a constant that is gone is a break"
change 's/\(ORLOP_STORAGE_TXN[[:space:]]*=\) 2/\1 12/' storage.h && ! constants_kept "$tmp/now.txt" "$tmp/m.txt"
verdict $? "a constant with another value is a break"

for d in "$here"/[0-9]*; do
	[ -d "$d" ] || continue
	v=${d##*/}
	same "$d/surface.abi" "$tmp/now.so"
	verdict $? "ABI $v: structs as frozen, or longer" "$tmp/diff"
	constants_kept "$d/constants.txt" "$tmp/now.txt"
	verdict $? "ABI $v: constants as frozen, or more" "$tmp/diff"
done
echo "1..$n"
exit $bad
