"""How long a call lasts: rooflines over counts and the host's dispatch, evaluated here and fitted in `fitting`.

An operator's kernels take  soft-max(Σ_d MACs_d·mac_s[d] + other_flops·other_flop_s, bytes·byte_s) + launches·launch_s,
at the rates of its kernel class where these are known, else at those of all kernels. The soft maximum is the p-norm
with p = `sharpness`; None is the hard maximum (Williams, Waterman and Patterson 2009).

Where operators were timed in numbers, an operator takes that roofline times a factor of its shape (`Efficiency`).

In eager execution the host must hand over every kernel, `dispatch_s` each, while the device works on those before:
T = max(Σ kernel, Σ host). A captured graph has no such host: T = Σ kernel. These are two states of one device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from energybench.model.efficiency import Efficiency
from energybench.model.features import MAC_COLUMNS, FeatureTable, FloatArray
from energybench.units import Second, Watt


def soft_maximum(a: FloatArray, b: FloatArray, sharpness: float | None) -> FloatArray:
    """(aᵖ + bᵖ)^(1/p) of non-negative (n,) arrays, p = `sharpness`; the plain maximum for None."""
    high = np.maximum(a, b)
    if sharpness is not None:
        # scaled by the larger side, so that the powers can neither overflow nor vanish
        ratio = np.minimum(a, b) / np.where(high > 0, high, 1.0)
        high = high * (1.0 + ratio**sharpness) ** (1.0 / sharpness)
    return np.asarray(high, dtype=np.float64)


@dataclass(frozen=True)
class Rates:
    """Seconds per unit of work of one kind of kernel; `mac_s` by element type."""

    mac_s: Mapping[str, Second]
    other_flop_s: Second
    byte_s: Second
    launch_s: Second
    sharpness: float | None

    def kernel_s(self, table: FeatureTable) -> FloatArray:
        """Time of the kernels of each row, shape (n,)."""
        compute = table.column("other_flops") * self.other_flop_s
        for dtype, mac_s in self.mac_s.items():
            compute = compute + table.column(MAC_COLUMNS[dtype]) * mac_s
        memory = table.column("bytes") * self.byte_s
        return soft_maximum(compute, memory, self.sharpness) + table.column("launches") * self.launch_s

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "mac_s": dict(self.mac_s),
            "other_flop_s": self.other_flop_s,
            "byte_s": self.byte_s,
            "launch_s": self.launch_s,
            "sharpness": self.sharpness,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rates:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(
            mac_s={str(k): float(v) for k, v in data["mac_s"].items()},
            other_flop_s=float(data["other_flop_s"]),
            byte_s=float(data["byte_s"]),
            launch_s=float(data["launch_s"]),
            sharpness=None if data["sharpness"] is None else float(data["sharpness"]),
        )


@dataclass(frozen=True)
class TimeLaw:
    """The durations of one device.

    `rates`       of all kernels
    `by_class`    of the kernel classes that earn rates of their own
    `dispatch_s`  time of the host per launch, 0 where the device is never seen to wait for it
    `rel_stdev`   robust relative spread of measured over predicted time in the rows it was fitted to
    `nobs`        number of those rows
    `efficiency`  how far operators of a shape stay behind the roofline, None where timed operators do not tell
    `network_scores` network that the law never saw -> |ln(taken / predicted)| of each of its sizes; they calibrate
                  intervals of predicted times
    `power_cap_w` power limit that stretches the time of work that would draw more, None where none shows
    `cap_exponent` power of that stretch, from 1 (one voltage) down to 1/3 (the voltage falls as the clock does)
    """

    rates: Rates
    rel_stdev: float
    nobs: int
    by_class: Mapping[str, Rates] = field(default_factory=dict)
    dispatch_s: Second = 0.0
    power_cap_w: Watt | None = None
    cap_exponent: float = 1.0
    efficiency: Efficiency | None = None
    network_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def covers(self, dtypes: tuple[str, ...]) -> bool:
        """Whether every element type has a rate."""
        return all(dtype in self.rates.mac_s for dtype in dtypes)

    def kernel_s(self, table: FeatureTable) -> FloatArray:
        """Time of the device for each operator, shape (n,)."""
        result = self.rates.kernel_s(table)
        for name, rates in self.by_class.items():
            mine = table.kernel_class == name
            if mine.any():
                result[mine] = rates.kernel_s(table.take(mine))
        return result if self.efficiency is None else result * self.efficiency.factor(table)

    def host_s(self, table: FeatureTable) -> FloatArray:
        """Time of the host for each operator in eager execution, shape (n,)."""
        return table.column("launches") * self.dispatch_s

    def predict_s(self, table: FeatureTable, *, graph: bool = False) -> FloatArray:
        """Durations of rows that run each by itself, over and over, shape (n,)."""
        return self.kernel_s(table) if graph else np.maximum(self.kernel_s(table), self.host_s(table))

    def call_s(self, operators: FeatureTable, *, graph: bool = False) -> Second:
        """Duration of one call that runs all operators of a table: the host runs ahead while the device is busy."""
        kernel = float(np.sum(self.kernel_s(operators)))
        return kernel if graph else max(kernel, float(np.sum(self.host_s(operators))))

    def under_cap_s(self, time_s: FloatArray, energy_j: FloatArray, timed_power_w: FloatArray) -> FloatArray:
        """Durations (n,) with the power cap: what is not drawn by time, Σ ε·N, takes at least Σ ε·N / (cap − P·1).

        That is the third side of the roofline (Choi et al., IPDPS 2014). `energy_j` (n,) is spent in `time_s` (n,), of
        it `timed_power_w` (n,) by time. Work that lasts x times as long as without the limit at one voltage lasts
        x^p times as long where the voltage V falls with the clock f: at V² ∝ f², f²·x = 1/f, so p = 1/3.
        """
        if self.power_cap_w is None:
            return time_s
        left_w = self.power_cap_w - timed_power_w
        work_j = energy_j - timed_power_w * time_s
        longest = np.divide(work_j, left_w, out=np.zeros(len(time_s)), where=left_w > 0)
        stretch = np.divide(longest, time_s, out=np.ones(len(time_s)), where=time_s > 0)
        return np.asarray(time_s * np.maximum(stretch, 1.0) ** self.cap_exponent, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "law": "roofline",
            "rates": self.rates.to_dict(),
            "by_class": {name: rates.to_dict() for name, rates in self.by_class.items()},
            "dispatch_s": self.dispatch_s,
            "rel_stdev": self.rel_stdev,
            "nobs": self.nobs,
            "power_cap_w": self.power_cap_w,
            "cap_exponent": self.cap_exponent,
            "efficiency": None if self.efficiency is None else self.efficiency.to_dict(),
            "network_scores": {name: list(scores) for name, scores in self.network_scores.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimeLaw:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(
            rates=Rates.from_dict(data["rates"]),
            rel_stdev=float(data["rel_stdev"]),
            nobs=int(data["nobs"]),
            by_class={str(name): Rates.from_dict(rates) for name, rates in data["by_class"].items()},
            dispatch_s=float(data["dispatch_s"]),
            power_cap_w=data.get("power_cap_w"),
            cap_exponent=float(data.get("cap_exponent", 1.0)),
            efficiency=Efficiency.from_dict(data["efficiency"]) if data.get("efficiency") else None,
            network_scores={str(name): tuple(scores) for name, scores in data.get("network_scores", {}).items()},
        )
