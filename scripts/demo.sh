#!/bin/sh
# make demo: shares a real file between three clients over two trackers, one of which is killed half-way.
# usage: scripts/demo.sh [FILE]    without FILE: a tar of files that every machine has, of 64 MiB or more
set -eu
B=${B:-build}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
if [ $# -gt 0 ] && [ -n "$1" ]; then
	file=$1
	if [ ! -f "$file" ] || [ ! -r "$file" ]; then
		echo "demo: cannot read '$file'" >&2
		exit 2
	fi
else
	file=$temp/demo.tar
	while [ "$(wc -c 2>/dev/null <"$file" || echo 0)" -lt 67108864 ]; do
		tar -cf - --ignore-failed-read -C / usr/bin usr/lib usr/share 2>/dev/null | head -c 134217728 >>"$file"
	done
fi
"$B/shoal" --test scripts/demo.lua -- "$file"
