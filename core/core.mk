# The core: orlopd. The bus and the cache have fragments of their own.
core_srcs := address.c asks.c admin.c admin_change.c change.c config.c config_params.c connect.c control.c core.c crash.c crash-child.c crash-proc.c crash-tell.c daemon.c fdwatch.c feed_in.c feed_out.c feed_past.c feed_send.c feed_slice.c host.c host_bus.c \
	host_cache.c host_feed.c image.c instance.c isolate.c isolate_ask.c isolate_chan.c isolate_child.c isolate_feed.c isolate_keep.c isolate_mail.c isolate_new.c isolate_question.c isolate_relay.c isolate_remote.c isolate_resources.c isolate_serve.c isolate_topics.c isolate_wire.c lead.c loader.c log.c look.c loop.c main.c metrics.c metrics_cache.c modinfo.c net.c netaddr.c param.c reload.c replace.c replace_check.c replacing.c rights.c rights_apply.c rights_seccomp.c spawn.c tap.c \
	timer.c unload.c unload_all.c wants.c watchdog.c work.c
core_tests := test/asks.c test/feed.c test/feed_chance.c test/feed_pipe.c test/wants.c test/isolate.c test/isolate_hang.c test/isolate_wire.c test/isolate_mail.c test/isolate_stream.c test/rights.c test/config.c test/faults.c test/modinfo.c test/log.c test/loop.c test/process.c test/net.c test/host.c test/load.c test/replace.c test/replace_order.c test/control.c test/tap.c test/watchdog.c
core_bench := bench/isolate.c
core_fuzz := fuzz/isolate.c fuzz/feed.c fuzz/config.c fuzz/modinfo.c
CHECK_SCRIPTS += core/test/orlopd.sh
include $(srcdir)/core/bus/bus.mk
include $(srcdir)/core/cache/cache.mk

# Modules that do what modules should not, and a few that do: for the loader's tests, never installed.
core_testmods := $(patsubst $(srcdir)/%.c,%.so,$(sort $(wildcard $(srcdir)/tests/modules/*.c)))
$(core_testmods): %.so: $(srcdir)/%.c .flags
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(all_cppflags) $(CPPFLAGS) $(all_cflags) $(CFLAGS) -MMD -MP $(MODULE_LDFLAGS) $(LDFLAGS) -o $@ $<
core/test/watchdog core/test/isolate_hang core/test/feed core/test/isolate_stream core/test/load core/test/replace core/test/faults core/test/host core/test/modinfo core/test/control core/test/tap core/test/isolate: | $(core_testmods)
check: | $(core_testmods)
-include $(core_testmods:.so=.d)
core/test/isolate core/test/isolate_hang core/bench/isolate: | orlopd $(core_testmods)
