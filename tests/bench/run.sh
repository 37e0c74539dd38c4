#!/bin/sh
# make bench: what a transfer costs, beside what the machine can do and beside other programs (transfers.lua).
# make bench CASES="A C" runs some of A A-tls B C D E E2 E2-slow F G; ROUNDS=5 and SIZE=268435456 change all of them.
# A-transmission runs only if it is named: that program waits up to 25 s before it lets anybody have something.
# E and E2 need root, for network namespaces, and are left out without it.
# The files lie in memory (/dev/shm) if there is room, since shoal flushes to the disk before it says done and the limit
# program does not; what a flush costs on this disk is printed beside. BENCH_DIR=/some/folder measures there instead.
# In a virtual machine new memory may cost much or little (warm.c): what the largest case writes is kept warm meanwhile, if
# there is room for it.
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
warm=
finish() {
	[ -z "$warm" ] || kill "$warm" 2>/dev/null || true
	rm -rf "$temp"
}
trap finish EXIT
trap 'exit 130' INT TERM
warm_mib=3072
case " $cases " in *' B '*) warm_mib=5120 ;; esac
room=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
if [ "$room" -gt $((warm_mib + need / 1024 + 1024)) ]; then
	mkfifo "$temp/ready"
	"$B/tests/bench/warm" "$warm_mib" >"$temp/ready" &
	warm=$!
	read -r _ <"$temp/ready"
	rm -f "$temp/ready"
else
	echo "bench: no $warm_mib MiB to keep warm: where new memory is dear, times vary" >&2
fi
# shellcheck disable=SC2086
"$B/shoal" --test tests/bench/transfers.lua -- "$temp" "${BENCH_JSON:-$B/bench.json}" $cases
