m := storage/lmdb
MODULES += $(m)
$(m)_srcs := lmdb.c db.c writer.c group.c read.c compact.c snapshot.c check.c
$(m)_deps := store base
$(m)_pkgs := lmdb
$(m)_tests := test/files.c test/faults.c test/powercut.c
