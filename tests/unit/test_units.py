from __future__ import annotations

import pytest

from energybench import units


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.3e-5, "J", "13 µJ"),
        (0.0, "J", "0 J"),
        (1234.5, "J", "1.234 kJ"),
        (0.999999, "W", "1 W"),
        (2.5e-12, "J", "2.5 pJ"),
        (4e-16, "J", "0.4 fJ"),
        (-0.02, "J", "-20 mJ"),
        (3.2e13, "MAC/s", "32 TMAC/s"),
        (7.0, "", "7"),
    ],
)
def test_format_si(value: float, unit: str, text: str) -> None:
    assert units.format_si(value, unit) == text


def test_conversions_are_exact_integers() -> None:
    assert units.uj_to_nj(262_143_328_850) == 262_143_328_850_000
    assert units.mj_to_nj(1) == 1_000_000
    assert units.j_to_nj(1.5e-9) in (1, 2)
    assert units.nj_to_j(1_500_000_000) == 1.5
    assert units.s_to_ns(0.1) == 100_000_000
    assert units.mw_to_w(1500) == 1.5
    assert units.mhz_to_hz(1980) == 1.98e9
