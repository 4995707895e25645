m := controllers/replicaset
MODULES += $(m)
$(m)_srcs := replicaset.c
$(m)_deps := replicas ctl kube workq json base
$(m)_logic := replicaset.c
$(m)_tests := test/replicaset.c
