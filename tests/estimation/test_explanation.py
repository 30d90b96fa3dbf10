"""Explaining misses: the planted culprit is named, and nothing is where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from energybench.estimation.explanation import TermOff, culprits, term_off

NAMES = ("mac_j", "byte_j", "static_w")


def rows(seed: int = 0, n: int = 60) -> Any:
    """Energies (n, 3) of the terms, over decades of mixes."""
    return 10 ** np.random.default_rng(seed).uniform(-3, 0, size=(n, 3))


@pytest.mark.parametrize(("column", "factor"), [(0, 1.3), (1, 0.9), (2, 0.97)])
def test_the_planted_term_is_found_with_its_factor(column: int, factor: float) -> None:
    energies = rows()
    true = energies.copy()
    true[:, column] *= factor
    noise = 1 + 0.001 * np.random.default_rng(1).standard_normal(len(true))
    found = term_off(NAMES, energies, true.sum(axis=1) * noise)
    assert found is not None
    assert found.term == NAMES[column]
    assert found.factor == pytest.approx(factor, abs=0.005)
    assert found.explained > 0.9
    assert NAMES[column] in found.text


def test_noise_has_no_culprit() -> None:
    energies = rows()
    for seed in range(20):
        noise = 1 + 0.02 * np.random.default_rng(seed).standard_normal(len(energies))
        assert term_off(NAMES, energies, energies.sum(axis=1) * noise) is None


def test_too_few_rows_or_no_miss_say_nothing() -> None:
    energies = rows(n=2)
    assert term_off(NAMES, energies, 2 * energies.sum(axis=1)) is None
    energies = rows()
    assert term_off(NAMES, energies, energies.sum(axis=1)) is None


def test_culprits_of_one_row_by_hand() -> None:
    found = culprits(NAMES, np.array([1.0, 2.0, 7.0]), 8.5)
    assert [c.term for c in found] == ["static_w", "byte_j", "mac_j"]
    assert found[0].factor == pytest.approx(5.5 / 7)
    assert found[0].share == pytest.approx(0.7)
    assert found[1].factor == pytest.approx(0.25)
    assert found[2].factor is None  # a MAC would have to give energy back


def test_a_term_off_reads_as_a_sentence() -> None:
    text = TermOff("byte_j", 0.9, 0.98).text
    assert text == "byte_j is off: 0.9× as large, it would explain 98% of the squared misses of all rows"


def test_a_coefficient_below_nothing_explains_nothing() -> None:
    """The misses are those of a MAC that gives energy back; another term is not to blame either."""
    energies = rows() + np.array([0.0, 1.0, 1.0])
    assert term_off(NAMES, energies, energies.sum(axis=1) - 1.5 * energies[:, 0]) is None
