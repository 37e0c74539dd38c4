#!/bin/sh
# Static checks, as far as the tools are installed: banned calls, clang-tidy, shellcheck, luac.
set -u
code=0
sources=$(git ls-files 'core/*.c' 'core/*.h' 'tracker/*.[ch]' 'client/*.[ch]')
# shellcheck disable=SC2086
if grep -nE '\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|alloca|gets|pread|pwrite|usleep|sleep)[[:space:]]*\(' $sources; then
	echo 'lint: banned calls (above)'
	code=1
fi
for f in $(git ls-files '*.lua'); do
	luac=$(command -v luac5.4 || command -v luac) || break
	"$luac" -p "$f" || code=1
done
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2046
	shellcheck $(git ls-files '*.sh' .ci/run) || code=1
fi
flags='-I. -Ibuild/gen -I/usr/include/lua5.4 -std=gnu11 -D_GNU_SOURCE -DOPENSSL_SUPPRESS_DEPRECATED -DSHOAL_VERSION="lint"'
if command -v clang-tidy >/dev/null; then
	# shellcheck disable=SC2086
	clang-tidy -quiet $(git ls-files 'core/*.c' 'tracker/*.c' 'client/*.c') -- $flags || code=1
fi
exit $code
