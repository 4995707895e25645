m := controllers/garbage-collector
MODULES += $(m)
$(m)_srcs := collector.c decide.c finalize.c graph.c
$(m)_deps := ctl kube workq json base
$(m)_logic := collector.c decide.c finalize.c graph.c
$(m)_tests := test/collect.c
