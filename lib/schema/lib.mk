# What the schema tables mean: decoding, defaults, validation, table rows, discovery, OpenAPI.
l := schema
OLIBS += $(l)
$(l)_srcs := lookup.c
$(l)_pkgs := json-c
$(l)_deps := base
$(l)_tests :=
