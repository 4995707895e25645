# What objects cost of a ResourceQuota: the API server charges it, the controller counts it.
l := quota
OLIBS += $(l)
$(l)_srcs := evaluate.c list.c pod.c
$(l)_deps := base json quantity
$(l)_tests := test/quota.c
