# Upstream's end-to-end suite, where it is given by the environment.
CHECK_LONG_SCRIPTS += tests/conformance/run.sh tests/conformance/api.sh
