m := controllers/pvc-protection
MODULES += $(m)
$(m)_srcs := protection.c
$(m)_deps := ctl kube workq json base
$(m)_logic := protection.c
$(m)_tests := test/protection.c
