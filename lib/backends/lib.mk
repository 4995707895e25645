l := backends
OLIBS += $(l)
$(l)_srcs := obackends.c
$(l)_deps := ctl kube workq json base
