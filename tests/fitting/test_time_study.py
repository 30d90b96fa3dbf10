"""What ``make study-time`` concludes from its figures, and where it writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.page_part import write_part
from benchmarks.time_study import verdict

GOOD = {"roofline": 0.4, "by class": 0.38, "by shape": 0.15, "MACs only": 0.5}


@pytest.mark.parametrize(
    ("changes", "hits", "said"),
    [
        ({}, 16, "holds"),
        ({}, 15, "does not hold: intervals hold fewer than 16 of 20"),
        ({"by shape": 0.26}, 20, "does not hold: its median error is above 25%"),
        ({"MACs only": 0.14}, 20, "does not hold: another law's median error is 14.0%"),
    ],
)
def test_the_verdict_follows_its_rule(changes: dict[str, float], hits: int, said: str) -> None:
    assert verdict({**GOOD, **changes}, hits, 20) == f"**Verdict: the law by shape {said}.**"


def test_only_the_named_part_of_a_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one: begin -->\nold\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n")
    write_part(page, "one", ["new", "lines"])
    after = page.read_text()
    assert (
        after == "a\n<!-- one: begin -->\nnew\nlines\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n"
    )
    with pytest.raises(ValueError, match="no place for three"):
        write_part(page, "three", [])
    assert page.read_text() == after
