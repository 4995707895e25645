# The default scheduler: upstream's plugins, and those of modules (class scheduler-plugin).
m := scheduler/default
MODULES += $(m)
$(m)_srcs := default.c claims.c follow.c owners.c preempting.c plugin.c profiles.c metrics.c explain.c write.c report.c affinity.c \
	cycle.c decide.c diag.c disk.c filter.c labels.c match.c node.c place.c preempt.c profile.c queue.c requests.c restrict.c score.c spec.c spread.c \
	terms.c topology.c volume.c
$(m)_deps := kube json quantity base
$(m)_logic := affinity.c cycle.c decide.c diag.c disk.c filter.c labels.c match.c node.c place.c preempt.c profile.c queue.c requests.c \
	restrict.c score.c spec.c spread.c terms.c topology.c volume.c
$(m)_tests := test/logic.c test/mutate.c test/near.c test/preempt.c test/profile.c test/queue.c test/volume.c test/module.c
$(m)_bench := bench/decide.c
$(m)_fuzz := fuzz/objects.c
