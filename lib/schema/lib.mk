# What the schema tables mean: decoding, defaults, validation, table rows, discovery, OpenAPI.
l := schema
OLIBS += $(l)
$(l)_srcs := check-common.c check-container.c check-object.c check-pod.c convert.c decode.c defaults.c findings.c \
	format.c lookup.c path.c scalar.c validate.c
$(l)_deps := base json quantity
