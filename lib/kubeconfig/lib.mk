# Kubeconfig files.
l := kubeconfig
OLIBS += $(l)
$(l)_srcs := kubeconfig.c
$(l)_deps := base json yaml
$(l)_tests := test/kubeconfig.c
