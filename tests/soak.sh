#!/bin/sh
# Runs the simulations on seeds that nobody has seen, until the time is over, and prints what ran.
# usage: tests/soak.sh SECONDS BUILD
#
# Half of the time goes to the core and to the full simulation side by side, on two cores, a sixth to stores on a disk
# that loses power, a sixth to real processes (tests/chaos); the planted bugs are looked for in what is left.
set -u
seconds=$1 build=$2
from=$(date +%s)000
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bad=0

tell() {
	grep -E '^(not ok|# )' "$1" | grep -v 'SKIP'
}

part=$((seconds / 2))
"$build/tests/sim/sim_trackers" --for "$part" "$from" >"$out/core" 2>&1 &
core=$!
"$build/tests/sim/sim_clients" --for "$part" "$from" >"$out/full" 2>&1 || bad=1
wait "$core" || bad=1
echo "core simulation, from seed $from:"
tell "$out/core"
echo "full simulation, from seed $from:"
tell "$out/full"

if [ -x "$build/tests/sim/sim_store" ]; then
	end=$(($(date +%s) + seconds / 6)) life=$from lives=0
	while [ "$(date +%s)" -lt "$end" ]; do
		"$build/tests/sim/sim_store" "$life" >"$out/store" 2>&1 || { bad=1; tail -n 5 "$out/store"; }
		life=$((life + 1)) lives=$((lives + 1))
	done
	echo "stores on a disk that loses power: $lives lives, from $from"
fi

tests/chaos/soak.sh "$((seconds / 6))" "$build" || bad=1

tests/mutants.sh 2000 "$build"/mutants/*/sim_trackers "$build"/mutants/*/sim_clients || bad=1
echo "soak: $(($(date +%s) - ${from%000})) s, $([ "$bad" -eq 0 ] && echo well || echo FAILED)"
exit "$bad"
