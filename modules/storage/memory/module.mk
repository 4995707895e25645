m := storage/memory
MODULES += $(m)
$(m)_srcs := memory.c snapshot.c
$(m)_deps := store base
