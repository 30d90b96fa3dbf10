"""Did a change save energy? Two runs of the same workloads, compared in pairs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError
from energybench.units import Joule

if TYPE_CHECKING:
    import pandas as pd

#: Level of the interval of the mean change.
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class WorkloadChange:
    """Geometric mean energy per call of one workload in both runs; `change` is after/before − 1."""

    workload: str
    before_j: Joule
    after_j: Joule
    change: float


@dataclass(frozen=True)
class RunDifference:
    """The paired difference over all common workloads.

    `change low high p_value` are None where fewer than two workloads are common: one pair has no spread.
    """

    rows: tuple[WorkloadChange, ...]
    change: float | None
    low: float | None
    high: float | None
    p_value: float | None
    kind: str
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The answer in words."""
        n = len(self.rows)
        if self.change is None or self.low is None or self.high is None or self.p_value is None:
            return f"{n} common workload: no interval can be given; run at least two workloads in both runs."
        effect = f"{100 * self.change:+.1f} % ({100 * self.low:+.1f} … {100 * self.high:+.1f} %, 95 % interval)"
        basis = f"p = {self.p_value:.2g}, {n} workloads, {self.kind} energy"
        if self.low > 0:
            return f"The change costs energy: {effect}; {basis}."
        if self.high < 0:
            return f"The change saves energy: {effect}; {basis}."
        return f"No difference is shown: {effect}; {basis}."

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {**asdict(self), "level": LEVEL, "verdict": self.verdict}


def _log_energy(frame: pd.DataFrame) -> dict[str, float]:
    """Mean of log energy per call by workload, valid windows only."""
    valid = frame[frame["valid"] & (frame["energy_j"] > 0)]
    return {
        str(name): sum(math.log(e) for e in group) / len(group) for name, group in valid.groupby("workload")["energy_j"]
    }


def run_difference(before: pd.DataFrame, after: pd.DataFrame) -> RunDifference:
    """Compare two runs by workload; the workload is the unit of the t-interval, since repeats share their errors.

    Raises RecordError when the runs have no common workload, or when kinds or devices differ.
    """
    for column in ("kind", "device"):
        values = {*before[column], *after[column]}
        if len(values) != 1:
            raise RecordError(
                f"the runs differ in {column} ({', '.join(sorted(map(str, values)))}); compare runs of one {column}"
            )
    log_before, log_after = _log_energy(before), _log_energy(after)
    common = sorted(log_before.keys() & log_after.keys())
    if not common:
        raise RecordError("the runs have no valid workload in common; calibrate both with the same --design")
    logs = [log_after[name] - log_before[name] for name in common]
    rows = tuple(
        WorkloadChange(name, math.exp(log_before[name]), math.exp(log_after[name]), math.expm1(log))
        for name, log in zip(common, logs, strict=True)
    )
    change = low = high = p_value = None
    if len(logs) > 1:
        from scipy import stats

        n = len(logs)
        mean = sum(logs) / n
        se = math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)
        half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * se
        change, low, high = math.expm1(mean), math.expm1(mean - half), math.expm1(mean + half)
        p_value = float(2 * stats.t.sf(abs(mean) / se, n - 1)) if se > 0 else (1.0 if mean == 0 else 0.0)
    return RunDifference(
        rows,
        change,
        low,
        high,
        p_value,
        str(before["kind"].iloc[0]),
        tuple(sorted(log_before.keys() - log_after.keys())),
        tuple(sorted(log_after.keys() - log_before.keys())),
    )
