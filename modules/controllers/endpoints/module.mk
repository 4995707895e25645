m := controllers/endpoints
MODULES += $(m)
$(m)_srcs := endpoints.c subsets.c
$(m)_deps := backends ctl kube workq json base
$(m)_logic := endpoints.c subsets.c
$(m)_tests := test/endpoints.c
