"""Verdicts by hand, at the edges of their rules."""

from __future__ import annotations

from typing import Any

import pytest

from energybench.fitting.verdict import judge
from energybench.model.physical import mac_term

CALM: dict[str, Any] = {
    "value": 1.0,
    "half_width": 0.05,
    "at_bound": False,
    "empty": False,
    "alone": False,
    "significantly_negative": False,
    "vif": 1.0,
    "partners": (),
}


@pytest.mark.parametrize(
    ("changed", "verdict", "words"),
    [
        ({}, "identified", "±5.0%"),
        ({"half_width": 0.1}, "identified", "±10.0%"),
        ({"half_width": 0.11}, "weak", "±11%"),
        ({"half_width": 0.99}, "weak", "run matrix products"),
        ({"half_width": 1.0}, "not identified", "its interval holds 0"),
        ({"half_width": None}, "not identified", "no spread is left over"),
        ({"at_bound": True}, "not identified", "not a finding that it is free"),
        ({"empty": True}, "not identified", "no row has any of it"),
        ({"alone": True}, "not identified", "only one workload"),
        ({"significantly_negative": True, "at_bound": True}, "model misfit", "another term is missing"),
        ({"tied": True}, "not identified", "held at the narrower type's"),
        ({"partners": ("byte_j",), "vif": 50.0}, "identified", "though collinear with byte_j"),
        (
            {"partners": ("byte_j",), "vif": 50.0, "half_width": None},
            "not identified",
            "collinear with byte_j (VIF 50)",
        ),
        ({"value": 0.0}, "not identified", "its interval holds 0"),
    ],
)
def test_verdicts_by_hand(changed: dict[str, Any], verdict: str, words: str) -> None:
    finding = judge(mac_term("float32"), **{**CALM, **changed})
    assert finding.verdict == verdict
    assert words in str(finding)
