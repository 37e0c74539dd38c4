#!/bin/sh
# What the linker has made of the hardening flags, as readelf sees it. usage: tests/hardening.sh [FOLDER]
# shellcheck disable=SC2317 # check() calls them
set -u
folder=${1:-${SHOAL_BUILD:-build}}
code=0

check() { # PROGRAM WHAT COMMAND...: the command says whether it is so
	program=$1 what=$2
	shift 2
	if "$@"; then
		echo "ok    $program: $what"
	else
		echo "FAIL  $program: $what"
		code=1
	fi
}

says() { # ARGUMENTS-OF-READELF FILE PATTERN
	# shellcheck disable=SC2086
	LC_ALL=C readelf -W $1 "$2" | grep -Eq "$3"
}
says_not() { ! says "$@"; }

has_landing_pad() { [ "$(objdump -d "$1" | grep -c 'endbr64')" -gt 0 ]; }

if ! command -v readelf >/dev/null || ! command -v objdump >/dev/null; then
	echo "FAIL  readelf and objdump are not installed (binutils)"
	exit 1
fi
for name in shoal shoal-tracker; do
	file=$folder/$name
	[ -x "$file" ] || { echo "FAIL  there is no $file"; exit 1; }
	check $name 'position independent' says -h "$file" 'Type:[[:space:]]+DYN'
	check $name 'relocations read-only' says -l "$file" 'GNU_RELRO'
	check $name 'and all of them resolved at the start' says -d "$file" 'BIND_NOW|FLAGS_1.*NOW'
	check $name 'a stack that cannot be executed' says -l "$file" 'GNU_STACK.* RW '
	check $name 'nothing both writable and executable' says_not -l "$file" 'LOAD.* RWE '
	check $name 'stack protector' says --dyn-syms "$file" '__stack_chk_fail'
	check $name 'fortified calls of the C library' says --dyn-syms "$file" '__(memcpy|read|vsnprintf|fprintf)_chk'
	check $name 'no path to libraries of its own' says_not -d "$file" 'RPATH|RUNPATH'
	check $name 'no text relocations' says_not -d "$file" 'TEXTREL'
	if [ "$(uname -m)" = x86_64 ]; then
		# The note in the program is there only if the C library was built so as well: look at the code.
		check $name 'landing pads for indirect calls' has_landing_pad "$file"
	fi
done
exit $code
