"""Warm the device up before the first window: run one workload until power and temperature are steady."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from energybench.meters.base import EnergyMeter
from energybench.meters.window import Window
from energybench.protocol.call_time import call_time_s
from energybench.protocol.executor import Prepared
from energybench.protocol.measure_window import Edges
from energybench.protocol.warmup import WarmUp, WarmUpResult
from energybench.protocol.window_length import calls_for
from energybench.records.vocabulary import Kind
from energybench.units import Second, ns_to_s

#: Longest warm-up. A modelled meter shows no heat, so there the device only wakes up.
MAX_WARM_UP_S: Final[Second] = 30.0
MODELLED_WARM_UP_S: Final[Second] = 0.5
#: Of the budget, spent on warming up at most.
WARM_UP_SHARE: Final = 0.1
#: One observation of power: this long, or this many updates of the counter where that is longer.
_LEAST_SLICE_S: Final[Second] = 0.1
_SLICE_PERIODS: Final = 10


def warm_up_limit_s(kind: Kind, budget_s: Second | None) -> Second:
    """How long a warm-up may take under a meter of that kind, within that budget (None for no limit)."""
    limit_s = MODELLED_WARM_UP_S if kind == "modelled" else MAX_WARM_UP_S
    return limit_s if budget_s is None else min(limit_s, WARM_UP_SHARE * budget_s)


def heat(
    prepared: Prepared,
    meter: EnergyMeter,
    edges: Edges,
    *,
    temperature: Callable[[], float | None],
    limit_s: Second,
) -> WarmUpResult:
    """Run the work slice by slice until it is steady, or until `limit_s` have passed.

    Args:
        prepared: The work.
        meter: Read between two slices.
        edges: How it is read.
        temperature: The device's in °C, None where it has no thermometer.
        limit_s: Stop after this time.

    Raises:
        MeterUnavailable: the counter does not move.
    """
    clock = meter.clock
    slice_s = max(_LEAST_SLICE_S, _SLICE_PERIODS * (edges.update_period_s or 0.0))
    call_s = call_time_s(prepared, clock)
    warm_up = WarmUp()
    begin_ns = clock.now_ns()
    begin, _ = edges.read(meter)
    while not warm_up.is_steady() and ns_to_s(clock.now_ns() - begin_ns) < limit_s:
        prepared.run(calls_for(slice_s, call_s))
        prepared.fence()
        end, _ = edges.read(meter)
        window = Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=edges.update_period_s,
            aligned=edges.align,
        )
        if window.mean_power_w is not None:
            warm_up.add(ns_to_s(end.time_ns - begin_ns), window.mean_power_w, temperature())
        begin = end
    return warm_up.result()
