#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests with hostile peers: tests/hostile/run.sh [PYTEST ARGUMENT]...; -s shows what each attack costs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/../interop/venv.sh")
cd "$here"
export PYTHONDONTWRITEBYTECODE=1
exec "$python" -m pytest "$@"
