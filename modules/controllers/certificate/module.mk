m := controllers/certificate
MODULES += $(m)
$(m)_srcs := authority.c certificate.c signer.c
$(m)_deps := ctl kube workq pki json base
$(m)_pkgs := openssl
