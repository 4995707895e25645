#!/bin/sh
# run: timeout=3600 alone
# Upstream's own end-to-end specs (specs.txt), on an all-in-one. lib.sh says where the suite comes from.
. "$(dirname "$0")/../e2e/lib.sh"
. "$(dirname "$0")/lib.sh"
need_suite
need conmon runtime skopeo kubectl

# shellcheck disable=SC2317 # by ok
images()
{
	for archive in "${ORLOP_CONFORMANCE_IMAGES:-/nonexistent}"/*.tar; do
		[ ! -e "$archive" ] || "$orlop" image import --data-dir "$dir" "$archive" || return 1
	done
}

# shellcheck disable=SC2086 # a list
ok "up" up $UP_OPTIONS || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
# Nowhere but in their archives are the images: they stay, however full the disk is, and nobody is evicted for it.
ok "no images are collected" "$orlop" module replace --data-dir "$dir" kubelet image_gc_high_threshold=100 \
	'eviction_hard=memory.available<100Mi'
ok "images" images
old_accounts
suite specs
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
