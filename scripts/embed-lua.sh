#!/bin/sh
# Prints a C header that holds the Lua files given, as { "shoal.name", bytes, length } entries.
set -eu
echo '/* made by scripts/embed-lua.sh; do not edit */'
entries=
for f in "$@"; do
	name=$(basename "$f" .lua)
	printf 'static const unsigned char lua_%s[] = {' "$name"
	od -An -v -tx1 "$f" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	echo '0};'
	entries="$entries	{ \"shoal.$name\", lua_$name, sizeof(lua_$name) - 1 },
"
done
printf 'static const struct { const char *name; const unsigned char *data; size_t len; } lua_embedded[] = {\n%s	{ 0, 0, 0 }\n};\n' "$entries"
