# PATCH in its three forms, and managedFields.
l := patch
OLIBS += $(l)
$(l)_srcs := apply.c entries.c fields.c fields-json.c fields-walk.c jsonpatch.c managed.c merge.c place.c strategic.c \
	strategic-list.c typed-check.c typed-merge.c typed-remove.c
$(l)_pkgs :=
$(l)_deps := base json schema
$(l)_tests := test/apply.c test/jsonpatch.c test/strategic.c test/managed.c test/mutate.c
$(l)_fuzz := fuzz/patch.c fuzz/apply.c
