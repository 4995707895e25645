# The program `orlop`.
cli_srcs := main.c args.c bus.c certs.c clean.c conf.c crash.c ctl.c daemon.c down.c drain.c image.c look.c module.c ops.c place.c preflight.c \
	proc.c setup.c status.c table.c tap.c up.c wipe.c
cli_deps := base json netlink pki
cli_tests := test/args.c test/setup.c
