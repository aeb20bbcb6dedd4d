#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the interoperability tests: tests/interop/run.sh [PYTEST ARGUMENT]...
# JMP_BUILD names the build tree, build/dev without; --exporter=stock judges the tests by the stock exporter.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/venv.sh")
cd "$here"
export PYTHONDONTWRITEBYTECODE=1
exec "$python" -m pytest "$@"
