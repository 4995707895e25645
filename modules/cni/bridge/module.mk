m := cni/bridge
MODULES += $(m)
$(m)_srcs := bridge.c lease.c record.c args.c attach.c rules.c store.c mend.c
$(m)_deps := netlink json base
$(m)_logic := lease.c record.c
$(m)_tests := test/lease.c test/record.c
