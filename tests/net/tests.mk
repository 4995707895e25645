# The pod network with real packets, in namespaces of the test's own: the module alone, and a machine with it.
CHECK_LONG_SCRIPTS += tests/net/bridge.py tests/net/machine.sh
