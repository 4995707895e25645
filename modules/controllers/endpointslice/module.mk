m := controllers/endpointslice
MODULES += $(m)
$(m)_srcs := endpointslice.c plan.c
$(m)_deps := backends ctl kube workq json base
$(m)_logic := endpointslice.c plan.c
$(m)_tests := test/endpointslice.c
