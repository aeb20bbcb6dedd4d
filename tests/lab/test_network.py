# SPDX-License-Identifier: Apache-2.0
"""A line that loses and delays packets; many a machine's own kernel has no netem, this one has."""

import subprocess
import sys
from pathlib import Path


def test_loss_and_delay(request):
    network = Path(__file__).resolve().parents[1] / "faults" / "network.py"
    built = Path(request.config.getoption("--build")).resolve()
    done = subprocess.run([sys.executable, "-B", network, "--build", built, "--loss"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    assert "5 % lost: the calls go on" in done.stdout
