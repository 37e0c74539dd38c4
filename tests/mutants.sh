#!/bin/sh
# Runs the core simulation with each planted bug (core/base/planted.h) until an oracle notices, and says which one and at
# which seed. A crash does not count: it would say that something is wrong, not what.
# usage: tests/mutants.sh SEEDS BUILD/mutants/NAME/sim_trackers ...
set -u
seeds=$1
shift
out=$(mktemp)
trap 'rm -f "$out"' EXIT
found=0 wanted=0 more=0 wrong=0
for program in "$@"; do
	name=$(basename "$(dirname "$program")")
	many=$seeds
	[ "$name" = gc_uncovered ] && many=$((seeds / 5)) # not to be seen: no need to look for long
	"$program" --first "$many" >"$out" 2>&1
	code=$?
	said=$(sed -n 's/^not ok - seed \([0-9]*\): \[\([a-z]*\)\] \(.*\)/killed by "\2" at seed \1: \3/p' "$out" | head -n 1)
	case $name:$code in
	gc_uncovered:0)
		# While shipping is causal nothing can tell it: docs/testing.md.
		printf 'ok    %-15s not seen in %s seeds, as it must be\n' "$name" "$many"
		continue
		;;
	gc_uncovered:*) said="seen, is shipping still causal? $said" ;;
	reply_early:1 | ack_early:1) more=$((more + 1)) ;; # not of the design's list
	*:1) [ -n "$said" ] && found=$((found + 1)) ;;
	*:0) said="survived $many seeds" ;;
	*) said="crashed (exit $code), which is no finding: $(tail -n 1 "$out")" ;;
	esac
	case $name in gc_uncovered | reply_early | ack_early) ;; *) wanted=$((wanted + 1)) ;; esac
	case $said in
	killed*) ok='ok  ' ;;
	*) ok='FAIL' wrong=1 ;;
	esac
	printf '%s  %-15s %s\n' "$ok" "$name" "$said"
done
echo "$found/$wanted planted bugs of the design's list found, and $more others, each by a named oracle"
[ "$found" -eq "$wanted" ] && [ "$wrong" -eq 0 ]
