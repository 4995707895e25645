l := kube
OLIBS += $(l)
$(l)_srcs := call.c object.c event.c correlate.c informer.c
$(l)_deps := walk json base
$(l)_tests := test/correlate.c
