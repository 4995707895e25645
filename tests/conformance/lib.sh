# Sourced by the tests beside it, after e2e/lib.sh: upstream's suite and what it says. The suite is not part of this project; where it is:
#   ORLOP_CONFORMANCE         a program: PROGRAM KUBECONFIG --from FILE --out DIR -j N --retry N, which runs the specs of FILE, one a
#                             line, and writes DIR/results.tsv: passed|failed|timeout, seconds, attempt, why, spec
#   ORLOP_CONFORMANCE_IMAGES  a folder of archives with the images that they name
#   ORLOP_CONFORMANCE_JOBS    so many at a time (2)
#   ORLOP_CONFORMANCE_OUT     keep the logs there, in a folder for each list

need_suite()
{
	[ -n "$ORLOP_CONFORMANCE" ] || skip_all "upstream's suite is not given (ORLOP_CONFORMANCE)"
	[ -x "$ORLOP_CONFORMANCE" ] || skip_all "$ORLOP_CONFORMANCE is no program"
}
# Clients of 1.20 wait for the token of each namespace's account.
old_accounts()
{
	ok "accounts have Secrets" "$orlop" module set --data-dir "$dir" controllers/serviceaccount token_secrets=true
}
suite()	# LIST: every spec of it is a result
{
	results=${ORLOP_CONFORMANCE_OUT:-$tmp/results}/$1
	mkdir -p "$results"
	"$ORLOP_CONFORMANCE" "$dir/admin.kubeconfig" --from "$srcdir/tests/conformance/$1.txt" --out "$results" \
		-j "${ORLOP_CONFORMANCE_JOBS:-2}" --retry 1 > "$tmp/run.log" 2>&1
	grep -v '^#' "$srcdir/tests/conformance/$1.txt" > "$tmp/list"
	# The last word on each counts.
	while read -r spec; do
		awk -F '\t' -v s="$spec" '{ t = $5; sub(/ +$/, "", t) } t == s { l = $0 } END { print l }' "$results/results.tsv" \
			> "$out" 2> /dev/null
		grep -q '^passed' "$out"
		result "$(echo "$spec" | tr -d '#')" $?
	done < "$tmp/list"
}
