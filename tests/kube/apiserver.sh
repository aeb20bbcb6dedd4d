#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests with the API server of Kubernetes: tests/kube/apiserver.sh [PYTEST ARGUMENT]... Exit status 77, and why, without
# the server or its etcd; scripts/check --kube brings both.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/../../scripts/kube-apiserver" --cached >/dev/null || exit 77
command -v etcd >/dev/null || { echo "there is no etcd: apt-get install etcd-server" >&2; exit 77; }
exec "$here/run.sh" "$@"
