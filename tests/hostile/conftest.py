# SPDX-License-Identifier: Apache-2.0
"""Fixtures are those of the interoperability tests."""

pytest_plugins = ["interop.conftest"]


def pytest_configure(config):
    config.addinivalue_line("markers", "native(reason): asks for what the stock exporter cannot do")
