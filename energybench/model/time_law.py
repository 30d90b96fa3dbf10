"""How long a call lasts: a roofline over counts, evaluated here and fitted in `energybench.fitting`.

T = soft-max(Σ_d MACs_d·mac_s[d] + other_flops·other_flop_s, bytes·byte_s) + launches·launch_s

The soft maximum is the p-norm with p = `sharpness`; None is the hard maximum (Williams, Waterman and Patterson 2009).
The law is homogeneous of degree one but not additive: predict operator by operator and sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from energybench.model.features import MAC_COLUMNS, FeatureTable, FloatArray
from energybench.units import Second


def soft_maximum(a: FloatArray, b: FloatArray, sharpness: float | None) -> FloatArray:
    """(aᵖ + bᵖ)^(1/p) of non-negative (n,) arrays, p = `sharpness`; the plain maximum for None."""
    high = np.maximum(a, b)
    if sharpness is not None:
        # scaled by the larger side, so that the powers can neither overflow nor vanish
        ratio = np.minimum(a, b) / np.where(high > 0, high, 1.0)
        high = high * (1.0 + ratio**sharpness) ** (1.0 / sharpness)
    return np.asarray(high, dtype=np.float64)


@dataclass(frozen=True)
class TimeLaw:
    """Seconds per unit of work.

    `mac_s`      per MAC, by element type
    `rel_stdev`  robust relative spread of measured over predicted time in the rows it was fitted to
    `nobs`       number of those rows
    """

    mac_s: Mapping[str, Second]
    other_flop_s: Second
    byte_s: Second
    launch_s: Second
    sharpness: float | None
    rel_stdev: float
    nobs: int

    def covers(self, dtypes: tuple[str, ...]) -> bool:
        """Whether every element type has a rate."""
        return all(dtype in self.mac_s for dtype in dtypes)

    def predict_s(self, table: FeatureTable) -> FloatArray:
        """Durations in seconds, shape (n,)."""
        compute = table.column("other_flops") * self.other_flop_s
        for dtype, mac_s in self.mac_s.items():
            compute = compute + table.column(MAC_COLUMNS[dtype]) * mac_s
        memory = table.column("bytes") * self.byte_s
        return soft_maximum(compute, memory, self.sharpness) + table.column("launches") * self.launch_s

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "law": "roofline",
            "mac_s": dict(self.mac_s),
            "other_flop_s": self.other_flop_s,
            "byte_s": self.byte_s,
            "launch_s": self.launch_s,
            "sharpness": self.sharpness,
            "rel_stdev": self.rel_stdev,
            "nobs": self.nobs,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimeLaw:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(
            mac_s={str(k): float(v) for k, v in data["mac_s"].items()},
            other_flop_s=float(data["other_flop_s"]),
            byte_s=float(data["byte_s"]),
            launch_s=float(data["launch_s"]),
            sharpness=None if data["sharpness"] is None else float(data["sharpness"]),
            rel_stdev=float(data["rel_stdev"]),
            nobs=int(data["nobs"]),
        )
