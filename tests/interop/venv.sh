#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/interop/venv.sh [REQUIREMENTS]
#
# Makes the Python environment of the interoperability tests, or of that file, once for each set of requirements, and prints
# the path of its interpreter. The cache is ${XDG_CACHE_HOME:-~/.cache}/jumpstarter-native; PYTHON chooses the
# interpreter that it is made from.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
requirements=("$here/requirements.txt" "$here/constraints.txt")   # the second is named in the first
[ $# -eq 0 ] || requirements=("$1")

fail() {
    echo "venv.sh: $1" >&2
    shift
    for hint in "$@"; do
        echo "  hint: $hint" >&2
    done
    exit 1
}

command -v "$python" >/dev/null || fail "no $python here" "apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version 2>&1) is too old, the stock client needs 3.11" "set PYTHON to a newer one"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments, its ensurepip is missing" "apt-get install python3-venv"

# The real path counts: another interpreter of the same version is another environment.
stamp=$("$python" -c 'import platform, sys; print(sys.version, platform.machine(), sys.base_prefix)')
key=$({ echo "$stamp"; cat "${requirements[@]}"; } | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jumpstarter-native
venv=$cache/venv-$key

# An environment knows its own path, so it is made in place; only the marker says that it is whole.
mkdir -p "$cache"
exec 9>"$venv.lock"
flock --timeout 900 9 || fail "another venv.sh has held $venv.lock for 15 minutes" "see who does: fuser $venv.lock"

if [ ! -e "$venv/.complete" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >&2 || fail "no virtual environment could be made in $venv"
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet \
        --requirement "${requirements[0]}" >&2 ||
        fail "the packages of ${requirements[0]} could not be installed (see above)" \
            "the package index must be reachable once; after that the cache in $cache serves"
    "$venv/bin/python" -m compileall -q "$venv/lib" >/dev/null 2>&1 || true   # some packages ship templates
    touch "$venv/.complete"
fi

echo "$venv/bin/python"
