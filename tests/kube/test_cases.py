# SPDX-License-Identifier: Apache-2.0
"""Every promise of cases.tsv is kept by tests that exist and run."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]


def cases():
    for line in (HERE / "cases.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, tests = line.split("\t")
            yield name, tests.split()


def test_names_differ():
    names = [name for name, _ in cases()]
    assert len(names) == len(set(names)) > 80


def test_tests_are_there_and_run():
    missing = []
    for name, tests in cases():
        for test in tests:
            path, function = test.split(":")
            text = (TOP / path).read_text()
            found = rf"^JMP_TEST\({function}\)" if path.endswith(".c") else rf"^def {function}\("
            registered = (TOP / path).with_name("CMakeLists.txt").read_text()
            part = Path(path).stem.removesuffix("_test") if path.endswith(".c") else Path(path).stem.removeprefix("test_")
            if not re.search(found, text, re.MULTILINE) or not re.search(rf"\b{part}\b", registered):
                missing.append(f"{name}: {test}")
    assert not missing, missing
