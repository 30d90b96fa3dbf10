"""docs/meters.md promises a test for each of the twenty pitfalls: every one that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"`(test_\w+)`")


def rows() -> list[list[str]]:
    """Cells of the table of pitfalls: what goes wrong, what is done, which tests."""
    section = (ROOT / "docs" / "meters.md").read_text(encoding="utf-8").partition("## The twenty pitfalls")[2]
    lines = section.partition("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return cells[2:]


def defined_tests() -> set[str]:
    """Every test function of the suite."""
    pattern = re.compile(r"^\s*def (test_\w+)\(", re.MULTILINE)
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }


def test_each_of_the_twenty_is_answered_by_tests_that_exist():
    numbered = [row for row in rows() if row[0].split()[0].isdigit()]
    assert [int(row[0].split()[0]) for row in numbered] == list(range(1, 21))
    for what, done, tests in rows():
        assert done, what
        assert _NAME.search(tests), f"{what}: no test is named"


def test_every_test_that_the_page_names_exists():
    named = set(_NAME.findall((ROOT / "docs" / "meters.md").read_text(encoding="utf-8")))
    assert len(named) > 40
    assert named <= defined_tests(), f"not in the suite: {sorted(named - defined_tests())}"
