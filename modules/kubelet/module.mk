# The kubelet: makes this machine run the pods bound to it.
m := kubelet
MODULES += $(m)
$(m)_srcs := $(patsubst $(srcdir)/modules/kubelet/%,%,$(sort $(wildcard $(srcdir)/modules/kubelet/*.c)))
$(m)_deps := kube http tls netlink quantity yaml json base
$(m)_pkgs := libnghttp2 zlib
$(m)_logic := admit.c backoff.c config.c env.c evictrank.c field.c limits.c logline.c manifest.c preempt.c resource.c \
	statprom.c statsummary.c security.c status.c volplan.c
$(m)_tests := $(patsubst $(srcdir)/modules/kubelet/%,%,$(sort $(wildcard $(srcdir)/modules/kubelet/test/*.c)))
