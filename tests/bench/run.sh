#!/bin/sh
# make bench: what a transfer costs, beside what the machine can do and beside other programs (transfers.lua).
# make bench CASES="A C" runs some of A A-tls B C D E E2 E2-slow F G; ROUNDS=5 and SIZE=268435456 change all of them.
# A-transmission runs only if it is named: that program waits up to 25 s before it lets anybody have something.
# E and E2 need root, for network namespaces, and are left out without it.
# The files lie in memory (/dev/shm) if there is room, since shoal flushes to the disk before it says done and the limit
# program does not; what a flush costs on this disk is printed beside. BENCH_DIR=/some/folder measures there instead.
# BENCH_JSON=FILE: where the result goes as JSON (usual: bench.json in the build folder).
set -eu
B=${B:-build}
cases=${CASES:-}
if [ -z "$cases" ]; then
	cases='A A-tls B C D E E2 E2-slow F G'
	if ! unshare --net --mount true 2>/dev/null || ! command -v tc >/dev/null || ! command -v ip >/dev/null; then
		echo 'bench: no network namespaces here: E and E2 are left out' >&2
		cases='A A-tls B C D F G'
	fi
fi
where=${BENCH_DIR:-${TMPDIR:-/tmp}}
need=$((6 * 1024 * 1024)) # KiB: the largest file twice does not fit in less but for B
case " $cases " in *' B '*) need=$((10 * 1024 * 1024)) ;; esac
if [ -z "${BENCH_DIR:-}" ] && [ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')" -gt "$need" ] 2>/dev/null; then
	where=/dev/shm
fi
temp=$(mktemp -d "$where/shoal-bench.XXXXXX")
TMPDIR=$temp
BENCH_BUILD=$(cd "$B" && pwd)
export TMPDIR BENCH_BUILD
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2086
"$B/shoal" --test tests/bench/transfers.lua -- "$temp" "${BENCH_JSON:-$B/bench.json}" $cases
