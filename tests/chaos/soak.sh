#!/bin/sh
# Chaos with real processes, again and again on fresh seeds until the time is over; prints what ran and what failed.
# usage: tests/chaos/soak.sh SECONDS BUILD
#
# Each run is a minute (CHAOS_SECONDS) with 3 to 5 trackers and 6 to 10 clients; a failing one keeps its folder.
set -u
seconds=$1 build=$2
seed=$(date +%s)
from=$seed end=$((seed + seconds)) runs=0 failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
part=${CHAOS_SECONDS:-60}
[ "$part" -le "$seconds" ] || part=$seconds

while [ "$(date +%s)" -lt "$end" ]; do
	if CHAOS_SEED=$seed CHAOS_SECONDS=$part CHAOS_LONGEST=${CHAOS_LONGEST:-10} CHAOS_TRACKERS=$((3 + seed % 3)) \
		CHAOS_CLIENTS=$((6 + seed % 5)) SHOAL_BUILD=$build timeout $((part + 300)) "$build/shoal" --test tests/chaos/chaos.lua \
		>"$out" 2>&1 </dev/null; then
		grep -hE '^# (seeds|commands|faults|equal|no network|clocks)' "$out"
	else
		failed=$((failed + 1))
		echo "chaos: seed $seed FAILED"
		grep -E '^(not ok|# )' "$out" | head -n 40
	fi
	seed=$((seed + 1)) runs=$((runs + 1))
done
echo "chaos: $runs runs of $part s, from seed $from, $failed failed"
[ "$failed" -eq 0 ] && [ "$runs" -gt 0 ]
