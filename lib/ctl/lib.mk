l := ctl
OLIBS += $(l)
$(l)_srcs := octl.c
$(l)_deps := kube workq json base
