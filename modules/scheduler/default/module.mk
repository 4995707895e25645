# The default scheduler: resources, node name and selector, taints and tolerations, host ports.
m := scheduler/default
MODULES += $(m)
$(m)_srcs := default.c explain.c write.c report.c decide.c diag.c filter.c node.c queue.c requests.c score.c spec.c
$(m)_deps := kube json quantity base
$(m)_logic := decide.c diag.c filter.c node.c queue.c requests.c score.c spec.c
$(m)_tests := test/logic.c test/mutate.c test/queue.c test/module.c
$(m)_bench := bench/decide.c
$(m)_fuzz := fuzz/objects.c
