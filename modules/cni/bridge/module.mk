m := cni/bridge
MODULES += $(m)
$(m)_srcs := bridge.c lease.c attach.c
$(m)_deps := netlink base
$(m)_logic := lease.c
$(m)_tests := test/lease.c
