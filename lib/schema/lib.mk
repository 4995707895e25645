# What the schema tables mean: decoding, defaults, validation, table rows, discovery, OpenAPI.
l := schema
OLIBS += $(l)
$(l)_srcs := cells.c cells-custom.c cells-kinds.c cells-pod.c check-common.c check-apiservice.c check-autoscaler.c check-condition.c check-container.c check-device.c check-downward.c check-event.c check-flow.c check-job.c check-kinds.c check-webhook.c \
	check-node.c check-object.c check-pod.c check-podchange.c check-podrules.c check-policy.c check-network.c check-quota.c check-rbac.c check-resource.c check-storage.c check-volume.c convert.c convert-hpa.c convert-old.c decode.c \
	defaults.c defaults-kinds.c discovery.c findings.c format.c lookup.c openapi.c \
	openapi-paths.c openapi-proto.c path.c rows.c scalar.c seen.c validate.c
$(l)_deps := base json quantity
