"""The energy roofline: energy per FLOP against arithmetic intensity (Choi, Bedard, Fowler and Vuduc 2013)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from energybench.records.op_counts import DTYPE_BYTES, DTYPE_SHORT
from energybench.report.rows import ReportRow
from energybench.units import Joule

if TYPE_CHECKING:
    from energybench.report.data import ReportData

#: A row whose FLOPs and bytes are a smaller share of its energy than this would stretch the axis and say nothing here.
LEAST_SHARE: Final = 0.01


@dataclass(frozen=True)
class RooflinePoint:
    """One compared row: FLOP per byte and joules per FLOP."""

    row: ReportRow
    dtype: str
    intensity: float
    energy_per_flop_j: Joule


@dataclass(frozen=True)
class Roof:
    """What one element type costs per FLOP: ε_flop + ε_byte / I, launches and static power apart.

    `balance`  intensity in FLOP/B at which bytes cost as much as FLOPs, ε_byte / ε_flop; None where either is 0
    """

    dtype: str
    flop_j: Joule
    byte_j: Joule
    balance: float | None

    def energy_per_flop_j(self, intensity: float) -> Joule:
        """The roof at an intensity in FLOP/B."""
        return self.flop_j + self.byte_j / intensity

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"dtype": self.dtype, "flop_j": self.flop_j, "byte_j": self.byte_j, "balance_flop_per_b": self.balance}


@dataclass(frozen=True)
class Roofline:
    """Points and roofs.

    `without_work`  rows that have no FLOPs or move no bytes
    `elsewhere`     rows whose energy the roof explains to less than `LEAST_SHARE`: launches, mostly
    """

    points: list[RooflinePoint]
    roofs: list[Roof]
    without_work: int
    elsewhere: int


def energy_roofline(data: ReportData, rows: Sequence[ReportRow]) -> Roofline | None:
    """The roofline of a `physical` fit; None for other equations, whose coefficients are not joules per operation."""
    params: Mapping[str, Mapping[str, Any]] = data.fit["params"]
    if data.fit["equation"] != "physical" or "byte_j" not in params:
        return None
    byte_j = float(params["byte_j"]["value"])
    roofs = {}
    for dtype in DTYPE_BYTES:
        name = f"mac_{DTYPE_SHORT[dtype]}_j"
        if name in params:
            flop_j = float(params[name]["value"]) / 2  # a MAC is two FLOPs
            roofs[dtype] = Roof(dtype, flop_j, byte_j, byte_j / flop_j if flop_j > 0 and byte_j > 0 else None)
    frame = data.records
    flops, moved = frame["flops"].to_numpy(), frame["bytes"].to_numpy()
    points = []
    without_work = elsewhere = 0
    for row in rows:
        work, size = float(flops[row.index]), float(moved[row.index])
        if work <= 0 or size <= 0:
            without_work += 1
            continue
        point = RooflinePoint(row, str(frame["dtype"].iloc[row.index]), work / size, row.recorded_j / work)
        roof = roofs.get(point.dtype)
        explained = 0.0 if roof is None else roof.energy_per_flop_j(point.intensity)
        if 0 < explained < LEAST_SHARE * point.energy_per_flop_j:
            elsewhere += 1
        else:
            points.append(point)
    return Roofline(points, list(roofs.values()), without_work, elsewhere) if points else None
