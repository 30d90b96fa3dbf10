"""Joules of an experiment's calls where this machine has a meter, so that one script decides with and without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from energybench.app.experiment_result import ENERGY_KINDS, Answer, Figure, Verdict
from energybench.app.experiment_timing import Repeated
from energybench.app.measure import measure
from energybench.errors import MeterUnavailable
from energybench.meters.clock import MonotonicClock
from energybench.protocol.call_time import call_time_s
from energybench.units import Second

#: A window is as long as many ticks of a meter: NVML's counter ticks about every 0.1 s, RAPL's every millisecond.
WINDOW_S: Final[Second] = 5.0


def energy_figures(
    calls: Mapping[str, Callable[[], object]],
    *,
    window_s: Second = WINDOW_S,
    fence: Callable[[], object] = lambda: None,
    prepare: Callable[[str], object] = lambda name: None,
    **meter: Any,
) -> list[Figure]:
    """Gross joules of one call of each, one window after the other, as ``NAME.energy``; empty where no meter is here.

    `fence` and `prepare` as in `time_in_turns`; the rest goes to `energybench.measure`.
    """
    figures = []
    for name, call in calls.items():
        prepare(name)
        repeated = Repeated(call, fence)
        try:
            with measure(name, **meter):  # asks for the meter before any time is spent
                pass
            number = max(1, round(window_s / call_time_s(repeated, MonotonicClock())))
            with measure(name, **meter) as measured:
                repeated.run(number)
                repeated.fence()
        except MeterUnavailable:
            return []
        figures.append(Figure(f"{name}.energy", measured.energy_j / number, "J", measured.kind))
    return figures


def energy_verdict(
    item: str, figures: list[Figure], decide: Callable[[Mapping[str, float]], tuple[Answer, str]], otherwise: Verdict
) -> Verdict:
    """The verdict on energy: what `decide` says of the figures where they are measured joules, else `otherwise`."""
    if not figures or not {f.kind for f in figures} <= ENERGY_KINDS:
        return otherwise
    answer, because = decide({f.name: f.value for f in figures})
    return Verdict(item, "energy", answer, tuple(f.name for f in figures), because)
