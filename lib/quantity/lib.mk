# resource.Quantity.
l := quantity
OLIBS += $(l)
$(l)_srcs := oquantity.c
$(l)_pkgs :=
$(l)_deps := base
$(l)_tests := test/quantity.c
