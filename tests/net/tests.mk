# The pod network with real packets, in namespaces of the test's own.
CHECK_LONG_SCRIPTS += tests/net/bridge.py
