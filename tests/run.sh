#!/bin/sh
# Runs unit tests, simulations and scenarios, some at a time; prints a line each when it has ended, and what a failing one
# said. Those with "-- alone:" in their first lines, which measure times, come last and one by one.
# usage: tests/run.sh PROGRAM|SCENARIO.lua ...     B: the build folder; JOBS: how many at a time (one more than cores)
set -u
B=${B:-build}
JOBS=${JOBS:-$(($(nproc 2>/dev/null || echo 2) + 1))}

run_one() { # TEST: its line, and more if it has something to say
	case $1 in
	*.lua) set -- "$1" "$B/shoal" --test "$1" ;;
	*) set -- "$1" "$1" ;;
	esac
	name=$1
	shift
	before=$(date +%s)
	out=$(mktemp)
	# A simulation that does not say how much it ran, or what it met, has not shown anything.
	case $name in */tests/sim/*) must='^# seeds|^# sometimes' ;; *) must='' ;; esac
	if SHOAL_BUILD=$B timeout "${TEST_TIMEOUT:-180}" "$@" >"$out" 2>&1 </dev/null &&
		{ [ -z "$must" ] || [ "$(grep -cE "$must" "$out")" -ge 2 ]; }; then
		printf 'ok    %s (%s s)\n' "$name" "$(($(date +%s) - before))"
		grep -E '^(# )?(seeds|sometimes)' "$out" || true
	else
		code=$?
		printf 'FAIL  %s (exit %s)\n' "$name" "$code"
		sed 's/^/      /' "$out" | tail -n 60
	fi
	rm -f "$out"
}

if [ "${1:-}" = --one ]; then
	said=$(run_one "$2")
	printf '%s\n' "$said" # in one piece, between those of others
	exit 0
fi

case ${1:-} in "$B"/*|"") ;; */tests/*) B=${1%%/tests/*} ;; esac
export B
start=$(date +%s)
all=$(mktemp)
trap 'rm -f "$all"' EXIT
trap 'exit 130' INT TERM
together='' alone=''
for t in "$@"; do
	case $t in
	*.lua) if head -n 3 "$t" | grep -q '^-- alone:'; then alone="$alone $t"; else together="$together $t"; fi ;;
	*) together="$together $t" ;;
	esac
done
{
	# shellcheck disable=SC2086
	[ -z "$together" ] || printf '%s\n' $together | xargs -P "$JOBS" -n 1 "$0" --one
	# shellcheck disable=SC2086
	[ -z "$alone" ] || printf '%s\n' $alone | xargs -n 1 "$0" --one
} | tee "$all"
passed=$(grep -c '^ok  ' "$all") failed=$(grep -c '^FAIL' "$all")
echo "in $(($(date +%s) - start)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -eq $# ]
