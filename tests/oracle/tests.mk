# The same requests to upstream's API server, as recorded, and to ours (replay.py).
CHECK_LONG_SCRIPTS += tests/oracle/replay.py
SANITIZER_SCRIPTS += tests/oracle/replay.py
# The same of thousands of objects with one field wrong (mutants.py).
CHECK_LONG_SCRIPTS += tests/oracle/mutants.py
