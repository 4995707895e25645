#!/bin/sh
# run: timeout=3600 alone
# Upstream's own end-to-end specs (specs.txt), on an all-in-one. The suite is not part of this project; where it is:
#   ORLOP_CONFORMANCE         a program: PROGRAM KUBECONFIG --from FILE --out DIR -j N --retry N, which runs the specs of FILE, one a
#                             line, and writes DIR/results.tsv: passed|failed|timeout, seconds, attempt, why, spec
#   ORLOP_CONFORMANCE_IMAGES  a folder of archives with the images that they name
#   ORLOP_CONFORMANCE_JOBS    so many at a time (2)
#   ORLOP_CONFORMANCE_OUT     keep the logs there
. "$(dirname "$0")/../e2e/lib.sh"
[ -n "$ORLOP_CONFORMANCE" ] || skip_all "upstream's suite is not given (ORLOP_CONFORMANCE)"
[ -x "$ORLOP_CONFORMANCE" ] || skip_all "$ORLOP_CONFORMANCE is no program"
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
# Clients of 1.20 wait for the token of each namespace's account.
ok "accounts have Secrets" "$orlop" module set --data-dir "$dir" controllers/serviceaccount token_secrets=true
results=${ORLOP_CONFORMANCE_OUT:-$tmp/results}
"$ORLOP_CONFORMANCE" "$dir/admin.kubeconfig" --from "$srcdir/tests/conformance/specs.txt" --out "$results" \
	-j "${ORLOP_CONFORMANCE_JOBS:-2}" --retry 1 > "$tmp/run.log" 2>&1
# The last word on each counts.
grep -v '^#' "$srcdir/tests/conformance/specs.txt" > "$tmp/specs"
while read -r spec; do
	awk -F '\t' -v s="$spec" '{ t = $5; sub(/ +$/, "", t) } t == s { l = $0 } END { print l }' "$results/results.tsv" > "$out" 2> /dev/null
	grep -q '^passed' "$out"
	result "$(echo "$spec" | tr -d '#')" $?
done < "$tmp/specs"
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
