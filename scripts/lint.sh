#!/bin/sh
# Static checks, as far as the tools are installed: banned calls, clang-tidy, shellcheck, luac.
# usage: scripts/lint.sh [quick]     quick: without clang-tidy, which takes minutes
set -u
code=0
sources=$(git ls-files 'core/*.[ch]' 'tracker/*.[ch]' 'client/*.[ch]')
banned='strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|alloca|gets|pread|pwrite|usleep|sleep'
# shellcheck disable=SC2086
if grep -nE "(^|[^A-Za-z0-9_.:])($banned)[[:space:]]*\\(" $sources; then
	echo 'lint: banned calls (above)'
	code=1
fi
luac=$(command -v luac5.4 || command -v luac)
if [ -n "$luac" ]; then
	for f in $(git ls-files '*.lua'); do
		"$luac" -p "$f" || code=1
	done
fi
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2046
	shellcheck $(git ls-files '*.sh' .ci/run) || code=1
fi
if [ "${1:-}" != quick ] && command -v clang-tidy >/dev/null; then
	# Some files at a time: it knows one core.
	# shellcheck disable=SC2016
	git ls-files 'core/*.c' 'tracker/*.c' 'client/*.c' | xargs -n 8 -P "$(nproc)" sh -c '
		said=$(clang-tidy -quiet "$@" -- -I. -Ibuild/gen -I/usr/include/lua5.4 -std=gnu11 -D_GNU_SOURCE \
			-DOPENSSL_SUPPRESS_DEPRECATED "-DSHOAL_VERSION=\"lint\"" 2>/dev/null) && exit 0
		printf "%s\n" "$said"
		exit 1' sh || code=1
fi
if [ "$code" -eq 0 ]; then
	echo 'lint: clean'
fi
exit $code
