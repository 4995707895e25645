# JSON: as bytes (oscan) and as a tree (ojson, over json-c).
l := json
OLIBS += $(l)
$(l)_srcs := check.c copy.c ojson.c parse.c scan.c write.c
$(l)_pkgs := json-c
$(l)_deps := base
$(l)_tests := test/scan.c test/tree.c test/mutate.c
$(l)_fuzz := fuzz/json.c
