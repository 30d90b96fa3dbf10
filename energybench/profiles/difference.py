"""Two profiles beside each other: which coefficients differ, and whether the difference is more than their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from energybench.profiles.profile import DeviceProfile

#: Two-sided 5 % point of the normal law.
_SIGNIFICANT_Z: Final = 1.959964


@dataclass(frozen=True)
class CoefficientDifference:
    """One coefficient in two profiles; None where one lacks it or has no standard error.

    `ratio`        b over a
    `z`            difference over its standard error, the two fits being independent
    `significant`  |z| beyond 1.96; None where z does not exist
    """

    name: str
    unit: str
    a_value: float | None
    b_value: float | None
    ratio: float | None
    z: float | None
    significant: bool | None


def diff_profiles(a: DeviceProfile, b: DeviceProfile) -> tuple[list[str], list[CoefficientDifference]]:
    """Facts that differ, in words, and every coefficient of either profile."""
    facts = []
    for label, left, right in (
        ("equation", a.equation_name, b.equation_name),
        ("target", a.target, b.target),
        ("kind", a.kind, b.kind),
        ("traffic basis", a.traffic_basis, b.traffic_basis),
        ("device", a.device, b.device),
        ("meter", a.meter, b.meter),
        ("meter gain", a.meter_gain_rel, b.meter_gain_rel),
        ("power limit, W", a.held_power_w, b.held_power_w),
    ):
        if left != right:
            facts.append(f"{label}: {left} against {right}")
    for key in sorted({*a.environment, *b.environment}):
        if a.environment.get(key) != b.environment.get(key):
            facts.append(f"environment {key}: {a.environment.get(key)} against {b.environment.get(key)}")
    rows = [_difference(name, a, b) for name in dict.fromkeys([*a.coefficients, *b.coefficients])]
    return facts, rows


def _difference(name: str, a: DeviceProfile, b: DeviceProfile) -> CoefficientDifference:
    left, right = a.coefficients.get(name), b.coefficients.get(name)
    unit = (left or right).unit if left or right else ""  # type: ignore[union-attr]
    if left is None or right is None or left.unit != right.unit:
        return CoefficientDifference(
            name, unit, left.value if left else None, right.value if right else None, None, None, None
        )
    ratio = right.value / left.value if left.value else None
    z = None
    if left.bse is not None and right.bse is not None and (error := math.hypot(left.bse, right.bse)) > 0:
        z = (right.value - left.value) / error
    return CoefficientDifference(
        name, unit, left.value, right.value, ratio, z, None if z is None else abs(z) > _SIGNIFICANT_Z
    )
