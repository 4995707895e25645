# YAML, by libyaml.
l := yaml
OLIBS += $(l)
$(l)_srcs := parse.c resolve.c write.c
$(l)_pkgs := yaml-0.1
$(l)_deps := base json
$(l)_tests := test/yaml.c test/mutate.c
$(l)_fuzz := fuzz/yaml.c
