# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: programs under test, simulated boards, the stock client, certificates."""
