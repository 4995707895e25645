m := controllers/namespace
MODULES += $(m)
$(m)_srcs := namespace.c survey.c
$(m)_deps := ctl kube workq json base
$(m)_logic := namespace.c survey.c
$(m)_tests := test/namespace.c
