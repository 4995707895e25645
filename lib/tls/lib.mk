# TLS over non-blocking sockets.
l := tls
OLIBS += $(l)
$(l)_srcs := otls.c ctx.c peer.c
$(l)_pkgs := openssl
$(l)_deps := base
$(l)_tests :=
