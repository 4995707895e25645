# A process without storage and API server works against a remote one: ours or upstream's.
m := uplink
MODULES += $(m)
$(m)_srcs := api.c config.c decode.c discover.c follow.c lease.c remote.c slices.c uplink.c wait.c
$(m)_deps := apimsg apischema base http json kubeconfig record schema selector tls
$(m)_logic := decode.c
$(m)_test_deps := pki
$(m)_tests := test/api.c test/decode.c test/faults.c test/follow.c test/lease.c
$(m)_fuzz := fuzz/stream.c
