# The work queue of controllers, on the host's timers.
l := workq
OLIBS += $(l)
$(l)_srcs := oworkq.c
$(l)_pkgs :=
$(l)_deps := base
$(l)_tests := test/workq.c
