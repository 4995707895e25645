# Programs that the build runs.
TOOLS += schemac
schemac_srcs := schemac/main.c schemac/parse.c schemac/resource.c schemac/link.c schemac/emit.c schemac/util.c
schemac_tests := schemac/test/errors.c
