"""`watch_command`: run a program and say now and then how much energy it has taken so far."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from energybench.app.measure import Measurement, measure_command
from energybench.app.running_energy import RunningEnergy, Totals, energy_text, totals_text
from energybench.app.watch_channel import VARIABLE, WatchChannel, against_estimate
from energybench.meters import open_meter
from energybench.units import Joule, Second, Watt, format_si

Report = Callable[[str], None]


def summary_line(measurement: Measurement) -> str:
    """One line: kind, energy with its uncertainty, time, mean power."""
    power = "" if measurement.power_w is None else f", mean {format_si(measurement.power_w, 'W')}"
    return (
        f"energybench: {measurement.kind} {energy_text(measurement.energy_j, measurement.uncertainty_j)} in "
        f"{format_si(measurement.time_s, 's')}{power}"
    )


def watch_command(
    argv: Sequence[str],
    *,
    meter: str = "auto",
    device: str = "cpu",
    tdp_w: Watt | None = None,
    every_s: Second = 5.0,
    report: Report,
) -> int:
    """Run `argv`, report its running energy every `every_s` seconds, and return its exit code.

    A program that uses `energybench.callbacks` tells its steps and their estimated energy, which stand beside.

    Raises MeterUnavailable, MeterPermissionError, and UsageError when the program cannot be started.
    """
    opened = open_meter(meter, device=device, tdp_w=tdp_w)
    channel = WatchChannel()
    before = os.environ.get(VARIABLE)

    def steps(energy_j: Joule) -> str:
        told = channel.newest()
        return "" if told is None else f"; {against_estimate(energy_j, opened.kind, told)}"

    def line(totals: Totals) -> None:
        report(f"energybench: so far: {totals_text(totals)}{steps(totals.energy_j)}")

    try:
        running = RunningEnergy([opened], every_s, line)
        os.environ[VARIABLE] = str(channel.path)
        running.start()
        try:
            result = measure_command(argv, opened)
        finally:
            running.end()
        if running.error is not None:
            report(f"energybench: {running.error}")
        report(summary_line(result.measurement) + steps(result.measurement.energy_j))
        for note in result.measurement.notes:
            report(f"energybench: note: {note}")
        return result.exit_code
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before
        channel.close()
        opened.close()
