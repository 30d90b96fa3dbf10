"""`EnergyMonitor`: the running energy of a training loop, measured beside estimated.

with eb.callbacks.EnergyMonitor(profile="h100", model=model, example_inputs=(x,), optimizer=optimizer) as monitor:
for x, y in batches:
train(x, y)
monitor.step()
print(monitor.result)
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from energybench.app.extrapolation import Extrapolation, Mark, extrapolate
from energybench.app.measure import meters_for
from energybench.app.running_energy import RunningEnergy, Totals, totals_text
from energybench.app.step_estimate import StepEstimate
from energybench.app.watch_channel import VARIABLE, StepReport, against_estimate, send_report
from energybench.errors import EnergybenchError
from energybench.meters.base import EnergyMeter
from energybench.profiles import DeviceProfile
from energybench.units import Joule, Second, Watt

#: Seconds between two reports. A choice: the meters are read once a report, which costs far less than 1 ms.
EVERY_S: Final[Second] = 5.0


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """Totals so far, the steps done, and the energy estimated for them.

    `estimated_energy_j`  None without a profile or before the first batch
    `whole_run`           what all steps will take, by those done; None where too few are, or nobody said how many
    `error_rel`           (estimated − metered) / metered; None between different kinds of energy
    """

    totals: Totals
    calls: int
    updates: int
    estimated_energy_j: Joule | None
    estimated_kind: str | None
    profile: str | None
    whole_run: Extrapolation | None = None

    @property
    def error_rel(self) -> float | None:
        if self.estimated_energy_j is None or self.estimated_kind != self.totals.kind or self.totals.energy_j <= 0:
            return None
        return self.estimated_energy_j / self.totals.energy_j - 1

    @property
    def energy_per_step_j(self) -> Joule | None:
        """Metered energy over optimiser steps; None before the first."""
        return self.totals.energy_j / self.updates if self.updates else None

    def metrics(self) -> dict[str, float | str]:
        """Names and numbers for a trainer's log; what does not exist is left out."""
        kind = self.totals.kind
        values: dict[str, float | str | None] = {
            "energy_kind": kind,
            "energy_j": self.totals.energy_j,
            "energy_per_step_j": self.energy_per_step_j,
            "power_w": self.totals.power_w,
            "mean_power_w": self.totals.mean_power_w,
            "estimated_energy_j": self.estimated_energy_j,
            "estimated_error_rel": self.error_rel,
        }
        if self.whole_run is not None:
            values |= {
                "whole_run_energy_j": self.whole_run.energy_j,
                "whole_run_low_j": self.whole_run.low_j,
                "whole_run_high_j": self.whole_run.high_j,
            }
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        steps = StepReport(self.updates, self.estimated_energy_j, self.estimated_kind, self.profile)
        text = f"{totals_text(self.totals)}; {against_estimate(self.totals.energy_j, self.totals.kind, steps)}"
        return text if self.whole_run is None else f"{text}; {self.whole_run}"


def print_report(report: MonitorReport) -> None:
    """One line on standard error."""
    print(f"energybench: {report}", file=sys.stderr, flush=True)  # noqa: T201


class EnergyMonitor:
    """Measure a loop while it runs; `step` costs an addition, the meters are read by a thread of its own.

    Under ``energybench watch`` the steps and the estimate go to the watcher, which measures; nothing is printed then.

    Args:
        meter, device, tdp_w: As in `energybench.measure`.
        profile: Gives the estimate beside the measurement; a profile, its path or its name.
        model, example_inputs, example_kwargs, optimizer: One call of the loop, counted once at the beginning where a
            profile is given; `expect` does the same later.
        every_s: Seconds between reports.
        total_updates: Optimiser steps of the whole training, to extrapolate to; the trainers' callbacks set it.
        report: What is done with each; printed to standard error when left out.

    Raises MeterUnavailable, MeterPermissionError where nothing measures here.
    """

    def __init__(
        self,
        *,
        meter: str | EnergyMeter = "auto",
        device: str | None = None,
        tdp_w: Watt | None = None,
        profile: DeviceProfile | str | Path | None = None,
        model: Any = None,
        example_inputs: tuple[Any, ...] = (),
        example_kwargs: Mapping[str, Any] | None = None,
        optimizer: Any = None,
        every_s: Second = EVERY_S,
        total_updates: int | None = None,
        report: Callable[[MonitorReport], None] | None = None,
    ) -> None:
        self.profile = DeviceProfile.load(profile) if isinstance(profile, str | Path) else profile
        self.estimate: StepEstimate | None = None
        self.calls = 0
        self.updates = 0
        self.total_updates = total_updates
        self._marks: list[Mark] = []
        self.newest: MonitorReport | None = None
        self.result: MonitorReport | None = None
        self.notes: tuple[str, ...] = ()
        self._watched = os.environ.get(VARIABLE)
        self._report = report if report is not None else None if self._watched else print_report
        self._meter, self._device, self._tdp_w, self._every_s = meter, device, tdp_w, every_s
        self._running: RunningEnergy | None = None
        self._lock = threading.Lock()
        if model is not None and self.profile is not None:
            self.expect(model, example_inputs, example_kwargs or {}, optimizer=optimizer)

    def expect(
        self, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, optimizer: Any = None
    ) -> StepEstimate | None:
        """Count one call of the loop, for the estimate; None, with a note, where it cannot be counted or priced."""
        if self.profile is None:
            return None
        try:
            self.estimate = StepEstimate.of(model, self.profile, args, kwargs, optimizer=optimizer)
        except EnergybenchError as error:
            # a training that runs must not end because its estimate cannot be made
            self.notes = (*self.notes, f"no estimate: {error}")
            return None
        self.notes = (*self.notes, *self.estimate.notes)
        return self.estimate

    def step(self, *, update: bool = True) -> None:
        """One batch went through; `update` whether the optimiser stepped after it."""
        self.calls += 1
        self.updates += update

    def start(self) -> EnergyMonitor:
        """Begin to measure."""
        chosen = meters_for(self._meter, self._device, self._tdp_w)
        self.notes = (*self.notes, *chosen.notes)
        self._running = RunningEnergy(chosen.meters, self._every_s, self._reported)
        self._running.start()
        return self

    def stop(self) -> MonitorReport | None:
        """End the measurement; the last report, None where a meter failed (a note says how)."""
        if self._running is not None:
            running, self._running = self._running, None
            totals = running.end()
            if totals is not None:
                self.result = self._reported(totals)
            elif running.error is not None:
                self.notes = (*self.notes, str(running.error))
        return self.result

    def _reported(self, totals: Totals) -> MonitorReport:
        estimate = self.estimate
        estimated_j = None if estimate is None else estimate.energy_j(self.calls, self.updates, totals.time_s)
        report = MonitorReport(
            totals,
            self.calls,
            self.updates,
            estimated_j,
            None if estimate is None else estimate.kind,
            None if estimate is None else estimate.profile,
            self._whole_run(totals),
        )
        self.newest = report
        if self._watched:
            send_report(
                StepReport(self.updates, estimated_j, report.estimated_kind, report.profile, self.total_updates),
                self._watched,
            )
        if self._report is not None:
            self._report(report)
        return report

    def _whole_run(self, totals: Totals) -> Extrapolation | None:
        if self.updates:
            self._marks.append(Mark(self.updates, totals.energy_j, totals.time_s))
        return None if self.total_updates is None else extrapolate(self._marks, self.total_updates, kind=totals.kind)

    def __enter__(self) -> EnergyMonitor:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
