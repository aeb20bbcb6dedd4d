# SPDX-License-Identifier: Apache-2.0
"""Every case of cases.tsv and every feature of features.tsv is there, and kept by tests that exist and run."""

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
CASES = 102
FEATURES = {"L": 20, "C": 25, "G": 37, "M": 19, "N": 30}


def rows(name):
    return [line.split("\t") for line in (HERE / name).read_text().splitlines() if not line.startswith("#")]


def test_no_case_is_missing():
    assert [row[0] for row in rows("cases.tsv")] == [str(number) for number in range(1, CASES + 1)]
    assert len({row[1] for row in rows("cases.tsv")}) == CASES


def test_no_feature_is_missing():
    assert [row[0] for row in rows("features.tsv")] == [
        f"{letter}{number:02}" for letter, count in FEATURES.items() for number in range(1, count + 1)]


def test_features_are_where_they_are_said_to_be():
    missing = []
    for feature, _, place, _ in rows("features.tsv"):
        path, word = place.split(":")
        if not (TOP / path).exists() or not re.search(rf"\b{word}\b", (TOP / path).read_text()):
            missing.append(f"{feature}: {place}")
    assert not missing, missing


def is_there(test):
    """A test that is defined, in a file that is registered beside it."""
    path, name = test.split(":")
    file = TOP / path
    if not file.exists():
        return False
    text, registered = file.read_text(), file.with_name("CMakeLists.txt").read_text()
    if file.name == "CMakeLists.txt":
        return re.search(rf"\bNAME {name}\b", text)
    if path.endswith(".c"):
        return re.search(rf"^JMP_TEST\({name}\)", text, re.MULTILINE) and re.search(rf"\b{file.stem.removesuffix('_test')}\b", registered)
    for part in name.split("."):
        text = re.split(rf"^ *(?:def|class) {part}\b", text, maxsplit=1, flags=re.MULTILINE)
        if len(text) == 1:
            return False
        text = text[1]
    return re.search(rf"\b{file.stem.removeprefix('test_')}\b", registered)


@pytest.mark.parametrize("table", ["cases.tsv", "features.tsv"])
def test_tests_are_there_and_run(table):
    tests = [(row[0], test) for row in rows(table) for test in row[-1].split(" ")]
    assert len(tests) > len(rows(table))
    missing = [f"{number}: {test}" for number, test in tests if not is_there(test)]
    assert not missing, missing


def test_a_test_that_is_not_there_is_noticed():
    for test in ("kube/when_test.c:ages_are_long", "kube/then_test.c:ages_are_short", "tests/kube/test_admin.py:test_nothing",
                 "tests/interop/test_parity.py:TestBusy.test_nothing", "tests/project/CMakeLists.txt:nothing",
                 "base/test.c:ages_are_short"):
        assert not is_there(test), test


# Programs with tables of selectors, labels, tags, times, durations, ages and conditions; each prints how many rows it has walked.
TABLES = ("labd/labd-selector-test", "labd/labd-lease-test", "ctl/ctl-table-test", "kube/kube-when-test", "client/client-objects-test")


def test_the_tables_have_two_hundred_rows(request):
    build, count = Path(request.config.getoption("--build")).resolve(), 0
    for program in TABLES:
        if program.startswith("labd/") and not (build / program).exists():
            pytest.skip("built without labd")
        done = subprocess.run([build / program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        rows_of = [int(number) for number in re.findall(r"^(\d+) rows$", done.stdout, re.MULTILINE)]
        assert rows_of, program
        count += sum(rows_of)
    print(f"{count} rows")
    assert count >= 200
