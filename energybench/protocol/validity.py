"""Whether a window may be used: every refusal names the numbers that decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from energybench.meters.power_check import AGREEMENT_REL
from energybench.meters.window import Window
from energybench.protocol.device_state import DeviceState, foreign_cores
from energybench.records.vocabulary import Kind
from energybench.units import Second

#: A counter that stood still for this many of its periods while work ran is stuck.
STUCK_PERIODS: Final = 3


@dataclass(frozen=True, slots=True)
class ValidityLimits:
    """What a window tolerates; None switches a check off.

    `max_foreign_cores`  cores kept busy by other processes
    `max_temp_drift_c`   change of temperature over the window
    """

    max_foreign_cores: float | None = None
    max_temp_drift_c: float | None = 5.0
    allow_other_processes: bool = False

    @classmethod
    def for_kind(cls, kind: Kind, *, device: str, cores: int) -> ValidityLimits:
        """The limits for a meter.

        Foreign load spoils what a real meter sees: a twentieth of a core is allowed, or a hundredth of all cores. With
        the tenth of all cores that was allowed once, a neighbour that came and went spoiled so many windows unseen that
        87 % of the intervals held on the virtual device where 95 % are stated (``make study-protocol``).

        A modelled meter prices the CPU time of this process alone and a virtual device has
        no neighbours, so there the check has nothing to guard.
        """
        if kind == "measured" and device == "cpu":
            return cls(max_foreign_cores=max(0.05, 0.01 * cores))
        return cls(allow_other_processes=kind != "measured")


def invalid_reason(
    window: Window,
    before: DeviceState,
    after: DeviceState,
    limits: ValidityLimits,
    *,
    is_work: bool,
    earlier: DeviceState | None = None,
    earlier_s: Second = 0.0,
    during: Sequence[DeviceState] = (),
    counter_integral_ratio: float | None = None,
) -> str | None:
    """Why a window must not be used, with the numbers; None where it may.

    `before` and `after` are the states at its edges, `earlier` the one at the start of its row, `earlier_s` before: a
    slowdown or a neighbour there has spoiled the idle window beside it, or the pre-run that the sensor still remembers.
    `during` are states between the edges, where the device was watched: the worst of them all decides.
    `counter_integral_ratio` is what characterising the meter found: a counter that disagrees with the power that the
    same device reports is no ground for coefficients, whichever of the two is wrong.
    """
    reasons = []
    states = (before, *during, after) if earlier is None else (earlier, before, *during, after)
    slowdowns = sorted({name for state in states for name in state.slowdowns})
    if slowdowns:
        reasons.append(f"slowdown: {', '.join(slowdowns)}")
    others = sorted({pid for state in states for pid in state.other_processes})
    if others and not limits.allow_other_processes:
        reasons.append(f"other processes on the device: {', '.join(map(str, others))}")
    cores = foreign_cores(before, after, window.time_s)
    if limits.max_foreign_cores is not None and cores is not None and cores > limits.max_foreign_cores:
        reasons.append(f"other load: {cores:.2f} cores busy, {limits.max_foreign_cores:.2f} allowed")
    cores = None if earlier is None else foreign_cores(earlier, before, earlier_s)
    if limits.max_foreign_cores is not None and cores is not None and cores > limits.max_foreign_cores:
        reasons.append(f"other load before it: {cores:.2f} cores busy, {limits.max_foreign_cores:.2f} allowed")
    if limits.max_temp_drift_c is not None and before.temp_c is not None:
        temps = [state.temp_c for state in (*during, after) if state.temp_c is not None]
        drift_c = max((t - before.temp_c for t in temps), key=abs, default=0.0)
        if abs(drift_c) > limits.max_temp_drift_c:
            reasons.append(f"temperature drift: {drift_c:+.1f} °C, {limits.max_temp_drift_c:g} °C allowed")
    if window.energy_j <= 0:
        periods = window.update_periods
        spanned = "" if periods is None else f" over {periods:.1f} update periods"
        stuck = is_work and (periods is None or periods >= STUCK_PERIODS)
        reasons.append(f"{'meter stuck' if stuck else 'no energy counted'}: 0 J in {window.time_s:.3g} s{spanned}")
    if counter_integral_ratio is not None and abs(counter_integral_ratio - 1) > AGREEMENT_REL:
        reasons.append(
            f"counter and power disagree: {counter_integral_ratio:.3f} of the integrated power, "
            f"{1 - AGREEMENT_REL:.2f}…{1 + AGREEMENT_REL:.2f} allowed"
        )
    if window.uncertainty_j is None:
        reasons.append(f"no uncertainty: update period unknown or no update in {window.time_s:.3g} s")
    return "; ".join(reasons) or None
