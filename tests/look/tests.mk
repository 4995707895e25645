# Looking inside a running daemon, and at what a dead one left (kit.py is what they share).
look_programs := $(addprefix tests/look/,crash.py)
CHECK_SCRIPTS += $(look_programs)
