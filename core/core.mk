# The core: orlopd. The bus and the cache have fragments of their own.
core_srcs := address.c admin.c config.c connect.c control.c core.c crash.c daemon.c fdwatch.c host.c host_bus.c \
	host_cache.c image.c instance.c lead.c loader.c log.c loop.c main.c metrics.c modinfo.c net.c spawn.c \
	timer.c unload.c work.c
core_tests :=
core_bench :=
core_fuzz :=
include $(srcdir)/core/bus/bus.mk
include $(srcdir)/core/cache/cache.mk
