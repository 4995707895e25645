# The API server: HTTP front, authentication and authorization, admission, registry.
m := apiserver
MODULES += $(m)
$(m)_srcs := $(patsubst $(srcdir)/modules/apiserver/%,%,$(sort $(wildcard $(srcdir)/modules/apiserver/*.c \
	$(srcdir)/modules/apiserver/auth/*.c $(srcdir)/modules/apiserver/http/*.c \
	$(srcdir)/modules/apiserver/admission/*.c $(srcdir)/modules/apiserver/registry/*.c)))
$(m)_deps := apimsg apischema base crd http json patch pki quantity quota record schema selector tls walk yaml
$(m)_pkgs := zlib
$(m)_logic := http/accept.c http/protobuf.c http/route.c
$(m)_tests := $(patsubst $(srcdir)/modules/apiserver/%,%,$(sort $(wildcard $(srcdir)/modules/apiserver/test/*.c)))
$(m)_fuzz := fuzz/coded.c fuzz/links.c fuzz/podsecurity.c fuzz/protobuf.c fuzz/rbac.c fuzz/request.c fuzz/webhook.c
$(m)_bench := bench/engine.c bench/rbac.c
