# Upstream's end-to-end specs, where the suite is given by the environment.
CHECK_LONG_SCRIPTS += tests/conformance/run.sh
