#!/bin/sh
# Runs each fuzz target for a number of seconds: tests/fuzz/run.sh SECONDS PROGRAM ...
# Its seeds are tests/fuzz/corpus/<target>/; what it finds stays beside the program, in corpus-<target>/: inputs that
# reach something new, and crash-*, leak-*, timeout-* if it fails. PROGRAM FILE runs one input again.
set -eu
seconds=$1
shift
code=0
for p in "$@"; do
	name=$(basename "$p")
	corpus=$(dirname "$p")/corpus-$name
	mkdir -p "$corpus"
	seeds=tests/fuzz/corpus/$name
	[ -d "$seeds" ] || seeds=
	if "$p" -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$corpus/" \
		"$corpus" ${seeds:+"$seeds"} >"$p.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$p.log")
		cov=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$p.log" | tail -n 1)
		echo "ok    $name: $runs runs, $cov"
	else
		echo "FAIL  $name"
		grep -vE '^(#[0-9]|INFO:|stat::)' "$p.log" | tail -n 40
		code=1
	fi
done
exit $code
