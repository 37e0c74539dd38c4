#!/bin/sh
# Runs each fuzz target with the bug planted for it (core/base/planted.h) until it finds something, at most so many
# seconds, from its seeds only. Says what it found and after how long.
# usage: tests/fuzz/planted.sh SECONDS BUILD/tests/fuzz/planted/TARGET@BUG ...
set -u
seconds=$1
shift
code=0 found=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for p in "$@"; do
	name=$(basename "$p")
	target=fuzz_${name%%@*}
	seeds=tests/fuzz/corpus/$target
	[ -d "$seeds" ] || seeds=
	rm -rf "$work/corpus"
	mkdir "$work/corpus"
	start=$(date +%s)
	rm -f "$work"/crash-* "$work"/leak-* "$work"/timeout-* "$work"/oom-*
	"$p" -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=256 -artifact_prefix="$work/" \
		"$work/corpus" ${seeds:+"$seeds"} >"$work/log" 2>&1
	# What it found is the input that it wrote down: a program that does not even start has found nothing.
	if [ -z "$(find "$work" -maxdepth 1 -name '*-[0-9a-f]*' -type f)" ]; then
		printf 'FAIL  %-30s not found in %s s\n' "$name" "$seconds"
		code=1
	else
		said=$(grep -m 1 -E 'does not hold|runtime error|ERROR: ' "$work/log" | cut -c1-110)
		printf 'ok    %-30s after %s s: %s\n' "$name" "$(($(date +%s) - start))" "$said"
		found=$((found + 1))
	fi
done
echo "$found/$# planted bugs found"
exit $code
