# The machine: what it survives, and Orlop as a service of it.
CHECK_LONG_SCRIPTS += $(addprefix tests/system/,killall.sh reboot.sh service.sh trouble.sh)
