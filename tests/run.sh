#!/bin/sh
# Runs unit tests, simulations and scenarios, one after the other; prints a line each and what a failing one said.
# usage: tests/run.sh PROGRAM|SCENARIO.lua ...     B: the build folder; KEEP=1 goes on after a failure
set -u
B=${B:-build}
case ${1:-} in "$B"/*|"") ;; */tests/*) B=${1%%/tests/*} ;; esac
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0 failed=0
start=$(date +%s)
for t in "$@"; do
	case $t in
	*.lua) set -- "$B/shoal" --test "$t" ;;
	*) set -- "$t" ;;
	esac
	before=$(date +%s)
	# A simulation that does not say how much it ran, or what it met, has not shown anything.
	case $t in */tests/sim/*) must='^# seeds|^# sometimes' ;; *) must='' ;; esac
	if SHOAL_BUILD=$B timeout "${TEST_TIMEOUT:-180}" "$@" >"$out" 2>&1 </dev/null &&
		{ [ -z "$must" ] || [ "$(grep -cE "$must" "$out")" -ge 2 ]; }; then
		passed=$((passed + 1))
		printf 'ok    %s (%s s)\n' "$t" "$(($(date +%s) - before))"
		grep -E '^(# )?(seeds|sometimes)' "$out" || true
	else
		code=$?
		failed=$((failed + 1))
		printf 'FAIL  %s (exit %s)\n' "$t" "$code"
		sed 's/^/      /' "$out" | tail -n 60
	fi
done
echo "in $(($(date +%s) - start)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
