#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The client library as somebody else would use it: run.sh BUILD
# Installs it into a directory, builds the example there with nothing else, and runs that at a lab with one board.
set -euo pipefail

build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v pkg-config > /dev/null && command -v make > /dev/null || { echo "pkg-config or make is missing" >&2; exit 77; }

place=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2> /dev/null && wait "$pid" || true
    done
    rm -rf "$place"
}
trap finish EXIT
die() {
    echo "$1" >&2
    shift
    for file; do
        tail -n 40 "$file" >&2
    done
    exit 1
}

cmake --install "$build" --prefix "$place/usr" --component client-library > "$place/log" || die "not installed" "$place/log"
pc=$(find "$place/usr" -name jumpstarter-client.pc)
[ -n "$pc" ] || die "jumpstarter-client.pc was not installed"
cp -r "$place/usr/share/doc/libjmp-dev/examples/board" "$place/example"

cd "$place/example"
flags="-O2 -g -Wall -Wextra -Werror"
env -i PATH="$PATH" PKG_CONFIG_PATH="$(dirname "$pc")" make CFLAGS="$flags -MD" > "$place/log" 2>&1 || die "not built" "$place/log"
! grep -F "$JMP_SOURCE_DIR/" ./*.d >&2 || die "the example was built with headers of the source tree"

# Each header stands alone.
include="$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags jumpstarter-client)"
for header in $(cd "$place/usr/include/jumpstarter" && find . -name '*.h'); do
    # shellcheck disable=SC2086
    echo "#include \"${header#./}\"" | cc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only $include -x c - ||
        die "$header does not stand alone"
done
# Each function that they promise is in the archive.
nm --defined-only "$(find "$place/usr" -name libjmp-client.a)" | awk '$2 == "T" { print $3 }' | sort -u > "$place/defined"
missing=
for name in $(find "$place/usr/include" -name '*.h' -exec sed -nE '/^(static|typedef)/!s/^[a-z].*\b(jmp_[a-z_0-9]+)\(.*/\1/p' {} + | sort -u); do
    grep -qx "$name" "$place/defined" || missing="$missing $name"
done
[ -z "$missing" ] || die "promised, but not in the archive:$missing"

# A lab, a board with a power switch, a user.
run() {
    "$@" 2> "$place/log" > "$place/out" || die "$*" "$place/log" "$place/out"
}
export HOME=$place XDG_RUNTIME_DIR=$place
unset JMP_CLIENT_CONFIG_HOME XDG_CONFIG_HOME JMP_TOKEN JMP_LEASE JUMPSTARTER_HOST
"$build/labd/jmp-labd" serve --listen 127.0.0.1:0 --data-dir "$place/lab" > "$place/labd.log" 2>&1 &
pids+=($!)
for ((i = 0; ; i++)); do
    grep -q 'listening on 127' "$place/labd.log" && break
    kill -0 "${pids[0]}" 2> /dev/null && [ $i -lt 300 ] || die "no lab" "$place/labd.log"
    sleep 0.1
done
run "$build/labd/jmp-labd" create client ann -o "$place/ann.yaml" --data-dir "$place/lab"
run "$build/labd/jmp-labd" create exporter bench --label board=x -o "$place/bench.yaml" --data-dir "$place/lab"
sed -i 's,^export: {},export:\n  power:\n    type: jumpstarter_driver_power.driver.MockPower,' "$place/bench.yaml"
"$build/agent/jmp-agent" run --exporter-config "$place/bench.yaml" > "$place/agent.log" 2>&1 &
pids+=($!)

timeout 120 ./board "$place/ann.yaml" board=x > "$place/out" 2> "$place/log" ||
    die "the example failed" "$place/out" "$place/log" "$place/labd.log" "$place/agent.log"
grep -q '"exporter": "bench"' "$place/out" && grep -q '^off: done$' "$place/out" && grep -q '^on: done$' "$place/out" ||
    die "the example did not do its work" "$place/out"
run "$build/labd/jmp-labd" list leases --data-dir "$place/lab"
! grep -q bench "$place/out" || die "the example left its lease behind" "$place/out"
status=0
timeout 60 ./board "$place/ann.yaml" board=none > "$place/out" 2> "$place/log" || status=$?
[ $status = 1 ] && grep -q 'cannot be satisfied' "$place/log" || die "a board that is not there: status $status" "$place/log"
echo "the example was built from what is installed, and works"
