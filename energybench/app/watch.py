"""`watch_command`: run a program and say now and then how much energy it has taken so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from energybench.app.iterations import Iterations, sees_running_programs
from energybench.app.measure import Measurement, measure_command
from energybench.app.running_energy import RunningEnergy, Totals, energy_text, totals_text
from energybench.app.watch_channel import against_estimate, watching
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
    total_iterations: int | None = None,
    iteration: str | None = None,
    report: Report,
) -> int:
    """Run `argv`, report its running energy every `every_s` seconds, and return its exit code.

    A program that uses `energybench.callbacks` tells its steps and their estimated energy, which stand beside. Where it
    is known how many iterations the whole run has, its energy is extrapolated from those done, with an interval.

    Args:
        argv: The program and its arguments.
        meter: A name as `open_meter` takes it, and so `device` and `tdp_w`.
        device: See `meter`.
        tdp_w: See `meter`.
        every_s: Seconds between reports.
        total_iterations: As `measure_command`, and so `iteration`; None leaves it to the program's callbacks.
        iteration: See `total_iterations`.
        report: What is done with each line.

    Raises MeterUnavailable, MeterPermissionError, and UsageError when the program cannot be started.
    """
    opened = open_meter(meter, device=device, tdp_w=tdp_w)
    try:
        asked = total_iterations is not None or iteration is not None
        iterations: Iterations | None = None
        if asked or sees_running_programs(opened):
            iterations = Iterations([opened], total=total_iterations, pattern=iteration)
        with watching(None if iterations is None else iterations.told) as channel:

            def beside(energy_j: Joule) -> str:
                told = channel.newest()
                text = "" if told is None else f"; {against_estimate(energy_j, opened.kind, told)}"
                whole = None if iterations is None else iterations.whole_run()
                return text if whole is None else f"{text}; {whole}"

            def line(totals: Totals) -> None:
                report(f"energybench: so far: {totals_text(totals)}{beside(totals.energy_j)}")

            running = RunningEnergy([opened], every_s, line)
            if sees_running_programs(opened):
                running.start()
            else:
                report(f"energybench: the meter {opened.name} knows a program's energy when it has ended")
            try:
                result = measure_command(argv, opened, iterations=iterations)
            finally:
                running.end()
            if running.error is not None:
                report(f"energybench: {running.error}")
            report(summary_line(result.measurement) + beside(result.measurement.energy_j))
            for note in result.measurement.notes:
                report(f"energybench: note: {note}")
            return result.exit_code
    finally:
        opened.close()
