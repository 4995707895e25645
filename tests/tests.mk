# What the tests share, and the tests that are scripts or need more than one part. Included by Makefile.in.
#
# A script names its needs in comments near its top:
#	# run: timeout=120 alone      seconds allowed (default 60); not beside other tests
# It finds srcdir and builddir in the environment and prints TAP.

# Linked into every test program, with the fake host: all that stands in tests/support/.
support_srcs := $(patsubst $(srcdir)/tests/support/%,%,$(sort $(wildcard $(srcdir)/tests/support/*.c)))
support_deps := base

# The walls: what the architecture forbids, as checks (tools/test-walls proves that each can fail).
walls := $(patsubst $(srcdir)/%,%,$(sort $(wildcard $(srcdir)/tools/check-*)))

CHECK_LONG_SCRIPTS += tools/test-walls
