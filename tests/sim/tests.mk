# The simulation host, the modules that only it has, the simulated cluster, and tests of the host itself.

sim_srcs := clock.c disk.c fd.c machine.c net.c nn.c pki.c proc.c thread.c uv.c world.c
sim_host_objs := $(sim_srcs:%.c=tests/sim/%.o)
sim_cluster_objs := $(patsubst $(srcdir)/%.c,%.o,$(sort $(wildcard $(srcdir)/tests/sim/cluster/*.c)))
sim_tests := $(patsubst $(srcdir)/%.c,%,$(sort $(wildcard $(srcdir)/tests/sim/test/*.c)))
sim_core_objs = $(filter-out core/main.o core/image.o,$(patsubst %.c,core/%.o,$(core_srcs)))
sim_modules := $(patsubst %,tests/sim/modules/%.so,far-storage far-api runtime cni)
sim_bench := $(patsubst $(srcdir)/%.c,%,$(sort $(wildcard $(srcdir)/tests/sim/bench/*.c)))
sim_programs := tests/sim/cluster/cluster $(sim_tests) $(sim_bench)
sim_cppflags = $(all_cppflags) $(dir_cppflags) -I$(srcdir)/core -I$(srcdir)/tests/sim -I$(srcdir)/tests $(libuv_CFLAGS) $(LIBUV_CFLAGS)

sim_compile = @mkdir -p $(@D) && $(CC) $(sim_cppflags) $(CPPFLAGS) $(all_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<
$(sim_host_objs) $(sim_cluster_objs) $(sim_tests:=.o) $(sim_bench:=.o): %.o: $(srcdir)/%.c .flags
	$(call say,CC,$@)
	$(Q)$(subst @mkdir,mkdir,$(sim_compile))
# What simulated modules use of the program. The calls that the host defines are inline functions in fortified headers.
$(sim_host_objs) $(sim_cluster_objs): private CFLAGS += -fvisibility=default -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0

# A file of modules is mapped once for all simulated processes: copies of it would only cost.
tests/sim/image.o: $(srcdir)/core/image.c .flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(sim_cppflags) -DKEEP_MAPPED=1 $(CPPFLAGS) $(all_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

# What the program defines takes the place of the libraries' also for modules: it must be exported, and neither
# libuv nor nanomsg may be there.
sim_link = $(CC) $(all_cflags) $(CFLAGS) -pie -Wl,-z,now -Wl,--export-dynamic $(HARDEN_LDFLAGS) $(LDFLAGS) -o $@ \
	$(filter %.o,$^) $(group_start) $(filter %.a,$^) $(group_end) -lconfig -ljson-c $(DL_LIBS) -lm $(LIBS)
$(sim_programs): $(sim_host_objs) tests/sim/image.o $(sim_core_objs) lib/json.a lib/base.a
tests/sim/cluster/cluster: $(sim_cluster_objs)
$(sim_tests) $(sim_bench): %: %.o
$(sim_bench): tests/sim/cluster/machine.o
$(sim_programs):
	$(call say,LD,$@)
	$(Q)$(sim_link)

$(sim_modules): .flags lib/json.a lib/base.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(sim_cppflags) $(CPPFLAGS) $(all_cflags) $(CFLAGS) $(sim_module_flags) -MMD -MP \
		$(filter-out -Wl$(comma)-z$(comma)defs,$(MODULE_LDFLAGS)) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(group_start) $(filter %.a,$^) $(group_end) -ljson-c
tests/sim/modules/far-storage.so tests/sim/modules/far-api.so: $(srcdir)/tests/sim/modules/far.c
tests/sim/modules/far-api.so: private sim_module_flags := -DFAR_API
tests/sim/modules/runtime.so: $(srcdir)/tests/sim/modules/runtime.c
tests/sim/modules/cni.so: $(srcdir)/tests/sim/modules/cni.c modules/cni/bridge/lease.o modules/cni/bridge/record.o
$(sim_programs): | $(sim_modules)

-include $(sim_host_objs:.o=.d) $(sim_cluster_objs:.o=.d) $(sim_tests:=.d) $(sim_bench:=.d) $(sim_modules:.so=.d) tests/sim/image.d

# One seed again, with its trace: make sim SEED=7
.PHONY: sim
SEED ?= 1
sim: all $(sim_programs)
	builddir='$(abs_builddir)' tests/sim/cluster/cluster --seed $(SEED) $(if $(STEPS),--steps $(STEPS)) $(SIMFLAGS)

check check-long: $(sim_programs)
bench: $(sim_bench)
BENCH_SCRIPTS += tests/sim/bench.sh
# A simulated cluster is one thread: nothing in it for the thread sanitizer.
CHECK_SCRIPTS += tests/sim/host.sh $(if $(filter %thread,$(sanitizers)),,tests/sim/seeds.sh)
CHECK_LONG_SCRIPTS += tests/sim/seeds-long.sh tests/sim/mutants/run
