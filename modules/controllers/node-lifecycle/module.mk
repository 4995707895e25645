m := controllers/node-lifecycle
MODULES += $(m)
$(m)_srcs := lifecycle.c taints.c zone.c
$(m)_deps := ctl kube workq json base
$(m)_logic := lifecycle.c taints.c zone.c
$(m)_tests := test/lifecycle.c
