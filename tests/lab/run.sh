#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests with simulated hardware, in a guest: tests/lab/run.sh [PYTEST ARGUMENT]...
# JMP_BUILD or --build name the build tree, build/dev without; LAB_TIME the seconds after which the guest is ended;
# LAB_SYSTEMD the build tree that a guest under systemd is to have installed; LAB_KERNEL_ARGUMENT a word more for its kernel.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/kernel" >/dev/null     # first, for without it there is nothing to install an environment for
python=$("$here/../interop/venv.sh")
[ -z "${LAB_SYSTEMD-}" ] || LAB_SYSTEMD=$(realpath "$LAB_SYSTEMD")
cd "$here"
export PYTHONDONTWRITEBYTECODE=1
exec ./boot --time "${LAB_TIME:-600}" ${LAB_SYSTEMD:+--systemd "$LAB_SYSTEMD"} \
    ${LAB_KERNEL_ARGUMENT:+--kernel-argument "$LAB_KERNEL_ARGUMENT"} -- "$python" -m pytest "$@"
