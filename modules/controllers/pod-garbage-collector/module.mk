m := controllers/pod-garbage-collector
MODULES += $(m)
$(m)_srcs := podgc.c
$(m)_deps := ctl kube workq json base
$(m)_logic := podgc.c
$(m)_tests := test/podgc.c
