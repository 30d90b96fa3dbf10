import math
import random
from typing import Any

import pytest

from energybench.errors import RecordError, UsageError
from energybench.meters.clock import VirtualClock
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.virtual_device import VirtualDevice
from energybench.meters.window import Window, edge_margins, edge_variance
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Domain, Reading
from energybench.records.window_readings import WindowReadings

NJ = 1_000_000_000
S = 1_000_000_000

SOCKET = (
    Domain("package-0", gain_rel=0.05),
    Domain("core-0", parent="package-0"),
    Domain("uncore-0", parent="package-0"),
    Domain("dram-0", gain_rel=0.05),
    Domain("psys", in_total=False),
)


def readings(seconds: float = 10.0, **energy_j: float) -> tuple[Reading, Reading]:
    names = {d.name for d in SOCKET}
    assert {k.replace("_", "-") for k in energy_j} <= names
    begin = Reading(S, dict.fromkeys(names, 7 * NJ))
    end = Reading(S + int(seconds * S), {n: 7 * NJ + int(energy_j.get(n.replace("-", "_"), 0) * NJ) for n in names})
    return begin, end


def test_total_is_packages_and_dram_never_a_part_or_psys():
    begin, end = readings(package_0=100, core_0=70, uncore_0=10, dram_0=20, psys=160)
    window = Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=1e-3)
    assert window.energy_j == pytest.approx(120)
    assert window.domains["psys"].energy_j == pytest.approx(160)
    assert window.domains["core-0"].energy_j == pytest.approx(70)
    assert [n for n, d in window.domains.items() if d.in_total] == ["package-0", "dram-0"]
    assert window.mean_power_w == pytest.approx(12)
    assert window.time_s == pytest.approx(10)
    assert window.kind == "simulated"


@pytest.mark.parametrize("name", [d.name for d in SOCKET])
def test_every_domain_in_the_total_moves_it_and_no_other_does(name):
    begin, end = readings(**{name.replace("-", "_"): 3.0})
    window = Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=1e-3)
    assert window.energy_j == pytest.approx(3.0 if name in ("package-0", "dram-0") else 0.0)


@pytest.mark.parametrize(("averaging_s", "lag"), [(None, 0.0), (0.05, 0.0), (0.1, 0.0), (0.5, 2.0)])
def test_the_design_of_windows_and_their_evaluation_share_one_derivation(averaging_s, lag):
    """Planning asks `edge_variance` in periods; a window has the same written in seconds."""
    begin, end = Reading(0, {"gpu-0": 0}), Reading(10 * S, {"gpu-0": 3000 * NJ})
    window = Window.from_readings(
        begin, end, [Domain("gpu-0")], kind="simulated", update_period_s=0.1, averaging_s=averaging_s
    )
    assert window.uncertainty_j == pytest.approx(300 * 0.1 * edge_variance(lag) ** 0.5)
    assert edge_variance() == pytest.approx(7 / 36)


@pytest.mark.parametrize(("averaging_s", "age_s"), [(0.025, 0.076), (0.1, 0.001), (None, 0.001), (0.3, 0.001)])
def test_an_aligned_edge_is_as_old_as_a_poll_and_the_part_that_is_not_seen(averaging_s, age_s):
    begin, end = Reading(0, {"gpu-0": 0}), Reading(10 * S, {"gpu-0": 3000 * NJ})
    window = Window.from_readings(
        begin, end, [Domain("gpu-0")], kind="simulated", update_period_s=0.1, aligned=True, poll_interval_s=1e-3,
        averaging_s=averaging_s,
    )  # fmt: skip
    assert window.edge_age_s == pytest.approx(age_s)


def test_edges_of_domains_share_one_moment_and_add_linearly():
    begin, end = readings(package_0=100, dram_0=100)
    both = Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=0.1)
    one = both.domains["package-0"].uncertainty_j
    assert one is not None
    assert both.uncertainty_j == pytest.approx(2 * one)


def test_uncertainty_is_that_of_the_derivation():
    domain = Domain("gpu-0", resolution_nj=NJ // 10, gain_rel=0.05)
    begin, end = Reading(0, {"gpu-0": 0}), Reading(10 * S, {"gpu-0": 3000 * NJ})
    window = Window.from_readings(begin, end, [domain], kind="simulated", update_period_s=0.1, update_noise_rel=0.02)
    edge_j = math.sqrt(7 / 36) * 300 * 0.1
    quantisation_j = 0.1 / math.sqrt(6)
    noise_j = 0.02 * 3000 * math.sqrt(0.1 / 10)
    assert window.uncertainty_j == pytest.approx(math.sqrt(edge_j**2 + quantisation_j**2 + noise_j**2))
    assert window.gain_uncertainty_j == pytest.approx(150)
    assert window.update_periods == pytest.approx(100)
    assert window.uncertainty_j is not None
    # 10 s that lost 0.95 of 0.1 s of power, or gained 0.688 of it, and the normal parts beside.
    normal_j = 1.959964 * math.hypot(quantisation_j, noise_j)
    low_j, high_j = window.interval(0.95) or (0.0, 0.0)
    assert high_j == pytest.approx(3000 + math.hypot(normal_j, 3000 * 0.095 / (10 - 0.095)), rel=1e-6)
    assert low_j == pytest.approx(3000 - math.hypot(normal_j, 3000 * 0.0687750 / (10 + 0.0687750)), rel=1e-6)
    low_j, high_j = window.interval(0.95, with_gain=True) or (0.0, 0.0)
    normal_j = math.hypot(normal_j, 1.959964 * 150)
    assert high_j == pytest.approx(3000 + math.hypot(normal_j, 3000 * 0.095 / (10 - 0.095)), rel=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.1, 0.3, 0.6, 0.9, 1.0])
def test_edge_margins_hold_at_every_ratio_of_powers(ratio, level):
    """Brute force over both ages: the truth lies within the margins at least as often as stated."""
    gained, lost = edge_margins(level)
    draw = random.Random(f"{ratio}/{level}")
    n = 20_000
    errors = [ratio * draw.random() - draw.random() for _ in range(n)]
    share = sum(-lost <= error <= gained for error in errors) / n
    assert share >= level - 3 * math.sqrt(level * (1 - level) / n)


def test_a_sensor_that_averages_over_several_updates_lags():
    """Ten updates long: a step of power is charged half of nine periods late."""
    begin, end = Reading(0, {"gpu-0": 0}), Reading(100 * S, {"gpu-0": 30_000 * NJ})
    common: dict[str, Any] = {"kind": "simulated", "update_period_s": 0.1}
    sharp = Window.from_readings(begin, end, [Domain("gpu-0")], **common, averaging_s=0.025)
    late = Window.from_readings(begin, end, [Domain("gpu-0")], **common, averaging_s=1.0)
    assert sharp == Window.from_readings(begin, end, [Domain("gpu-0")], **common)
    assert late.uncertainty_j == pytest.approx(30.0 * math.sqrt(5**2 / 3 + 1 / 9), rel=1e-4)
    _, high_j = late.interval() or (0.0, 0.0)
    assert high_j - 30_000 == pytest.approx(30_000 * 0.545 / (100 - 0.545))


def test_a_window_shorter_than_its_edges_is_bounded_by_the_domain_or_by_nothing():
    begin, end = Reading(0, {"gpu-0": 0}), Reading(S // 20, {"gpu-0": 10 * NJ})
    common: dict[str, Any] = {"kind": "simulated", "update_period_s": 0.1}
    assert Window.from_readings(begin, end, [Domain("gpu-0")], **common).interval() is None
    bounded = Window.from_readings(begin, end, [Domain("gpu-0", max_power_w=400.0)], **common)
    assert (bounded.interval() or (0.0, 0.0))[1] == pytest.approx(10 + 400 * 0.095)


def test_edge_factor_is_the_mean_over_the_unknown_power_ratio():
    """Brute force over both ages and the ratio: the number 7/36 in the module is not taken on trust."""
    draw = random.Random(1)
    n = 200_000
    square = 0.0
    for _ in range(n):
        ratio = draw.random()
        square += (ratio * draw.random() - draw.random()) ** 2
    assert square / n == pytest.approx(7 / 36, rel=0.02)


def test_aligned_edges_are_as_old_as_one_poll():
    domain = Domain("gpu-0")
    begin, end = Reading(0, {"gpu-0": 0}), Reading(10 * S, {"gpu-0": 3000 * NJ})
    common: dict[str, Any] = {"kind": "simulated", "update_period_s": 0.1, "aligned": True}
    window = Window.from_readings(begin, end, [domain], **common, poll_interval_s=1e-3)
    assert window.uncertainty_j == pytest.approx(math.sqrt(7 / 36) * 300 * 1e-3, rel=1e-3)
    unknown = Window.from_readings(begin, end, [domain], **common)
    assert unknown.uncertainty_j == pytest.approx(math.sqrt(7 / 36) * 300 * 0.1, rel=1e-3)


def test_nothing_seen_is_not_zero_plus_minus_zero():
    """A window shorter than an update sees nothing: the power bound stands in, or the uncertainty does not exist."""
    begin, end = Reading(0, {"gpu-0": 5}), Reading(S // 100, {"gpu-0": 5})
    bounded = Window.from_readings(
        begin, end, [Domain("gpu-0", max_power_w=400.0)], kind="simulated", update_period_s=0.1
    )
    assert bounded.energy_j == 0
    assert bounded.uncertainty_j == pytest.approx(math.sqrt(7 / 36) * 400 * 0.1)
    unbounded = Window.from_readings(begin, end, [Domain("gpu-0")], kind="simulated", update_period_s=0.1)
    assert unbounded.uncertainty_j is None
    assert unbounded.interval() is None


def test_unknown_period_has_no_uncertainty():
    begin, end = readings(package_0=100)
    window = Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=None)
    assert window.energy_j == pytest.approx(100)
    assert window.uncertainty_j is None
    assert window.update_periods is None


def test_readings_in_between_make_a_long_window_unambiguous():
    domain = Domain("package-0", wrap_nj=1000 * NJ, max_power_w=100.0)
    at = [Reading(i * 5 * S, {"package-0": (i * 400 * NJ) % (1000 * NJ)}) for i in range(11)]
    window = Window.from_readings(at[0], at[-1], [domain], kind="simulated", update_period_s=1e-3, between=at[1:-1])
    assert window.energy_j == pytest.approx(4000)
    assert window.corrected


def test_recorded_pair_gives_the_same_window():
    begin, end = readings(package_0=100, dram_0=5)
    live = Window.from_readings(
        begin, end, SOCKET, kind="simulated", update_period_s=1e-3, aligned=True, poll_interval_s=1e-4
    )
    recorded = WindowReadings.from_dict(
        WindowReadings("row-1", SOCKET, begin, end, update_period_s=1e-3, aligned=True).to_dict()
    )
    again = Window.from_window_readings(recorded, poll_interval_s=1e-4)
    assert (again.energy_j, again.uncertainty_j) == (live.energy_j, live.uncertainty_j)
    assert again.kind == "replayed"


def test_refusals():
    begin, end = readings(package_0=1)
    with pytest.raises(RecordError, match="before it begins"):
        Window.from_readings(end, begin, SOCKET, kind="simulated", update_period_s=1e-3)
    with pytest.raises(RecordError, match="lacks the domain gpu-0"):
        Window.from_readings(begin, end, [Domain("gpu-0")], kind="simulated", update_period_s=1e-3)
    with pytest.raises(UsageError, match="update_period_s"):
        Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=math.nan)
    window = Window.from_readings(begin, end, SOCKET, kind="simulated", update_period_s=1e-3)
    with pytest.raises(UsageError, match="coverage"):
        window.interval(95)


WORK = OpCounts.single("float32", macs=4_000_000_000, load_bytes=200_000_000, launches=1)


def coverage(scenario: dict[str, Any], *, windows: int, aligned: bool, from_idle: bool, seed: int) -> float:
    """Share of 95 % intervals of random windows that hold the true energy between the two readings, and mean width."""
    device = VirtualDevice(Scenario.from_dict(scenario))
    meter = SimulatedMeter(device)
    draw = random.Random(seed)
    covered = 0
    calls_per_s = 1 / device.execute(WORK)
    for _ in range(windows):
        device.idle(draw.uniform(0.1, 0.4))
        if not from_idle:
            device.execute(WORK, round(0.3 * calls_per_s))
        poll_s = None
        begin = meter.read() if not aligned else wait_for_update(meter, poll_s=1e-3).reading
        true_j = device.history.energy_until(begin.time_ns)
        device.execute(WORK, round(draw.uniform(1.0, 6.0) * calls_per_s))
        if aligned:
            update = wait_for_update(meter, poll_s=1e-3)
            end, poll_s = update.reading, update.poll_interval_s
        else:
            end = meter.read()
        true_j = device.history.energy_until(end.time_ns) - true_j
        window = Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=0.1,
            aligned=aligned,
            poll_interval_s=poll_s,
            update_noise_rel=scenario["sensor"]["noise_rel"],
        )
        low_j, high_j = window.interval(0.95) or (math.nan, math.nan)
        covered += low_j <= true_j <= high_j
    return covered / windows


@pytest.mark.parametrize("from_idle", [True, False], ids=["from_idle", "from_load"])
@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("noise_rel", [0.0, 0.01])
def test_intervals_hold_the_truth(scenario_dict, aligned, from_idle, noise_rel):
    scenario = scenario_dict(sensor={"noise_rel": noise_rel}, planted={"static_power_w": 60.0})
    share = coverage(scenario, windows=1500, aligned=aligned, from_idle=from_idle, seed=11)
    assert share >= 0.93


def test_intervals_are_not_wide_for_nothing(scenario_dict):
    """One who ignored the edges would cover far too little: the term is needed. (Widths: test_accuracy_study.)"""
    scenario = scenario_dict(sensor={"noise_rel": 0.0})
    device = VirtualDevice(Scenario.from_dict(scenario))
    meter = SimulatedMeter(device)
    assert isinstance(meter.clock, VirtualClock)
    missed = 0
    draw = random.Random(5)
    for _ in range(50):
        device.idle(draw.uniform(0.1, 0.3))
        begin = meter.read()
        before_j = device.history.energy_until(begin.time_ns)
        device.execute(WORK, round(draw.uniform(200, 900)))
        end = meter.read()
        true_j = device.history.energy_until(end.time_ns) - before_j
        window = Window.from_readings(begin, end, meter.domains, kind="simulated", update_period_s=0.0)
        low_j, high_j = window.interval(0.95) or (0.0, 0.0)
        missed += not low_j <= true_j <= high_j
    assert missed > 40
