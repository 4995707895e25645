l := replicas
OLIBS += $(l)
$(l)_srcs := oreplicas.c
$(l)_deps := ctl kube workq json base
