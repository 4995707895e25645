# Keys, certificates, tokens, kubeconfig.
l := pki
OLIBS += $(l)
$(l)_srcs := cert.c issue.c jwt.c key.c request.c
$(l)_pkgs := openssl
$(l)_deps := base
$(l)_tests := test/pki.c
$(l)_fuzz := fuzz/request.c fuzz/token.c
