# Over the objects of a snapshot.
l := walk
OLIBS += $(l)
$(l)_srcs := owalk.c
$(l)_deps :=
