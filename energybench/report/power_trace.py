"""Power over the run: the mean between every two readings of the meter, with the edges of the windows.

Nothing is interpolated: a counter says how much energy went by between two readings and nothing about when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from energybench.records.reading import Reading
from energybench.units import Second, Watt, nj_to_j, ns_to_s

if TYPE_CHECKING:
    from energybench.records.window_readings import WindowReadings
    from energybench.report.data import ReportData

#: What a stretch of the run was.
Stretch: TypeAlias = Literal["work", "idle", "discarded", "between"]

#: Windows that are drawn; a longer run shows its first ones and says so.
MAX_WINDOWS: Final = 1500
#: A counter whose domain states no limit is taken to draw less than this; only gaps between windows depend on it.
FALLBACK_POWER_W: Final[Watt] = 1000.0


@dataclass(frozen=True)
class PowerStretch:
    """Mean power between two readings; times since the first reading. `row_id` of its window, None between windows."""

    stretch: Stretch
    row_id: str | None
    label: str
    begin_s: Second
    end_s: Second
    power_w: Watt
    aligned: bool = False

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "stretch": self.stretch,
            "row_id": self.row_id,
            "label": self.label,
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "power_w": self.power_w,
            "aligned": self.aligned,
        }


@dataclass(frozen=True)
class PowerTrace:
    """Stretches in order of time; `left_out` windows came after those that are shown."""

    stretches: list[PowerStretch]
    left_out: int


def power_trace(data: ReportData) -> PowerTrace | None:
    """The trace of one run; None without its readings."""
    windows = sorted(data.readings.values(), key=lambda w: w.begin.time_ns)
    if not windows:
        return None
    shown = windows[:MAX_WINDOWS]
    origin_ns = shown[0].begin.time_ns
    kinds, labels = _kinds(data)
    stretches: list[PowerStretch] = []
    last: WindowReadings | None = None
    for window in shown:
        if last is not None and window.begin.time_ns > last.end.time_ns:
            power_w = _mean_power_w(window, last.end, window.begin, bounded=True)
            if power_w is not None:
                begin_s, end_s = (ns_to_s(t - origin_ns) for t in (last.end.time_ns, window.begin.time_ns))
                stretches.append(PowerStretch("between", None, "between windows", begin_s, end_s, power_w))
        power_w = _mean_power_w(window, window.begin, window.end, bounded=False)
        if power_w is not None:
            begin_s, end_s = (ns_to_s(t - origin_ns) for t in (window.begin.time_ns, window.end.time_ns))
            stretches.append(
                PowerStretch(
                    kinds.get(window.row_id, "idle"),
                    window.row_id,
                    labels.get(window.row_id, window.row_id),
                    begin_s,
                    end_s,
                    power_w,
                    window.aligned,
                )
            )
        last = window
    return PowerTrace(stretches, len(windows) - len(shown)) if stretches else None


def _kinds(data: ReportData) -> tuple[Mapping[str, Stretch], Mapping[str, str]]:
    """By row: what its window was, and its workload. A window without a record is the idling beside one."""
    frame = data.records
    kinds: dict[str, Stretch] = {}
    labels: dict[str, str] = {}
    for row_id, workload, valid, split in zip(
        frame["row_id"], frame["workload"], frame["valid"], frame["split"], strict=True
    ):
        kinds[str(row_id)] = "discarded" if not bool(valid) else "idle" if split == "idle" else "work"
        labels[str(row_id)] = str(workload)
    return kinds, labels


def _mean_power_w(window: WindowReadings, begin: Reading, end: Reading, *, bounded: bool) -> Watt | None:
    """Sum over the summed top-level domains; None where a counter was reset, or may have wrapped twice in a gap."""
    elapsed_s = ns_to_s(end.time_ns - begin.time_ns)
    if elapsed_s <= 0:
        return None
    total_nj = 0
    for domain in window.domains:
        if domain.parent is not None or not domain.in_total:
            continue
        if domain.name not in begin.energy_nj or domain.name not in end.energy_nj:
            return None
        step = end.energy_nj[domain.name] - begin.energy_nj[domain.name]
        if domain.wrap_nj is not None:
            if bounded and nj_to_j(domain.wrap_nj) < (domain.max_power_w or FALLBACK_POWER_W) * elapsed_s:
                return None
            step %= domain.wrap_nj
        elif step < 0:
            return None
        total_nj += step
    return nj_to_j(total_nj) / elapsed_s
