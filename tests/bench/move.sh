#!/bin/sh
# Clients move to one tracker: tests/bench/move.sh [CLIENTS]. Once with the usual limit of 64 connections of one address that
# are not logged in (all clients here have one address), once without it.
set -eu
B=${B:-build}
n=${1:-2000}
for strangers in 64 60000; do
	"$B/shoal" --test tests/bench/move.lua -- "$n" "$strangers" >"$B/move.out" 2>&1 || { cat "$B/move.out"; exit 1; }
	echo "$n clients, --strangers $strangers: $(sed -n 's/^# RESULT clients=[0-9]* //p' "$B/move.out")"
done
