# Memory, buffers, maps, files, time: what everything else stands on.
l := base
OLIBS += $(l)
$(l)_srcs := oarena.c obuf.c oenc.c ofile.c ohash.c omap.c omem.c osha256.c ostr.c otime.c outf8.c
$(l)_pkgs :=
$(l)_deps :=
$(l)_tests := test/buf.c test/enc.c test/file.c test/map.c test/time.c
