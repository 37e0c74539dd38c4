#!/bin/sh
# Runs a simulation with each planted bug (core/base/planted.h) until an oracle notices, and says which one and at
# which seed. A crash does not count: it would say that something is wrong, not what.
# usage: tests/mutants.sh SEEDS BUILD/mutants/NAME/sim_trackers|sim_clients ...   (a fifth of the seeds for sim_clients)
set -u
seeds=$1
shift
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# The fourteen of the design's list that can be found.
design=" stable_logid no_filter_op no_filter_snap no_absent_drop vv_first no_contig partial_rows own_push lww_phase acc_last \
share_last no_tiebreak uploader_first last_claim "
found=0 wanted=0 more=0 wrong=0
for program in "$@"; do
	name=$(basename "$(dirname "$program")")
	many=$seeds
	case $program in */sim_clients) many=$((seeds / 5)) ;; esac
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
	*:1)
		case $said:$design in
		:*) said="failed without an oracle's name" ;;
		*:*" $name "*) found=$((found + 1)) ;;
		*) more=$((more + 1)) ;;
		esac
		;;
	*:0) said="survived $many seeds" ;;
	*) said="crashed (exit $code), which is no finding: $(tail -n 1 "$out")" ;;
	esac
	case $design in *" $name "*) wanted=$((wanted + 1)) ;; esac
	case $said in
	killed*) ok='ok  ' ;;
	*) ok='FAIL' wrong=1 ;;
	esac
	printf '%s  %-15s %s\n' "$ok" "$name" "$said"
done
echo "$found/$wanted planted bugs of the design's list found, and $more others, each by a named oracle"
[ "$found" -eq "$wanted" ] && [ "$wrong" -eq 0 ]
