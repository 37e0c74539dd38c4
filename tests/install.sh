#!/bin/sh
# make install puts the programs and a unit that systemd understands where PREFIX, DESTDIR and UNITDIR say.
set -u
folder=${SHOAL_BUILD:-build}
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
fail() { echo "FAIL  $*"; exit 1; }

make -s --no-print-directory B="$folder" PREFIX=/opt/shoal DESTDIR="$to" install >"$to/out" 2>&1 || fail "$(cat "$to/out")"
for name in shoal shoal-tracker; do
	"$to/opt/shoal/bin/$name" --version | grep -q "^$name [0-9]" || fail "$name does not say its version"
done
for page in man1/shoal.1 man3/shoal-api.3; do
	[ -s "$to/opt/shoal/share/man/$page" ] || fail "there is no manual page $page"
done
unit=$to/opt/shoal/lib/systemd/system/shoal-tracker@.service
grep -q '^ExecStart=/opt/shoal/bin/shoal-tracker ' "$unit" || fail 'the unit starts another program'
grep -q '@PREFIX@' "$unit" && fail 'the unit still has a mark to be replaced'
make -s --no-print-directory B="$folder" PREFIX=/opt/bare UNITDIR= DESTDIR="$to" install >"$to/out" 2>&1 || fail "$(cat "$to/out")"
[ -x "$to/opt/bare/bin/shoal" ] || fail 'nothing was installed without a unit'
[ ! -e "$to/opt/bare/lib" ] || fail 'a unit was installed that was not wanted'
if command -v systemd-analyze >/dev/null; then
	# verify wants the program to be there: the same unit, started from where it was put
	sed "s|/opt/shoal/bin|$to/opt/shoal/bin|" "$unit" > "$to/shoal-tracker@.service"
	said=$(systemd-analyze verify --man=no "$to/shoal-tracker@1.service" 2>&1 | grep -F "shoal-tracker@")
	[ -z "$said" ] || fail "systemd-analyze: $said"
	seen=$(systemd-analyze security --offline=true --threshold=15 "$to/shoal-tracker@.service" 2>&1) || fail "exposed: $(echo "$seen" | tail -n 1)"
	echo "$seen" | tail -n 1
fi
echo 'ok    installed'
