from __future__ import annotations

import math

import pytest

from energybench.protocol.edge_noise import counted_noise_rel
from energybench.records.reading import MeterCharacteristics


def test_noise_of_one_update_from_idle_powers_and_widened_for_being_estimated():
    # five updates of 0.1 s a segment: the spread of one update is sqrt(5) times that of a segment
    found = MeterCharacteristics(0.1, 0.001, 1e-5, 2e-5, 40.0, 0.4)
    assert counted_noise_rel(found) == pytest.approx(0.01 * math.sqrt(5) * 2.262 / 1.960, rel=1e-12)
    assert counted_noise_rel(found, idle_segments=3) == pytest.approx(0.01 * math.sqrt(5) * 4.303 / 1.960, rel=1e-12)


def test_unknown_noise_is_none():
    assert counted_noise_rel(MeterCharacteristics(None, None, None, None, None, None)) is None
