# The messages of the address "api", for whoever answers there.
l := apimsg
OLIBS += $(l)
$(l)_srcs := apimsg.c
$(l)_deps := base
