# The built-in API as constant tables, made from api/*.schema; and the same with the versions in api/old.
l := apischema
OLIBS += $(l)
$(l)_srcs :=
$(l)_gen := builtin.c old.c
$(l)_deps := schema
$(l)_tests := test/decode.c test/discovery.c test/rows.c test/validate.c
$(l)_fuzz := fuzz/object.c

apischema_schemas := $(sort $(wildcard $(srcdir)/api/*.schema))
lib/apischema/builtin.c: tools/bin/schemac $(apischema_schemas)
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)tools/bin/schemac -o $@ -i apischema/apischema.h $(apischema_schemas)

apischema_old := $(apischema_schemas) $(sort $(wildcard $(srcdir)/api/old/*.schema))
lib/apischema/old.c: tools/bin/schemac $(apischema_old)
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)tools/bin/schemac -o $@ -i apischema/apischema.h -s oschema_old $(apischema_old)
