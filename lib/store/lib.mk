l := store
OLIBS += $(l)
$(l)_srcs := items.c snapread.c snapwrite.c txn.c waiters.c
$(l)_deps := base
