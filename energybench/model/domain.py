"""Where a fit holds: the mix of work its rows had, and how far outside a new call lies.

Only mixes count (MACs per byte, bytes per launch …), not sizes: every term is linear, so a hundred layers are as safe
as one, while a layer unlike any that was run is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from energybench.model.features import FeatureTable, FloatArray

#: A mix may lie this factor outside the range of the fitted rows before an estimate is called extrapolated.
SLACK: Final = 2.0

_MIXES: Final[Mapping[str, tuple[str, str]]] = {
    "macs_per_byte": ("macs", "bytes"),
    "other_flops_per_byte": ("other_flops", "bytes"),
    "macs_per_launch": ("macs", "launches"),
    "bytes_per_launch": ("bytes", "launches"),
}


def mixes(table: FeatureTable) -> dict[str, FloatArray]:
    """Ratios by name, shape (n,); NaN where the denominator is 0."""
    result = {}
    for name, (over, under) in _MIXES.items():
        a, b = table.column(over), table.column(under)
        result[name] = np.divide(a, b, out=np.full(len(table), np.nan), where=b > 0)
    return result


@dataclass(frozen=True)
class Domain:
    """What the fitted rows covered.

    `ranges`               mix -> (smallest, largest) over rows that have any of it; a mix that no row had is absent
    `input_distributions`  what the inputs were drawn from: values alone move the energy of a product at equal counts
    """

    ranges: Mapping[str, tuple[float, float]]
    dtypes: tuple[str, ...]
    kernel_classes: tuple[str, ...]
    families: tuple[str, ...]
    input_distributions: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: FeatureTable, families: tuple[str, ...], input_distributions: tuple[str, ...] = ()) -> Domain:
        """The domain of a table's rows, idle windows apart."""
        work = table.take(table.kernel_class != "idle")
        ranges = {}
        for name, values in mixes(work).items():
            there = values[np.isfinite(values) & (values > 0)]
            if there.size:
                ranges[name] = (float(there.min()), float(there.max()))
        classes = tuple(sorted({str(c) for c in work.kernel_class}))
        return cls(ranges, work.dtypes, classes, tuple(sorted(families)), tuple(sorted(input_distributions)))

    def outside(self, table: FeatureTable) -> list[str]:
        """Why the only row of a table lies outside, in words; empty where it lies inside."""
        reasons = []
        for name, values in mixes(table).items():
            value = float(values[0])
            if not np.isfinite(value) or value == 0:  # a term that is absent is priced right at 0
                continue
            label = name.replace("_", " ")
            if name not in self.ranges:
                reasons.append(f"{label} was never varied")
                continue
            low, high = self.ranges[name]
            if not low / SLACK <= value <= high * SLACK:
                reasons.append(f"{label} is {value:.3g}, fitted between {low:.3g} and {high:.3g}")
        return reasons

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "ranges": {name: {"min": low, "max": high} for name, (low, high) in self.ranges.items()},
            "dtypes": list(self.dtypes),
            "kernel_classes": list(self.kernel_classes),
            "families": list(self.families),
            "input_distributions": list(self.input_distributions),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Domain:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(
            {str(k): (float(v["min"]), float(v["max"])) for k, v in data["ranges"].items()},
            tuple(data["dtypes"]),
            tuple(data["kernel_classes"]),
            tuple(data["families"]),
            tuple(data["input_distributions"]),
        )
