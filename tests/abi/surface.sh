# Sourced by the tests beside it: the ABI as something that tools can compare.
#
# surface_library HEADERS FILE.so    every struct of the headers, as debug information
# surface_constants HEADERS FILE     every ORLOP_ constant with its value, sorted

surface_structs()
{
	cat "$1"/orlop/*.h | sed -n 's/^struct \(orlop_[a-z0-9_]*\) {$/\1/p' | LC_ALL=C sort -u
}

surface_include()
{
	for header in "$1"/orlop/*.h; do
		echo "#include <orlop/${header##*/}>"
	done
}

surface_library()
{
	{
		surface_include "$1"
		surface_structs "$1" | while read -r s; do
			printf 'void surface_%s(struct %s *p);\nvoid surface_%s(struct %s *p) { (void)p; }\n' \
				"$s" "$s" "$s" "$s"
		done
	} > "$2.c"
	# shellcheck disable=SC2086
	${CC:-cc} -std=c11 -g -O0 -fPIC -shared -I"$1" -o "$2" "$2.c"
}

# Macros without arguments and enumerators whose value is an integer.
surface_constants()
{
	surface_include "$1" > "$2.c"
	${CC:-cc} -std=c11 -I"$1" -E -dM "$2.c" |
		sed -n 's/^#define \(ORLOP_[A-Z0-9_]*\) ..*$/\1/p' > "$2.names"
	${CC:-cc} -std=c11 -I"$1" -E -P "$2.c" | tr '{},;' '\n\n\n\n' |
		sed -n 's/^[[:space:]]*\(ORLOP_[A-Z0-9_]*\)\([[:space:]]*=.*\)\{0,1\}$/\1/p' >> "$2.names"
	{
		printf '#include <stdint.h>\n#include <stdio.h>\n'
		surface_include "$1"
		# A macro that is text shows its name alone.
		cat <<'END'
#define SHOW(n, v) _Generic((v),						\
	char *: (void)printf("%s text\n", n),					\
	const char *: (void)printf("%s text\n", n),				\
	default: (void)printf("%s %#llx\n", n, (unsigned long long)(uintptr_t)(v)))
END
		echo 'int main(void) {'
		LC_ALL=C sort -u "$2.names" | grep -v '^ORLOP_ABI_M' | while read -r n; do
			echo "	SHOW(\"$n\", $n);"
		done
		echo '	return 0; }'
	} > "$2.c"
	# A constant that does not compile by itself is part of another macro: left out, one by one.
	while ! ${CC:-cc} -std=c11 -w -I"$1" -o "$2.run" "$2.c" 2> "$2.err"; do
		bad=$(sed -n 's/^[^:]*:\([0-9]*\):.*error.*/\1/p' "$2.err" | sort -run)
		cksum "$2.c" > "$2.sum"
		for l in $bad; do
			sed -i "${l}s/^	SHOW.*//" "$2.c"
		done
		cksum "$2.c" | cmp -s - "$2.sum" && { cat "$2.err"; return 1; }
	done
	"$2.run" | LC_ALL=C sort > "$2"
}
