m := controllers/serviceaccount
MODULES += $(m)
$(m)_srcs := ca.c serviceaccount.c tokens.c
$(m)_deps := ctl kube workq json base
$(m)_logic := serviceaccount.c tokens.c
$(m)_tests := test/serviceaccount.c
