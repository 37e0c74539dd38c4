#!/bin/sh
# Runs each fuzz target for a number of seconds, keeping its corpus: tests/fuzz/run.sh SECONDS PROGRAM ...
set -eu
seconds=$1
shift
code=0
for p in "$@"; do
	corpus=$(dirname "$p")/corpus-$(basename "$p")
	mkdir -p "$corpus"
	if "$p" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$corpus/" "$corpus" >"$p.log" 2>&1; then
		echo "ok    $(basename "$p"): $(grep -E 'number_of_executed_units' "$p.log" | grep -oE '[0-9]+$') runs"
	else
		echo "FAIL  $(basename "$p")"
		tail -n 30 "$p.log"
		code=1
	fi
done
exit $code
