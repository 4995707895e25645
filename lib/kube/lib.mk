l := kube
OLIBS += $(l)
$(l)_srcs := call.c object.c event.c informer.c
$(l)_deps := json base
