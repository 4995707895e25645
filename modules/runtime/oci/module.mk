m := runtime/oci
MODULES += $(m)
$(m)_srcs := oci.c handler.c proc.c state.c sandbox.c container.c create.c conmon.c stop.c monitor.c spec.c spec-linux.c seccomp.c \
	devices.c security.c execfind.c user.c exec.c exectty.c attach.c forward.c stats.c update.c events.c cgroup.c shelter.c \
	image.c imagevol.c pull.c import.c registry.c imgref.c rootfs.c reply.c orphan.c
$(m)_deps := json base
$(m)_logic := imgref.c spec.c spec-linux.c seccomp.c
$(m)_tests := test/imgref.c test/spec.c
$(m)_fuzz := fuzz/documents.c

# Namespaces that need a process with one thread; the first process of a shared PID namespace.
HELPERS += oci-pause
oci-pause_from := modules/runtime/oci
oci-pause_srcs := pause-main.c

# Unpacks images in a short-lived process of its own: only there are libarchive and libcrypto loaded.
HELPERS += oci-unpack
oci-unpack_from := modules/runtime/oci
oci-unpack_srcs := unpack-main.c unpack-layer.c unpack-inspect.c
oci-unpack_deps := json base
oci-unpack_pkgs := libarchive openssl
oci-unpack_fuzz := fuzz/unpack.c
