m := storage/memory
MODULES += $(m)
$(m)_srcs := memory.c
$(m)_deps := store base
