# The API as clients see it, from an orlopd of their own with storage and API server (rig.py).
CHECK_LONG_SCRIPTS += $(addprefix tests/api/,kubectl.sh kubectl-old.sh loss.sh errors.py writes.py lists.py watches.py access.py kill9.py hostile.py)
