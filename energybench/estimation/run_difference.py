"""Did a change save energy? Two runs of the same workloads, compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError
from energybench.units import Joule

if TYPE_CHECKING:
    import pandas as pd

#: Level of every interval here.
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """A mean change, after/before − 1, with its interval and p-value; all None where one pair or repeat has no spread.

    `verdict`  ``saves``, ``costs``, ``none shown`` or ``unknown``
    """

    change: float | None
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def verdict(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        return "costs" if self.low > 0 else "saves" if self.high < 0 else "none shown"


@dataclass(frozen=True, slots=True)
class WorkloadChange:
    """Geometric mean energy per call of one workload in both runs; `change` is after/before − 1.

    `low high`      interval by Welch's t over the repeats; None where either run has only one
    `p_value`       of no change, adjusted for the number of workloads (Holm 1979), so that one of many is not lucky
    `time_change`   the same of the duration
    """

    workload: str
    before_j: Joule
    after_j: Joule
    change: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    time_change: float | None = None

    @property
    def verdict(self) -> str:
        """In words; a workload counts as changed where its adjusted p-value is below 1 − `LEVEL`."""
        if self.p_value is None:
            return "unknown"
        if self.p_value >= 1 - LEVEL:
            return "none shown"
        return "costs" if self.change > 0 else "saves"


@dataclass(frozen=True)
class RunDifference:
    """The paired difference over all common workloads.

    `change low high p_value` are None where fewer than two workloads are common: one pair has no spread.
    `time`       the paired difference of the durations
    `by_domain`  the same for the energy of each meter domain that both runs have
    """

    rows: tuple[WorkloadChange, ...]
    change: float | None
    low: float | None
    high: float | None
    p_value: float | None
    kind: str
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    time: Change = Change(None, None, None, None)
    by_domain: Mapping[str, Change] = field(default_factory=dict)

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

    @property
    def details(self) -> tuple[str, ...]:
        """What the mean hides, a sentence each: workloads that go the other way, time, domains."""
        sentences = []
        counted = {word: sum(r.verdict == word for r in self.rows) for word in ("saves", "costs", "none shown")}
        if any(counted.values()):
            sentences.append(
                f"By workload: {counted['saves']} save, {counted['costs']} cost, {counted['none shown']} show no "
                "difference (95 %, adjusted for their number)."
            )
        if self.time.change is not None and self.time.low is not None and self.time.high is not None:
            sentences.append(
                f"Time per call: {100 * self.time.change:+.1f} % "
                f"({100 * self.time.low:+.1f} … {100 * self.time.high:+.1f} %)."
            )
        return tuple(sentences)

    def with_domains(self, by_domain: Mapping[str, Change]) -> RunDifference:
        """The same with the differences by meter domain."""
        return replace(self, by_domain=by_domain)

    @property
    def whole(self) -> Change:
        """The difference of the total."""
        return Change(self.change, self.low, self.high, self.p_value)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            **asdict(self),
            "rows": [{**asdict(row), "verdict": row.verdict} for row in self.rows],
            "by_domain": {name: {**asdict(c), "verdict": c.verdict} for name, c in self.by_domain.items()},
            "level": LEVEL,
            "verdict": self.verdict,
            "details": list(self.details),
        }


def _logs(frame: pd.DataFrame, column: str) -> dict[str, list[float]]:
    """Logarithms of a column by workload: valid windows that did work, for an idle window's energy is its length."""
    valid = frame[frame["valid"] & (frame["split"] != "idle") & (frame["energy_j"] > 0) & (frame[column] > 0)]
    return {str(name): [math.log(v) for v in group] for name, group in valid.groupby("workload")[column]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((x - mean) ** 2 for x in values) / (len(values) - 1)


def paired_change(logs: Sequence[float]) -> Change:
    """Student's t over paired differences of logarithms."""
    if len(logs) < 2:
        return Change(None, None, None, None)
    return _student(_mean(logs), math.sqrt(_variance(logs) / len(logs)), len(logs) - 1)


def _student(mean: float, se: float, dof: float) -> Change:
    from scipy import stats

    if se == 0:
        return Change(math.expm1(mean), math.expm1(mean), math.expm1(mean), 1.0 if mean == 0 else 0.0)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, dof)) * se
    p_value = float(2 * stats.t.sf(abs(mean) / se, dof))
    return Change(math.expm1(mean), math.expm1(mean - half), math.expm1(mean + half), p_value)


def welch_change(before: Sequence[float], after: Sequence[float]) -> Change:
    """Welch's t over the repeats of one workload, in logarithms; all None where either has fewer than two."""
    if len(before) < 2 or len(after) < 2:
        return Change(None, None, None, None)
    a, b = _variance(before) / len(before), _variance(after) / len(after)
    spread = a**2 / (len(before) - 1) + b**2 / (len(after) - 1)
    return _student(_mean(after) - _mean(before), math.sqrt(a + b), (a + b) ** 2 / spread if spread > 0 else 1.0)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for their number (Holm 1979); None stays None."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    result: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(known):
        highest = max(highest, min(p * (len(known) - place), 1.0))
        result[i] = highest
    return result


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
    log_before, log_after = _logs(before, "energy_j"), _logs(after, "energy_j")
    common = sorted(log_before.keys() & log_after.keys())
    if not common:
        raise RecordError("the runs have no valid workload in common; calibrate both with the same --design")
    times_before, times_after = _logs(before, "time_s"), _logs(after, "time_s")
    time_logs = {name: _mean(times_after[name]) - _mean(times_before[name]) for name in common}
    changes = [welch_change(log_before[name], log_after[name]) for name in common]
    adjusted = holm([c.p_value for c in changes])
    logs = [_mean(log_after[name]) - _mean(log_before[name]) for name in common]
    rows = tuple(
        WorkloadChange(
            name,
            math.exp(_mean(log_before[name])),
            math.exp(_mean(log_after[name])),
            math.expm1(log),
            own.low,
            own.high,
            p_value,
            math.expm1(time_logs[name]),
        )
        for name, log, own, p_value in zip(common, logs, changes, adjusted, strict=True)
    )
    whole = paired_change(logs)
    return RunDifference(
        rows,
        whole.change,
        whole.low,
        whole.high,
        whole.p_value,
        str(before["kind"].iloc[0]),
        tuple(sorted(log_before.keys() - log_after.keys())),
        tuple(sorted(log_after.keys() - log_before.keys())),
        paired_change(list(time_logs.values())),
    )


def domain_change(before: Mapping[str, Sequence[Joule]], after: Mapping[str, Sequence[Joule]]) -> Change:
    """The paired difference of one domain: workload -> energies per call of its valid windows, in both runs.

    Energies that are not positive have no logarithm and are left out.
    """
    logs = []
    for name in sorted(before.keys() & after.keys()):
        a, b = ([math.log(e) for e in run[name] if e > 0] for run in (before, after))
        if a and b:
            logs.append(_mean(b) - _mean(a))
    return paired_change(logs)
