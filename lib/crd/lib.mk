# What a CustomResourceDefinition means: its schema as a program, its resources as tables.
l := crd
OLIBS += $(l)
$(l)_srcs := node.c take.c check.c format.c re.c re-match.c tables.c types.c define.c versions.c look.c rules.c structural.c defaults.c merge.c openapi.c openapi-v2.c
$(l)_deps := base json schema
$(l)_tests := test/check.c test/define.c test/openapi.c test/re.c
$(l)_fuzz := fuzz/crd.c fuzz/re.c
$(l)_test_deps := apischema
