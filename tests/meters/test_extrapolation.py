"""A whole run from its first iterations: the truth held by the interval, and what must not be extrapolated."""

import itertools
import sys
import time

import numpy as np
import pytest

from energybench.app.extrapolation import Mark, extrapolate
from energybench.app.iterations import Iterations
from energybench.app.measure import close_meters, measure_command
from energybench.app.watch import watch_command
from energybench.app.watch_channel import StepReport, parse_report
from energybench.errors import UsageError
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind

POWER_W = 40.0


class Steady:
    """40 W in real time."""

    name = "steady"
    kind: Kind = "simulated"
    domains: tuple[Domain, ...] = (Domain("package-0"),)

    def __init__(self) -> None:
        self.clock: Clock = MonotonicClock()

    def read(self) -> Reading:
        time_ns = time.monotonic_ns()
        return Reading(time_ns, {"package-0": round(POWER_W * time_ns)})

    def close(self) -> None:
        close_meters()


def marks_of(energies_j: np.ndarray, start_j: float = 500.0, every: int = 1) -> list[Mark]:
    """After every so many iterations, a second each; the start costs what fifty iterations cost."""
    until_j = start_j + np.cumsum(energies_j)
    return [Mark(i + 1, float(until_j[i]), 50.0 + i) for i in range(0, len(energies_j), every)]


def held(rng: np.random.Generator, correlation: float) -> bool:
    """Whether the interval from the first fifth of a run holds the energy of all of it."""
    noise = rng.normal(0, 1, 1000)
    for i in range(1, 1000):
        noise[i] += correlation * noise[i - 1]
    energies_j = 10 + noise
    found = extrapolate(marks_of(energies_j[:200]), 1000, kind="simulated")
    assert found is not None
    return bool(found.low_j <= 500 + energies_j.sum() <= found.high_j)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_holds_the_whole_run(correlation):
    rng = np.random.default_rng(11)
    # 1,000 runs: 93 % is three standard deviations below 95 %.
    assert np.mean([held(rng, correlation) for _ in range(1000)]) >= 0.93


def test_the_start_is_paid_once_and_time_goes_on():
    found = extrapolate(marks_of(np.full(20, 10.0)), 100, kind="simulated")
    assert found is not None
    assert found.energy_j == pytest.approx(500 + 100 * 10)
    assert found.low_j == pytest.approx(1500)
    assert found.high_j == pytest.approx(1500)
    assert found.time_s == pytest.approx(50 + 99)
    assert found.to_dict()["interval"]["level"] == 0.95
    assert "all 100 iterations, from 20: 1.5 kJ" in str(found)
    assert "extrapolated from simulated energy" in str(found)


def test_marks_far_apart_and_repeated_counts():
    marks = marks_of(np.full(40, 10.0), every=7)
    repeated = list(itertools.chain.from_iterable((m, Mark(m.iterations, m.energy_j + 3, m.time_s)) for m in marks))
    found = extrapolate(repeated, 100, kind="simulated")
    assert found is not None
    assert found.energy_j == pytest.approx(1500)


def test_a_finished_run_is_itself_and_too_little_is_nothing():
    whole = extrapolate(marks_of(np.array([1.0, 5.0, 2.0, 9.0, 4.0])), 5, kind="simulated")
    assert whole is not None
    assert whole.energy_j == whole.low_j == whole.high_j == pytest.approx(521)
    assert extrapolate(marks_of(np.full(3, 10.0)), 100, kind="simulated") is None
    assert extrapolate(marks_of(np.full(20, 10.0)), 19, kind="simulated") is None


def test_the_quantiles_are_students():
    from scipy.stats import t

    from energybench.app.extrapolation import _STUDENT_T

    assert pytest.approx([t.ppf(0.975, n) for n in range(2, 10)], abs=1e-5) == _STUDENT_T


PROGRAM = (
    "import sys, time\n"
    "for i in range(6):\n"
    "    time.sleep(0.15)\n"
    "    print('epoch', i, end='\\r' if i % 2 else '\\n', file=sys.stderr if i == 3 else sys.stdout)\n"
    "print('done')\n"
    "raise SystemExit(5)\n"
)


def test_lines_of_output_end_iterations_and_are_passed_on(capfd):
    result = measure_command([sys.executable, "-c", PROGRAM], Steady(), total_iterations=60, iteration=r"epoch \d+")
    out, err = capfd.readouterr()
    assert (result.exit_code, "epoch 0" in out, "epoch 5" in out, "done" in out, "epoch 3" in err) == (
        5, True, True, True, True,
    )  # fmt: skip
    whole = result.whole_run
    assert whole is not None
    assert (whole.iterations, whole.total_iterations, whole.kind) == (6, 60, "simulated")
    assert whole.low_j <= whole.energy_j <= whole.high_j
    # The power is steady: whatever the iterations' times were on this machine, energy follows the time.
    assert whole.energy_j == pytest.approx(POWER_W * whole.time_s, rel=0.02)
    assert measure_command([sys.executable, "-c", "pass"], Steady(), total_iterations=9).whole_run is None


TOLD = (
    "import os, time\n"
    "from energybench.app.watch_channel import StepReport, send_report\n"
    "for i in range(1, 7):\n"
    "    time.sleep(0.15)\n"
    "    send_report(StepReport(10 * i, total_steps=600))\n"
)


def test_steps_that_a_callback_tells_need_no_pattern(monkeypatch):
    from energybench.app import watch

    said: list[str] = []
    monkeypatch.setattr(watch, "open_meter", lambda *_args, **_kw: Steady())
    assert watch_command([sys.executable, "-c", TOLD], every_s=60, report=said.append) == 0
    assert "60 steps; all 600 iterations, from 60" in said[0]


def test_watch_reports_while_the_program_runs(monkeypatch):
    from energybench.app import watch

    said: list[str] = []
    monkeypatch.setattr(watch, "open_meter", lambda *_args, **_kw: Steady())
    argv = [sys.executable, "-c", "import time; time.sleep(0.6); raise SystemExit(3)"]
    assert watch_command(argv, every_s=0.1, report=said.append) == 3
    so_far = [line for line in said if line.startswith("energybench: so far: simulated")]
    assert len(so_far) >= 2
    assert all("now 40 W" in line for line in so_far)


def test_what_cannot_be_extrapolated_is_refused():
    virtual = SimulatedMeter(VirtualDevice(Scenario.load("experiments/example_device.toml")))
    with pytest.raises(UsageError, match="does not see a program while it runs"):
        Iterations([virtual], total=5)
    for options, message in (
        ({"total": 0}, "none; give --of"),
        ({"total": 5, "pattern": "("}, "no regular expression"),
    ):
        with pytest.raises(UsageError, match=message):
            Iterations([Steady()], **options)


@pytest.mark.parametrize("total", ["0", "-3", "1.5", '"9"', "true"])
def test_an_impossible_number_of_steps_is_no_report(total):
    assert parse_report(f'{{"steps": 1, "total_steps": {total}}}'.encode()) is None
    assert parse_report(b'{"steps": 1, "total_steps": 9}') == StepReport(1, total_steps=9)
