# The program `orlop`.
cli_srcs := main.c args.c bus.c certs.c check.c clean.c conf.c crash.c ctl.c daemon.c down.c drain.c elffile.c image.c look.c modcheck.c module.c nets.c offline.c ops.c place.c preflight.c \
	proc.c record.c settings.c setup.c snapshot.c status.c table.c tap.c up.c wipe.c
cli_deps := base json kubeconfig netlink pki store
cli_pkgs := libconfig
cli_tests := test/args.c test/setup.c

# What may be stored under which first word: the resources of api/.
cli_gen := known.h
cli/known.h: $(sort $(wildcard $(srcdir)/api/*.schema))
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)awk 'BEGIN { print "/* known.h - made of api/: what may be stored. */\n#ifndef CLI_KNOWN_H\n#define CLI_KNOWN_H\n"; \
		print "static const char *const kinds[] __attribute__((unused)) = {" } \
		$$1 == "group" { g = $$2 == "\"\"" ? "" : "." $$2 } \
		$$1 == "resource" { print "\t\"" $$2 g "\"," } \
		END { print "};\n\n#endif" }' $^ > $@.tmp && mv $@.tmp $@
cli_fuzz := fuzz/elf.c
