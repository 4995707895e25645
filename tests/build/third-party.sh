#!/bin/sh
# What is installed is enough to write a module: examples/module, with its Makefile of five lines,
# builds, passes its tests and installs against an installed tree, knowing nothing of the source.
# run: timeout=600 alone
. "$(dirname "$0")/sub.sh"

b=$sub_dir/b root=$sub_dir/root
unset DESTDIR
cp -r "$srcdir/examples/module" "$sub_dir/module" && chmod -R u+w "$sub_dir/module" || exit 2
cp -r "$srcdir/examples/scheduler-plugin" "$sub_dir/plugin" && chmod -R u+w "$sub_dir/plugin" || exit 2
export PKG_CONFIG_PATH="$root/lib/pkgconfig"
alone="CC=${CC#ccache }"
exports()
{
	[ "$(nm -D --defined-only "$sub_dir"/module/*.so | awk '{ print $3 }')" = orlop_module ]
}
# block NUMBER LANGUAGE: one of the pieces of code of docs/module-author.md.
block()
{
	awk -v n="$1" -v head="\`\`\`$2" '$0 == head && ++i == n { on = 1; next } on && $0 == "```" { exit } on' "$root/share/doc/orlop/docs/module-author.md"
}
from_docs()
{
	mkdir "$sub_dir/docs" && block 1 c > "$sub_dir/docs/mine.c" && block 1 make > "$sub_dir/docs/Makefile" &&
		$MAKE -C "$sub_dir/docs" "$alone" CFLAGS="-O2 -g -Wall -Werror"
}
controller_from_docs()
{
	about=$sub_dir/about
	mkdir -p "$about/test" && block 2 c > "$about/about.c" && block 3 c > "$about/test/about.c" && block 2 make > "$about/Makefile" &&
		block 1 scenario > "$about/about.scenario" && $MAKE -C "$about" "$alone" CFLAGS="-O2 -g -Wall -Werror" check &&
		"$root/bin/orlop" module check --contract --scenario "$about/about.scenario" "$about/about.so" > "$about/said" &&
		grep -q 'comes to it dying' "$about/said" && ! grep -q '^doubtful\|^wrong' "$about/said"
}
refused()
{
	! "$root/bin/orlop" module check "$root/bin/orlop" > "$sub_dir/said" 2>&1 && grep -q 'no module' "$sub_dir/said" &&
		! "$root/bin/orlop" module check "$srcdir/README.md" > "$sub_dir/said" 2>&1 && grep -q 'no shared object' "$sub_dir/said"
}
only_ours()
{
	left=$(find "$root" -type f)
	echo "left: $left"
	[ "$left" = "$root/lib/orlop/modules/controllers/census.so" ]
}
step "configure" configure_in "$b" CC="$CC" --prefix="$root" &&
step "install" $MAKE -C "$b" -s -j"$jobs" install &&
step "orlop.pc tells where modules go" test "$(pkg-config --variable=moduledir orlop)" = "$root/lib/orlop/modules" &&
step "a module of five lines builds" $MAKE -C "$sub_dir/module" "$alone" CFLAGS="-O2 -g -Wall -Wextra -Werror" &&
step "its tests pass" $MAKE -C "$sub_dir/module" "$alone" check &&
step "it exports one symbol" exports &&
step "so does a scheduler plugin" $MAKE -C "$sub_dir/plugin" "$alone" CFLAGS="-O2 -g -Wall -Wextra -Werror" &&
step "whose tests pass" $MAKE -C "$sub_dir/plugin" "$alone" check &&
step "the module of docs/module-author.md builds as it stands there" from_docs &&
step "and is one that one would want to load" "$root/bin/orlop" module check "$sub_dir/docs/mine.so" &&
step "so does the controller, with its test, and it holds its contract" controller_from_docs &&
step "orlop module check has nothing to say against the example" sh -c "'$root/bin/orlop' module check '$sub_dir/module/census.so' resource=pods | grep ': 0 wrong, 0 doubtful'" &&
step "and says what is wrong with what is none" refused &&
step "contracts are installed: a scheduler" "$root/bin/orlop" module check --contract "$root/lib/orlop/modules/scheduler/default.so" &&
step "a controller, with a scenario" "$root/bin/orlop" module check --contract --scenario "$root/share/orlop/scenarios/replicaset.scenario" \
	"$root/lib/orlop/modules/controllers/replicaset.so" &&
step "it installs" $MAKE -C "$sub_dir/module" install &&
step "uninstalling Orlop leaves it and nothing else" sh -c "$MAKE -C '$b' -s uninstall && find '$root' -type f" &&
step "nothing else is left" only_ours
finish
