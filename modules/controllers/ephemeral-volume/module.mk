m := controllers/ephemeral-volume
MODULES += $(m)
$(m)_srcs := ephemeral.c
$(m)_deps := ctl kube workq json base
$(m)_logic := ephemeral.c
$(m)_tests := test/ephemeral.c
