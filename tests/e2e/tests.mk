# All of it together: a daemon of its own in a temporary directory, real containers, kubectl (lib.sh).
CHECK_LONG_SCRIPTS += $(addprefix tests/e2e/,deployment.sh files.sh kill9.sh loss.sh up-errors.sh quickstart.sh)
SANITIZER_SCRIPTS += $(addprefix tests/e2e/,deployment.sh kill9.sh)
