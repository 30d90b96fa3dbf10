"""Virtual devices that are not the equation, through the whole protocol: each says so, and intervals still cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from benchmarks.study_devices import CASES
from energybench.estimation import compare_records
from energybench.fitting import fit_records
from energybench.profiles import DeviceProfile

NAMES = ("none", "hidden", "tile", "cache", "sm", "dvfs", "thermal")
Case = tuple[Any, Any]


@pytest.fixture(scope="module")
def study(calibrated: Callable[..., pd.DataFrame]) -> Callable[[str], Case]:
    known: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in known:
            frame = calibrated(CASES[name])
            fit = fit_records(frame)
            held = frame[frame["split"] == "heldout"]
            known[name] = fit, compare_records(held, DeviceProfile.from_fit(fit, name=name))
        return known[name]

    return case


def test_the_right_equation_raises_nothing(study: Callable[[str], Case]) -> None:
    fit, _ = study("none")
    assert not fit.misfit.present
    assert set(fit.params) == {"mac_fp32_j", "other_flop_j", "byte_j", "launch_j", "static_power_w"}
    assert not any("drift" in note for note in fit.notes)
    assert set(fit.verdicts.values()) == {"identified"}


@pytest.mark.parametrize("name", ["hidden", "tile"])
def test_work_that_counts_do_not_explain_is_a_misfit(study: Callable[[str], Case], name: str) -> None:
    assert study(name)[0].misfit.present


def test_a_clock_that_falls_unseen_is_a_misfit(calibrated: Callable[..., pd.DataFrame]) -> None:
    untold = fit_records(calibrated(CASES["dvfs"]).drop(columns="power_cap_w"))
    assert untold.misfit is not None
    assert untold.misfit.present


def test_power_of_working_units_gets_its_term(study: Callable[[str], Case]) -> None:
    fit, _ = study("sm")
    assert fit.params["active_power_w"] == pytest.approx(30.0, rel=0.05)
    assert not fit.misfit.present


def test_leakage_that_creeps_up_is_named_as_drift(study: Callable[[str], Case]) -> None:
    fit, _ = study("thermal")
    assert any("power wanders" in note for note in fit.notes)


def test_intervals_still_cover(study: Callable[[str], Case]) -> None:
    """90 % nominal; every section counts alike, the networks of all of them together."""
    compared = [study(name)[1] for name in NAMES]
    hits, total = sum(c.hits for c in compared), sum(c.with_interval for c in compared)
    assert {c.with_interval for c in compared} == {8}, "the quick design has time for two windows of each network"
    assert hits >= 0.85 * total
    assert all(c.hits >= 0.5 * c.with_interval for c in compared)
