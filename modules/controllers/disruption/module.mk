m := controllers/disruption
MODULES += $(m)
$(m)_srcs := disruption.c
$(m)_deps := ctl kube workq json base
$(m)_logic := disruption.c
$(m)_tests := test/disruption.c
