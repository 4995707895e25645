# All of it together: a daemon of its own in a temporary directory, real containers, kubectl (lib.sh).
CHECK_LONG_SCRIPTS += $(addprefix tests/e2e/,containers.sh deployment.sh files.sh isolate.sh isolate-watch.sh kill9.sh loss.sh replace.sh replace-all.sh lesson.sh up-errors.sh uplink.sh uplink-isolate.sh uplink-upstream.sh quickstart.sh scheduler.sh)
CHECK_LONG_SCRIPTS += tests/e2e/pods.sh tests/e2e/streams.sh
# Not under the thread sanitizer: its runtime takes the child of clone(CLONE_VM | CLONE_VFORK) for the
# thread that waits for it, and from then on reports what locks order.
SANITIZER_SCRIPTS += $(if $(filter %thread,$(sanitizers)),,$(addprefix tests/e2e/,deployment.sh kill9.sh))
# What the kubelet promises: volumes; the machine's use, limits and pressure.
CHECK_LONG_SCRIPTS += tests/e2e/leaks.sh tests/e2e/node.sh tests/e2e/rights.sh tests/e2e/security.sh tests/e2e/volumes.sh
