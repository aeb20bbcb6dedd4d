#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A plug-in as somebody else would build it: run.sh BUILD TEST AGENT
# Installs the headers into a directory, builds the example there with nothing else, loads it.
set -euo pipefail

build=$1 test=$2 agent=$3
command -v pkg-config > /dev/null && command -v make > /dev/null || { echo "pkg-config or make is missing" >&2; exit 77; }

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cmake --install "$build" --prefix "$place/usr" --component driver-headers > "$place/log" || { cat "$place/log" >&2; exit 1; }
pc=$(find "$place/usr" -name jumpstarter-driver.pc)
[ -n "$pc" ] || { echo "jumpstarter-driver.pc was not installed" >&2; exit 1; }
cp -r "$place/usr/share/doc/libjmp-dev/examples" "$place/example"

cd "$place/example"
flags="-O2 -g -Wall -Wextra -Werror"
[ -z "${SANITIZE:-}" ] || flags="$flags -fsanitize=$SANITIZE"
env -i PATH="$PATH" PKG_CONFIG_PATH="$(dirname "$pc")" make CFLAGS="$flags -MD" OUT=. > "$place/log" 2>&1 ||
    { cat "$place/log" >&2; exit 1; }
if grep -qF "$JMP_SOURCE_DIR/" ./*.d; then
    echo "the example was built with headers of the source tree:" >&2
    grep -F "$JMP_SOURCE_DIR/" ./*.d >&2
    exit 1
fi

# A class moves between rooms unedited, so each installed header has to stand alone.
for header in $(cd "$place/usr/include/jumpstarter" && find . -name '*.h'); do
    echo "#include \"${header#./}\"" | cc -std=gnu11 -Wall -Wextra -Werror -D_FILE_OFFSET_BITS=64 -fsyntax-only \
        -I"$place/usr/include/jumpstarter" -x c -
done

# What a driver may call must be there in the agent, whether or not a built-in driver calls it.
missing=0
nm -D --defined-only "$agent" | awk '{ print $3 }' | sort > "$place/exported"
for name in $(grep -hoE '\bjmp_[a-z_]+\(' "$place"/usr/include/jumpstarter/{drivers/driver.h,base/writer.h,base/node.h,base/error.h} |
              tr -d '(' | sort -u); do
    # Inline ones, and words of comments, need no symbol.
    grep -qE "^[a-z].*\b$name\(.*" "$place"/usr/include/jumpstarter/{drivers/driver.h,base/writer.h,base/node.h,base/error.h} || continue
    grep -qx "$name" "$place/exported" || { echo "jmp-agent does not export $name" >&2; missing=1; }
done
[ "$missing" = 0 ] || exit 1

JMP_EXAMPLE_PLUGIN=$PWD "$test" an_example_built_elsewhere_measures 2> "$place/log" || { cat "$place/log" >&2; exit 1; }
if grep -q SKIPPED "$place/log"; then
    echo "the example was not tested" >&2
    exit 1
fi
JMP_PLUGIN_PATH=$PWD timeout 20 "$agent" drivers thermometer > "$place/log" || { cat "$place/log" >&2; exit 1; }
grep -q "degrees Celsius now" "$place/log" || { cat "$place/log" >&2; exit 1; }
echo "the example was built from installed headers, and works"
