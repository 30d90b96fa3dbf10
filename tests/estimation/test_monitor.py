"""The running energy of a loop: totals, steps, estimate beside, what happens when things go wrong."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import energybench
from energybench.app.energy_monitor import EnergyMonitor
from energybench.app.running_energy import RunningEnergy, Totals
from energybench.app.step_estimate import StepEstimate, optimizer_name
from energybench.app.watch_channel import (
    VARIABLE,
    StepReport,
    WatchChannel,
    against_estimate,
    parse_report,
    send_report,
)
from energybench.records.reading import Domain as MeterDomain
from energybench.records.reading import Reading
from energybench.records.vocabulary import Kind

# Any: a test looks into results without first proving that each part exists
eb: Any = energybench
POWER_W = 50.0  # of the meter in conftest
SIMULATED: Kind = "simulated"


def test_totals_grow_with_time(meter: Any) -> None:
    seen: list[Totals] = []
    running = RunningEnergy([meter], 0.01, seen.append)
    running.start()
    while len(seen) < 3:
        meter.changed.wait(5)
    last = running.end()
    assert last is not None
    assert [t.energy_j for t in seen] == sorted(t.energy_j for t in seen)
    for totals in [*seen, last]:
        assert totals.energy_j == pytest.approx(POWER_W * totals.time_s, rel=1e-6)
        assert totals.mean_power_w == pytest.approx(POWER_W, rel=1e-6)
        assert totals.kind == "simulated"
    assert seen[-1].power_w == pytest.approx(POWER_W, rel=1e-6)


def test_two_meters_add_up(meter: Any) -> None:
    running = RunningEnergy([meter, meter], 60, lambda _: None)
    time.sleep(0.3)  # the second meter is read after the first: that time must be short beside the whole
    totals = running.totals()
    assert totals is not None
    assert totals.mean_power_w == pytest.approx(2 * POWER_W, rel=0.2)


class Scripted:
    """A counter that wraps at 100 J and draws at most 10 W, so that it must be read every 5 s; simulated."""

    name, kind = "scripted", SIMULATED
    nominal_update_period_s = 0.01

    def __init__(self, *readings: tuple[float, float]) -> None:
        self.domains: tuple[MeterDomain, ...] = (
            MeterDomain("package-0", resolution_nj=10**7, wrap_nj=100 * 10**9, max_power_w=10.0),
        )
        self.readings = iter(readings)
        self.clock: Any = None

    def read(self) -> Reading:
        """The next (s, J)."""
        time_s, energy_j = next(self.readings)
        return Reading(round(time_s * 1e9), {"package-0": round(energy_j * 1e9) % (100 * 10**9)})

    def close(self) -> None:
        pass


def test_a_counter_that_wraps_many_times_is_followed() -> None:
    running = RunningEnergy([Scripted(*((4.0 * i, 36.0 * i) for i in range(12)))], 60, lambda _: None)
    for i in range(1, 12):
        totals = running.totals()
        assert running.error is None
        assert totals is not None
        assert totals.energy_j == pytest.approx(36.0 * i, rel=1e-9)


def test_the_power_now_is_that_since_the_last_reading() -> None:
    running = RunningEnergy([Scripted((0, 0), (1, 5), (2, 6), (3, 13))], 60, lambda _: None)
    found = [running.totals() for _ in range(3)]
    assert [t.power_w for t in found if t is not None] == pytest.approx([5.0, 1.0, 7.0])


def test_meters_err_independently() -> None:
    def one() -> Scripted:
        return Scripted((0, 0), (1, 5))

    alone = RunningEnergy([one()], 60, lambda _: None).totals()
    both = RunningEnergy([one(), one(), one(), one()], 60, lambda _: None).totals()
    assert alone is not None
    assert both is not None
    assert alone.uncertainty_j
    assert both.uncertainty_j == pytest.approx(2 * alone.uncertainty_j, rel=1e-9)


def test_a_meter_that_goes_away_ends_the_reports_and_not_the_program(meter: Any) -> None:
    with EnergyMonitor(meter=meter, every_s=60, report=lambda _: None) as monitor:
        monitor.step()
        meter.gone = True
    assert monitor.result is None
    assert any("plug it in" in note for note in monitor.notes)


def test_the_estimate_is_that_of_an_estimate_call(profile: Any) -> None:
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
    x = torch.randn(8, 32)
    optimizer = torch.optim.Adam(model.parameters())
    step = StepEstimate.of(model, profile, (x,), {}, optimizer=optimizer)
    whole = eb.estimate(model, profile, x, optimizer="adam", time_s=0.25)
    assert step.energy_j(1, 1, 0.25) == pytest.approx(whole.energy_j, rel=1e-12)
    calls = eb.estimate(model, profile, x, backward=True, time_s=3.0)
    assert step.energy_j(2, 0, 6.0) == pytest.approx(2 * calls.energy_j, rel=1e-12)
    assert step.kind == "simulated"


def test_optimisers_by_what_they_do() -> None:
    weights = [nn.Parameter(torch.zeros(1))]
    assert optimizer_name(torch.optim.SGD(weights, lr=0.1)) == "sgd"
    assert optimizer_name(torch.optim.SGD(weights, lr=0.1, momentum=0.9)) == "momentum"
    assert optimizer_name(torch.optim.AdamW(weights)) == "adam"
    assert optimizer_name(torch.optim.Adagrad(weights)) is None
    assert optimizer_name("adam") == "adam"
    wrapper = type("AcceleratedOptimizer", (), {"optimizer": torch.optim.Adam(weights)})()
    assert optimizer_name(wrapper) == "adam"


def test_a_model_that_cannot_be_counted_does_not_stop_the_training(meter: Any, profile: Any) -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if bool(x.sum() > 0) else -x

    with EnergyMonitor(
        meter=meter, profile=profile, model=Branches(), example_inputs=(torch.ones(2),), report=lambda _: None
    ) as monitor:
        monitor.step()
    assert monitor.result is not None
    assert monitor.result.estimated_energy_j is None
    assert any(note.startswith("no estimate:") for note in monitor.notes)


def test_kinds_are_not_compared(meter: Any, profile_of: Any) -> None:
    measured = profile_of(kind="measured")
    with EnergyMonitor(
        meter=meter, profile=measured, model=nn.Linear(2, 2), example_inputs=(torch.ones(1, 2),), report=lambda _: None
    ) as monitor:
        monitor.step()
    result = monitor.result
    assert result is not None
    assert result.estimated_energy_j is not None
    assert result.error_rel is None
    assert "not comparable" in str(result)
    assert "estimated_error_rel" not in result.metrics()


def test_reports_and_metrics(meter: Any, profile: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with EnergyMonitor(
        meter=meter, profile=profile, model=nn.Linear(2, 2), example_inputs=(torch.ones(1, 2),), every_s=60
    ) as monitor:
        for update in (False, True, False, True):
            monitor.step(update=update)
    result = monitor.result
    assert result is not None
    assert (result.calls, result.updates) == (4, 2)
    assert result.error_rel == pytest.approx(result.metrics()["estimated_energy_j"] / result.totals.energy_j - 1)  # type: ignore[operator]
    assert result.energy_per_step_j == result.totals.energy_j / 2
    line = capfd.readouterr().err
    assert line.startswith("energybench: simulated ")
    assert "2 steps, estimated" in line


@pytest.mark.parametrize(
    "text",
    [
        b"", b"junk", b"[]", b"{}", b'{"steps": -1}', b'{"steps": 1.5}', b'{"steps": true}', b'{"steps": 1, "x": 2}',
        b'{"steps": 1, "estimated_energy_j": NaN}', b'{"steps": 1, "estimated_energy_j": "9"}',
        b'{"steps": 1, "estimated_kind": "<b>"}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_report_is_passed_over(text: bytes) -> None:
    assert parse_report(text) is None


def test_the_newest_report_arrives_and_junk_does_not() -> None:
    channel = WatchChannel()
    try:
        assert channel.newest() is None
        send_report(StepReport(1), str(channel.path))
        send_report(StepReport(2, 3.0, "simulated", "p"), str(channel.path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(json.dumps({"steps": "many"}).encode(), str(channel.path))
    finally:
        channel.close()  # which takes what has come already
    assert channel.newest() == StepReport(2, 3.0, "simulated", "p")
    assert not channel.path.parent.exists()
    send_report(StepReport(3), str(channel.path))  # a watcher that has gone costs nothing


def test_words_beside_an_estimate() -> None:
    report = StepReport(1200, 2.0, "measured", "p")
    assert against_estimate(2.1, "measured", report) == "1,200 steps, estimated 2 J (measured +5.0 %)"
    assert "not comparable with modelled" in against_estimate(2.1, "modelled", report)
    assert against_estimate(2.1, "measured", StepReport(3)) == "3 steps"


def test_under_a_watcher_the_steps_go_there(
    meter: Any, profile: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    channel = WatchChannel()
    monkeypatch.setenv(VARIABLE, str(channel.path))
    with EnergyMonitor(
        meter=meter, profile=profile, model=nn.Linear(2, 2), example_inputs=(torch.ones(1, 2),), every_s=60
    ) as monitor:
        monitor.step()
    channel.close()
    told = channel.newest()
    assert told is not None
    assert (told.steps, told.estimated_kind, told.profile) == (1, "simulated", "planted")
    assert capfd.readouterr().err == ""
