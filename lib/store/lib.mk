l := store
OLIBS += $(l)
$(l)_srcs := items.c txn.c waiters.c
$(l)_deps := base
