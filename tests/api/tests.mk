# The API as clients see it, from an orlopd of their own with storage and API server (rig.py).
api_programs := $(addprefix tests/api/,bodies.py errors.py methods.py jobrules.py options.py podrules.py strict.py writes.py apply.py crd.py crd-convert.py crd-fields.py autoscaling.py kinds.py lists.py watches.py access.py rbac.py rbac_bootstrap.py rights.py quota.py podsecurity.py webhooks.py policies.py classes.py together.py kill9.py hostile.py)
api_programs += $(addprefix tests/api/,aggregator.py devices.py discovery.py flow.py upstream.py csr.py nodes.py protobuf.py operability.py ending.py reviews.py resume.py newkinds.py given.py)
CHECK_LONG_SCRIPTS += $(addprefix tests/api/,fields.py kubectl.sh kubectl-old.sh loss.sh loss-http.sh) $(api_programs)
SANITIZER_SCRIPTS += tests/api/kubectl.sh $(api_programs)
