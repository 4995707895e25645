# Benchmarks of the whole; each prints one JSON line a measurement, with the command that repeats it.
tests_bench += bench/storage.c
tests_cppflags += -iquote $(srcdir)/core
