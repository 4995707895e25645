#!/bin/sh
# The same, for longer, from another beginning.
# run: timeout=400
SIM_SECONDS=${SIM_SECONDS:-120} SIM_SEEDS=${SIM_SEEDS:-100001-900000} exec sh "$(dirname "$0")/seeds.sh"
