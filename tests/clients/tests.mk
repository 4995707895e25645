# Client libraries of other people; each test skips without its library.
CHECK_LONG_SCRIPTS += $(addprefix tests/clients/,python.py node.sh go.sh kubectl.sh curl.sh)
