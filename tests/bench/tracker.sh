#!/bin/sh
# make bench-tracker: how much a tracker carries, each figure beside a reference that does the bare work on this machine.
# FULL=1: 10,000 clients, 1,000,000 users and files; else a fifth and a thirtieth of that, in less than three minutes.
# ONLY="reads changes" runs some of: crowd reads announces changes latency partition catchup size. BENCH_DIR: where the databases lie.
set -eu
B=${B:-build}
if [ -n "${FULL:-}" ]; then
	clients=10000 idle=30 users=1000000 groups=100000 files=1000000
else
	clients=2000 idle=10 users=30000 groups=3000 files=30000
fi
parts=${ONLY:-crowd reads announces changes latency partition catchup size}
temp=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/shoal-bench.XXXXXX")
bench=$B/tests/bench
pids='' missed=''
end() {
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
	rm -rf "$temp"
}
trap end EXIT
trap 'exit 130' INT TERM

get() { printf '%s\n' "$2" | sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p"; }
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
now() { date +%s.%N; }
calc() { awk "BEGIN { printf \"%.3f\", $1 }"; }
# A line of the result: what, value, unit, comparison and target ("-" for none), and, if the target is a ratio to something
# measured beside it, its name: only such a miss is a failure, the others depend on the machine.
say() {
	if [ "$4" = - ]; then
		printf '%-58s %12s %s\n' "$1" "$2" "$3"
	elif awk "BEGIN { exit !($2 $4 $5) }"; then
		printf '%-58s %12s %-10s (%s %s)\n' "$1" "$2" "$3" "$4" "$5"
	else
		printf '%-58s %12s %-10s (%s %s) MISSED\n' "$1" "$2" "$3" "$4" "$5"
		missed="$missed${6:+ $6}"
	fi
}
wait_for() { # file, pid: until a program says where it listens
	n=0
	until grep -q listens "$1" 2>/dev/null; do
		kill -0 "$2" 2>/dev/null || { cat "$temp"/*.err >&2; exit 1; }
		n=$((n + 1))
		[ $n -lt 12000 ] || { echo "bench: $1 says nothing" >&2; exit 1; }
		timeout 0.01 tail -f /dev/null || true
	done
}
ports() { # count: makes tracker_info.txt with that many trackers
	id=0
	: >"$temp/info"
	for port in $("$bench/tracker_port" "$1"); do
		id=$((id + 1))
		echo "127.0.0.1:$port $id" >>"$temp/info"
	done
}
addr() { sed -n "${1}s/ .*//p" "$temp/info"; }
start() { # id, data folder, FLUSH_US or empty: sets pid
	rm -f "$temp/$1.out"
	mkdir -p "$2"
	if [ -n "${3:-}" ]; then
		FLUSH_US=$3 LD_PRELOAD=$temp/flush.so "$B/shoal-tracker" --data "$2" --cluster-key "$temp/key" --scrypt-ln 10 --login-rate 0 \
			--create-rate 0 --strangers 60000 -q "$temp/info" "$1" </dev/null >"$temp/$1.out" 2>"$temp/$1.err" &
	else
		"$B/shoal-tracker" --data "$2" --cluster-key "$temp/key" --scrypt-ln 10 --login-rate 0 \
			--create-rate 0 --strangers 60000 -q "$temp/info" "$1" </dev/null >"$temp/$1.out" 2>"$temp/$1.err" &
	fi
	pid=$!
	pids="$pids $pid"
	wait_for "$temp/$1.out" "$pid"
}
stop() {
	kill "${2:--TERM}" "$1"
	wait "$1" 2>/dev/null || true
}
load() { "$bench/tracker_load" "$@"; }
fill() { # folder users groups files log
	mkdir -p "$1"
	FLUSH_US=none LD_PRELOAD=$temp/flush.so "$bench/tracker_fill" "$1/tracker.db" "$2" "$3" "$4" 1 "$5"
}

crowd() {
	fill "$temp/crowd" "$clients" $((clients / 5)) $((clients * 2)) 1000000 >/dev/null
	ports 1
	start 1 "$temp/crowd"
	r=$(load crowd "$(addr 1)" --clients "$clients" --groups $((clients / 5)) --seconds "$idle" --rate 1000 --pid "$pid")
	stop "$pid"
	say "memory of each of $clients logged-in clients" "$(get kib_each "$r")" KiB '<=' 40
	say "CPU with $clients idle clients, $idle s" "$(calc "100 * $(get idle_cpu "$r")")" '% of a core' '<=' 5
	say "list_files and find, 1,000 a second: p99" "$(get p99 "$r")" ms '<=' 10
	say '  median' "$(get p50 "$r")" ms -
	say "  $clients logins over TLS" "$(get login_s "$r")" s -
}

read_case() { # verb
	r=$(load "$1" "$(addr 1)" --clients 50 --depth 16 --seconds 3 --pid "$tracker")
	mkfifo "$temp/echo.in"
	"$bench/tracker_echo" "$(get reply_bytes "$r")" <"$temp/echo.in" >"$temp/echo.out" 2>"$temp/echo.err" &
	echo_pid=$!
	pids="$pids $echo_pid"
	exec 7>"$temp/echo.in"
	wait_for "$temp/echo.out" "$echo_pid"
	e=$(load "echo-$1" "$(sed -n 's/.*listens on //p' "$temp/echo.out")" --clients 50 --depth 16 --seconds 3 --pid "$echo_pid")
	exec 7>&-
	wait "$echo_pid"
	rm -f "$temp/echo.in" "$temp/echo.out"
	say "$1, 50 connections, 16 deep, $(get reply_bytes "$r") bytes" "$(get per_s "$r")" /s -
	say '  the same bytes from the bare echo' "$(get per_s "$e")" /s -
	say '  ratio' "$(calc "$(get per_s "$r") / $(get per_s "$e")")" '' '>=' 0.5 "$1"
	say '  CPU of a request here and there' "$(get us_each "$r") / $(get us_each "$e")" us -
}

reads() {
	fill "$temp/reads" 2000 200 2000 1000000 >/dev/null
	ports 1
	start 1 "$temp/reads"
	tracker=$pid
	read_case find
	read_case list_files
	load change "$(addr 1)" --clients 10 --seconds 5 --rate 500 >/dev/null &
	beside=$!
	r=$(load list_files "$(addr 1)" --clients 50 --depth 16 --seconds 3)
	wait $beside
	say 'list_files while 500 groups a second are made' "$(get per_s "$r")" /s -
	stop "$tracker"
}

# opentracker (Debian package) answers announces: another protocol and other work, for the order of magnitude only.
announces() {
	if ! command -v opentracker >/dev/null; then
		say 'announces, opentracker' 'not installed' '' -
		return
	fi
	port=$("$bench/tracker_port" 1)
	mkdir -p "$temp/announces"
	"$bench/tracker_announce" hashes >"$temp/announces/list" # Debian's wants to be told what it may serve
	opentracker -i 127.0.0.1 -p "$port" -P "$port" -d "$temp/announces" -w list >"$temp/announces/out" 2>&1 &
	pid=$!
	pids="$pids $pid"
	r=$("$bench/tracker_announce" "127.0.0.1:$port" --clients 50 --depth 16 --seconds 3 --pid "$pid")
	stop "$pid"
	say "announces over UDP, opentracker, 50 clients, 16 deep, $(get reply_bytes "$r") bytes" "$(get per_s "$r")" /s -
	say '  CPU of a request there' "$(get us_each "$r")" us -
}

changes() {
	fill "$temp/changes" 2000 200 2000 1000000 >/dev/null
	ports 1
	best='' bare=''
	for _ in 1 2 3; do
		rm -f "$temp"/bare.db*
		s=$("$bench/tracker_sqlite" "$temp/bare.db" 50000 128)
		start 1 "$temp/changes"
		r=$(load change "$(addr 1)" --clients 50 --depth 16 --seconds 3 --pid "$pid")
		stop "$pid"
		bare="$bare $(get per_s "$s")" best="$best $(get per_s "$r")"
	done
	rm -f "$temp"/bare.db*
	# shellcheck disable=SC2086
	bare=$(median $bare) best=$(median $best)
	say 'changes (create_group), durable, 50 connections, 16 deep' "$best" /s -
	say '  the same rows from the bare SQLite loop, 128 a batch' "$bare" /s -
	say '  ratio' "$(calc "$best / $bare")" '' '>=' 0.5 changes
}

latency() {
	rm -f "$temp"/bare.db*
	s=$(FLUSH_US=5000 LD_PRELOAD=$temp/flush.so "$bench/tracker_sqlite" "$temp/bare.db" 200 1)
	rm -f "$temp"/bare.db*
	fill "$temp/latency" 100 10 100 1000 >/dev/null
	ports 1
	start 1 "$temp/latency" 5000
	r=$(load change "$(addr 1)" --seconds 3)
	stop "$pid"
	say 'one client, one change at a time, a flush takes 5 ms more: median' "$(get p50 "$r")" ms -
	say '  the bare transaction' "$(get transaction_ms "$s")" ms -
	say '  in flushes' "$(calc "$(get p50 "$r") / $(get flush_ms "$s")")" '' '<=' 3 latency
}

partition() {
	fill "$temp/part" 2000 200 2000 1000 >/dev/null
	ports 2
	start 1 "$temp/part"
	one=$pid
	start 2 "$temp/part2"
	two=$pid
	"$bench/tracker_synced" "$(addr 1)" 2 >/dev/null
	with='' without=''
	for _ in 1 2 3; do
		with="$with $(get p99 "$(load change "$(addr 1)" --clients 20 --seconds 3 --rate 500)")"
		kill -STOP "$two"
		without="$without $(get p99 "$(load change "$(addr 1)" --clients 20 --seconds 3 --rate 500)")"
		kill -CONT "$two"
	done
	stop "$one"
	stop "$two"
	# shellcheck disable=SC2086
	with=$(median $with) without=$(median $without)
	say '500 changes a second, two trackers: p99' "$with" ms -
	say '  while the other does not answer' "$without" ms -
	say '  ratio' "$(calc "$without / $with")" '' '<=' 2 partition
}

catchup() {
	fill "$temp/catch" 2000 200 2000 1000 >/dev/null
	ports 2
	start 1 "$temp/catch"
	one=$pid
	start 2 "$temp/catch2"
	"$bench/tracker_synced" "$(addr 1)" 2 >/dev/null
	stop "$pid" -KILL
	load change "$(addr 1)" --clients 50 --depth 16 --seconds 5 >/dev/null
	start 2 "$temp/catch2"
	r=$("$bench/tracker_synced" "$(addr 1)" 2)
	stop "$one"
	stop "$pid"
	say 'a tracker that was away is behind by' "$(get behind "$r")" operations -
	say '  catches up with' "$(get per_s "$r")" /s '>=' 50000
}

size() {
	fill "$temp/size" "$users" "$groups" "$files" 0
	ports 2
	begun=$(now)
	start 1 "$temp/size"
	one=$pid
	say "start with $users users, $groups groups, $files files" "$(calc "$(now) - $begun")" s '<=' 10
	say '  memory' "$(awk '/^VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$one/status")" MiB '<=' 1536
	say '  database' "$(du -m "$temp/size/tracker.db" | cut -f1)" MiB -
	start 2 "$temp/size2"
	took=$(get seconds "$("$bench/tracker_synced" "$(addr 1)" 2 300)") rows=$((users + 2 * groups + 3 * files))
	say "a new tracker has all $rows rows by a snapshot after" "$took" s -
	say '  that is, for a million rows' "$(calc "$took * 1000000 / $rows")" s '<=' 20
	stop "$one"
	stop "$pid"
}

${CC:-cc} -O2 -D_GNU_SOURCE -shared -fPIC -o "$temp/flush.so" tests/bench/preload/flush.c
begun=$(now)
echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
for part in $parts; do
	"$part"
done
echo "in $(calc "$(now) - $begun") s"
[ -z "$missed" ] || { echo "bench: missed:$missed" >&2; exit 1; }
