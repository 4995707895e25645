# HTTP/1.1 and HTTP/2 server, HTTP/1.1 client, WebSocket and SPDY/3.1, on the host's loop.
l := http
OLIBS += $(l)
$(l)_srcs := h1.c h2.c oclient.c oforward.c oh1.c oremote.c ospdy.c ostream.c outq.c ows.c req.c server.c splice.c util.c
$(l)_pkgs := libnghttp2 openssl zlib
$(l)_deps := base tls
$(l)_test_deps := pki
$(l)_tests := test/faults.c test/h1parse.c test/outq.c test/remote.c test/secure.c test/server.c test/spdy.c test/ws.c
$(l)_fuzz := fuzz/h1.c fuzz/remote.c fuzz/spdy.c fuzz/ws.c
