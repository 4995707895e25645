m := controllers/taint-eviction
MODULES += $(m)
$(m)_srcs := eviction.c tolerate.c
$(m)_deps := ctl kube workq json base
$(m)_logic := eviction.c tolerate.c
$(m)_tests := test/eviction.c
