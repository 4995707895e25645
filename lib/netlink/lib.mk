l := netlink
OLIBS += $(l)
$(l)_srcs := sock.c link.c addr.c addr6.c tc.c watch.c batch.c nft.c nftport.c flow.c
$(l)_deps := base
$(l)_pkgs := libmnl
$(l)_tests := test/netlink.c test/ports.c
