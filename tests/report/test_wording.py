"""Words and numbers of a report."""

from __future__ import annotations

import pytest

from energybench.report.plots import _log_axis
from energybench.report.wording import group_of, listed, percent, plot_text, plural, quantity, shown_name

NB = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.1e-11, "J/MAC", f"11.00{NB}pJ/MAC"),
        (0.105, "J", f"105.0{NB}mJ"),
        (1234.5, "J", f"1.234{NB}kJ"),
        (0.0, "J", f"0{NB}J"),
        (-2.5e-6, "J", f"-2.500{NB}µJ"),
        (0.99999999, "J", f"1.000{NB}J"),
        (None, "J", "–"),
        (0.25, "1", "0.25"),
    ],
)
def test_quantity_keeps_one_precision(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0561, "5.6"), (-0.0561, "−5.6"), (0.00456, "0.46"), (1.0, "100"), (34.5, "3450"), (0.0, "0.00")],
)
def test_percent(value: float, text: str) -> None:
    assert percent(value) == f"{text}{NB}%"


def test_percent_signs_on_request() -> None:
    assert percent(0.05, signed=True) == f"+5.0{NB}%"
    assert percent(None) == "–"


def test_names_are_short_and_printable() -> None:
    assert shown_name("a\x00b\u202e\ud800") == "a\ufffdb\ufffd\ufffd"
    assert len(shown_name("n" * 10_000)) == 96
    assert shown_name("x" * 96) == "x" * 96
    assert shown_name("a" * 50 + "z" * 60).startswith("aaa")
    assert shown_name("a" * 50 + "z" * 60).endswith("zzz")


def test_plot_text_has_no_tags() -> None:
    assert plot_text("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"


def test_counts_and_lists() -> None:
    assert plural(1, "row") == f"1{NB}row"
    assert plural(12_345, "row") == f"12\N{NARROW NO-BREAK SPACE}345{NB}rows"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e-5), (1e-9, 1e3), (0.3, 0.9), (2e-12, 7e-12)])
def test_log_axis_has_ticks_inside_its_range(low: float, high: float) -> None:
    axis = _log_axis("energy", low, high, "J")
    assert 1 <= len(axis["tickvals"]) <= 12
    assert all(low <= tick <= high for tick in axis["tickvals"])
    assert len(axis["ticktext"]) == len(set(axis["ticktext"])) == len(axis["tickvals"])
    assert not any("e-" in text for text in axis["ticktext"])


def test_groups_of_workloads() -> None:
    assert group_of("vendor/copy/e16384/fp32") == "vendor/copy"
    assert group_of("conv2d/c16") == "conv2d"
    assert group_of("alone") == "alone"
