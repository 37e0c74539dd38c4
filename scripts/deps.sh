#!/bin/sh
# Installs what building and testing shoal needs, or PACKAGES; does nothing when all is there. Debian and Ubuntu; needs root
# or sudo.
set -eu
packages='gcc libc6-dev pkg-config make liblua5.4-dev libssl-dev libreadline-dev libevent-dev libsqlite3-dev libjansson-dev
	uthash-dev libcmocka-dev perl'
packages=${PACKAGES:-$packages}
missing=
if command -v dpkg-query >/dev/null 2>&1; then
	for p in $packages; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
		*'ok installed') ;;
		*) missing="$missing $p" ;;
		esac
	done
else
	echo "deps: this is not Debian: please install yourself what these packages hold: $packages" >&2
	exit 0
fi
[ -n "$missing" ] || exit 0
echo "deps: installing$missing"
sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "deps: run as root, or install sudo: cannot install$missing" >&2; exit 1; }
	sudo=sudo
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "deps: apt-get failed (above); nothing else was changed" >&2
	rm -f "$log"
	exit 1
fi
rm -f "$log"
