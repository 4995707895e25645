# core/bus: the bus. Included by core/core.mk; paths are relative to core/.
core_srcs += bus/arq.c bus/blob.c bus/call.c bus/callrun.c bus/hub.c bus/link.c bus/loss.c bus/name.c \
	bus/parcel.c bus/port.c bus/request.c bus/route.c bus/sock.c bus/stats.c bus/topic.c bus/wire.c
core_tests += bus/test/arq.c bus/test/bus.c bus/test/attach.c bus/test/life.c bus/test/fault.c
core_bench += bus/bench/bus.c
core_fuzz += bus/fuzz/wire.c
