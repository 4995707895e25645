l := ctl
OLIBS += $(l)
$(l)_srcs := claim.c finalizer.c octl.c removal.c
$(l)_deps := kube workq json base
