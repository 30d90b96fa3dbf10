"""Idle windows beside the work: what the device draws between two rows, right before the work starts."""

from __future__ import annotations

from typing import Final

from energybench.meters.base import EnergyMeter
from energybench.protocol.measure_window import Edges, MeasuredWindow, measure_window
from energybench.units import Second

#: Rows named like this in the readings are the idle windows of the row before the slash.
IDLE_SUFFIX: Final = "/idle"
#: Worker threads of a parallel runtime spin for milliseconds after the last kernel; the idle window waits for them.
SETTLE_S: Final[Second] = 0.02
#: Share of the work's window, and the updates it must span where the meter has any.
IDLE_SHARE: Final = 0.25
IDLE_UPDATE_PERIODS: Final = 10


#: A sensor may average over this many of its update periods: 1 s at 0.1 s on GH100, GA10x and Ada boards (Yang, Adamek,
#: Armour 2023, arXiv 2312.02741). What came before must have left its average when a window begins.
RESPONSE_PERIODS: Final = 10


def response_s(update_period_s: Second | None) -> Second:
    """How long the sensor may remember what came before."""
    return RESPONSE_PERIODS * (update_period_s or 0.0)


def idle_length_s(window_s: Second, update_period_s: Second | None) -> Second:
    """Length of an idle window beside windows of `window_s`."""
    return max(IDLE_SHARE * window_s, IDLE_UPDATE_PERIODS * (update_period_s or 0.0))


def measure_idle(meter: EnergyMeter, edges: Edges, *, row_id: str, duration_s: Second) -> MeasuredWindow:
    """Let the device idle inside a window, after its threads have settled and its sensor has forgotten the work.

    This is idle power in the state that work leaves behind (clocks up, threads parked); the power of a machine left
    alone for minutes is lower, and an idle row of the design after a pause comes nearer to it.
    """
    meter.clock.sleep(max(SETTLE_S, response_s(edges.update_period_s)))
    return measure_window(meter, edges, row_id=row_id, work=lambda: meter.clock.sleep(duration_s), fence=lambda: None)
