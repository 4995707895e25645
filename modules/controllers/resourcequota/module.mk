m := controllers/resourcequota
MODULES += $(m)
$(m)_srcs := resourcequota.c
$(m)_deps := ctl kube workq quota quantity json base
$(m)_logic := resourcequota.c
$(m)_tests := test/resourcequota.c
