# PATCH in its three forms, and managedFields.
l := patch
OLIBS += $(l)
$(l)_srcs := fields.c fields-json.c fields-walk.c jsonpatch.c managed.c merge.c strategic.c strategic-list.c
$(l)_pkgs :=
$(l)_deps := base json schema
$(l)_tests := test/jsonpatch.c test/strategic.c test/managed.c test/mutate.c
$(l)_fuzz := fuzz/patch.c
