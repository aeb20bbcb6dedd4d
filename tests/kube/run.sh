#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests of the Kubernetes side: tests/kube/run.sh [PYTEST ARGUMENT]...
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/../interop/venv.sh")
cd "$here"
export PYTHONDONTWRITEBYTECODE=1
exec "$python" -m pytest "$@"
