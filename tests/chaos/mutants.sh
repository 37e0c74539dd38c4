#!/bin/sh
# Runs tests/chaos against trackers with planted bugs (core/base/planted.h), one bug at a time, until a run fails, and says
# at which seed and by what complaint. A tracker that died is no finding: that says that something is wrong, not what.
# usage: tests/chaos/mutants.sh SEEDS BUILD NAME ...
set -u
seeds=$1 build=$2
shift 2
out=$(mktemp)
trap 'rm -f "$out"' EXIT
found=0 wanted=0

# The first complaint of a failed run, without what it printed before.
complaint() {
	sed -n '/^not ok/,$p' "$out" | sed -n 's/^# //p' | head -n 1
}

for name in "$@"; do
	seed=0 said=''
	wanted=$((wanted + 1))
	while [ -z "$said" ] && [ "$seed" -lt "$seeds" ]; do
		seed=$((seed + 1))
		CHAOS_SEED=$seed CHAOS_SECONDS=${CHAOS_SECONDS:-15} CHAOS_LONGEST=${CHAOS_LONGEST:-3} CHAOS_TRACKERS=4 CHAOS_CLIENTS=8 \
			CHAOS_KEEP=no SHOAL_TEST_CASE=chaos SHOAL_BUILD=$build CHAOS_TRACKER=$build/chaos-mutants/$name/shoal-tracker \
			timeout 300 "$build/shoal" --test tests/chaos/chaos.lua >"$out" 2>&1 </dev/null || said=$(complaint)
	done
	case $said in
	*'ended by itself'* | *'does not start again'*) said="DIED, which is no finding: $said" ;;
	?*) found=$((found + 1)) ;;
	esac
	if [ -n "$said" ]; then
		printf '%-15s seed %s: %.140s\n' "$name" "$seed" "$said"
	else
		printf '%-15s not found in %s seeds\n' "$name" "$seeds"
	fi
done
echo "chaos found $found of $wanted planted bugs"
