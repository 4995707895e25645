# What the schema tables mean: decoding, defaults, validation, table rows, discovery, OpenAPI.
l := schema
OLIBS += $(l)
$(l)_srcs := convert.c decode.c defaults.c lookup.c path.c scalar.c
$(l)_deps := base json quantity
