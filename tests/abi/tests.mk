# The promise to module authors: what is frozen stays loadable.
CHECK_SCRIPTS += tests/abi/compare.sh tests/abi/frozen.py
