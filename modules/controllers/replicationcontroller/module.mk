m := controllers/replicationcontroller
MODULES += $(m)
$(m)_srcs := replicationcontroller.c
$(m)_deps := replicas ctl kube workq json base
$(m)_logic := replicationcontroller.c
$(m)_tests := test/replicationcontroller.c
