l := netlink
OLIBS += $(l)
$(l)_srcs := sock.c link.c addr.c nft.c
$(l)_deps := base
$(l)_pkgs := libmnl
$(l)_tests := test/netlink.c
