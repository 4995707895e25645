# Benchmarks of the whole; each prints one JSON line a measurement, with the command that repeats it.
tests_bench += bench/storage.c bench/fanout.c bench/load.c bench/steady.c
tests_cppflags += -iquote $(srcdir)/core
tests_pkgs += openssl libnghttp2
BENCH_SCRIPTS += tests/bench/schedule.sh tests/bench/bus.py tests/bench/replace.sh tests/bench/api.sh tests/bench/pods.sh tests/bench/runtime.py tests/bench/peer.sh tests/bench/crds.py
