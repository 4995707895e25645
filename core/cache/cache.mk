# The cache and what feeds it; included by core/core.mk.
core_srcs += cache/cache.c cache/object.c cache/tree.c cache/generation.c cache/journal.c cache/writer.c \
	cache/reader.c cache/info.c cache/resource.c cache/wake.c cache/feeder.c cache/feed.c cache/past.c
core_tests += cache/test/object.c cache/test/tree.c cache/test/cache.c cache/test/threads.c cache/test/feeder.c cache/test/feed.c
core_bench += cache/bench/cache.c
core_fuzz += cache/fuzz/record.c
