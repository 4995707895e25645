#!/bin/sh
# configure's options: modules left out by name or for want of a library, and mistakes refused.
# run: timeout=300
. "$(dirname "$0")/sub.sh"

says()		# pattern, status expected (0/1), configure options
{
	pattern=$1 want=$2
	shift 2
	rm -rf "$sub_dir/b"
	(configure_in "$sub_dir/b" CC="$CC" -C --cache-file="$sub_dir/cache" "$@") > "$sub_dir/said" 2>&1
	got=$?
	[ $got -le 1 ] && [ $got = "$want" ] && grep -E "$pattern" "$sub_dir/said" || { tail -n 20 "$sub_dir/said"; false; }
}
m=$(cd "$srcdir" && ls modules/*/module.mk modules/*/*/module.mk 2>/dev/null | sed 's|^modules/||; s|/module.mk$||' | head -n 1)
o=$(echo "$m" | tr / -)
step "a plain configure lists modules" says '^  modules ' 0
step "--without-$o leaves it out and says why" says "left out +$m .*--without-$o" 0 "--without-$o"
step "--without-something unknown is refused" says 'no module or library of that name' 1 --without-modulo
step "--with-$o with nothing to build it is refused, or builds" says "modules .*$m|cannot be built" 0 "--with-$o"
step "a module drops out with its library" says 'left out +storage/lmdb .*no lmdb' 0 --without-lmdb
step "--with-storage-lmdb insists" says 'storage-lmdb: cannot be built: no lmdb' 1 --without-lmdb --with-storage-lmdb
step "the core insists on libuv" says 'libuv is needed' 1 --without-libuv
step "an unknown sanitizer is refused" says 'none of address' 1 --enable-sanitizer=adress
step "address and thread exclude each other" says 'exclude each other' 1 --enable-sanitizer=address,thread
in_tree()
{
	mkdir "$sub_dir/tree" && cd "$sub_dir/tree" && ln -s "$srcdir"/[!bM]* "$srcdir/Makefile.in" . && rm configure && cp "$srcdir/configure" . &&
		./configure CC="$CC" CFLAGS="-O1 -g1" > said 2>&1 && ! grep 'rm:' said && [ -f build/config.status ] && [ ! -e config.log ] &&
		grep '^CFLAGS.*-O1 -g1' build/Makefile
}
handed_on()
{
	printf 'check install:\n\t@echo $@ "$(DESTDIR)"\n' > build/Makefile && $MAKE check install DESTDIR=here > said &&
		[ "$(cat said)" = "check $sub_dir/tree/here
install $sub_dir/tree/here" ] && $MAKE distclean && [ ! -e Makefile ] && [ ! -e build ]
}
step "in the source tree configure builds in build/" in_tree
cd "$sub_dir/tree" && step "its Makefile hands every goal on" handed_on
finish
