# Label and field selectors.
l := selector
OLIBS += $(l)
$(l)_srcs := field.c names.c parse.c selector.c
$(l)_pkgs :=
$(l)_deps := base json
$(l)_tests := test/selector.c test/mutate.c
$(l)_fuzz := fuzz/selector.c
