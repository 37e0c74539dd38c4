#!/bin/sh
# make bench: case A, 1 GiB from one seeder to one leecher on loopback, in the clear and encrypted, against the limit
# program, alternating. SIZE=268435456 and ROUNDS=5 change it.
# The files lie in memory (/dev/shm) if there is room, since shoal flushes to the disk before it says done and the limit
# program does not; what a flush costs on this disk is printed beside. BENCH_DIR=/some/folder measures there instead.
set -eu
B=${B:-build}
size=${SIZE:-1073741824}
rounds=${ROUNDS:-3}
where=${BENCH_DIR:-${TMPDIR:-/tmp}}
if [ -z "${BENCH_DIR:-}" ] && [ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')" -gt $((size / 1024 * 4)) ] 2>/dev/null; then
	where=/dev/shm
fi
temp=$(mktemp -d "$where/shoal-bench.XXXXXX")
export TMPDIR="$temp"
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
head -c "$size" /dev/urandom >"$temp/one.bin"

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

shoal_case() { # mode
	"$B/shoal" --test tests/bench/transfer.lua -- "$temp/one.bin" "$1" >"$temp/out" 2>&1 || { cat "$temp/out" >&2; exit 1; }
	sed -n 's/.*RESULT seconds=\([0-9.]*\).*/\1/p' "$temp/out" >>"$temp/$1"
	sed -n 's/.*RESULT //p' "$temp/out" | tail -n 1 >"$temp/$1.last"
}

"$B/tests/bench/limit" "$temp/one.bin" "$temp/copy.bin" >/dev/null # warms the page cache
for round in $(seq "$rounds"); do
	"$B/tests/bench/limit" "$temp/one.bin" "$temp/copy.bin" >>"$temp/limit"
	shoal_case plain
	shoal_case tls
	echo "round $round: limit $(tail -n 1 "$temp/limit") s, plain $(tail -n 1 "$temp/plain") s, tls $(tail -n 1 "$temp/tls") s"
done
disk=$(mktemp "${FLUSH_DIR:-/var/tmp}/shoal-bench.XXXXXX")
echo "a flush of $((size / 1048576)) MiB to $(dirname "$disk"): $(dd if="$temp/one.bin" of="$disk" bs=1M conv=fsync 2>&1 | sed -n 's/.*, \([0-9.]* s\), .*/\1/p')"
rm -f "$disk"
limit=$(median "$temp/limit")
printf '%-28s %8s %10s %12s\n' 'case A' seconds MiB/s 'limit ratio'
for c in limit plain tls; do
	s=$(median "$temp/$c")
	awk -v c="$c" -v s="$s" -v l="$limit" -v n="$size" 'BEGIN { printf "%-28s %8.3f %10.0f %12.2f\n", c, s, n / s / 1048576, l / s }'
done
echo "last plain run: $(cat "$temp/plain.last")"
awk -v p="$(median "$temp/plain")" -v l="$limit" 'BEGIN { exit !(l / p >= 0.5) }' ||
	{ echo 'bench: the clear transfer is slower than half the limit' >&2; exit 1; }
