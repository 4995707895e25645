# Looking inside a running daemon, and at what a dead one left (kit.py is what they share).
look_programs := $(addprefix tests/look/,bus.py crash.py snapshot.py)
CHECK_SCRIPTS += $(look_programs)
CHECK_LONG_SCRIPTS += tests/look/flips.sh
