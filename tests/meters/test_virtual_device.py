import itertools
import math
from typing import Any

import pytest

from energybench.errors import CountingError, MeterUnavailable, UsageError
from energybench.meters.power_history import PowerHistory
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.op_counts import OpCounts

WORK = OpCounts.single(
    "float32", macs=10**9, adds=10**6, specials=10**5, load_bytes=10**7, store_bytes=2 * 10**6, launches=3
)
# By hand from the scenario: max(1e9/2e12, 1.2e7/1e11) + 3·5e-6, and the planted joules.
WORK_S = 5.0e-4 + 1.5e-5
WORK_J = 1.1e-11 * 1e9 + 6e-12 * 1.1e6 + 9e-11 * 1.2e7 + 2e-6 * 3


@pytest.fixture
def device(scenario_dict):
    def make(**sections):
        return VirtualDevice(Scenario.from_dict(scenario_dict(**sections)))

    return make


def test_energy_and_time_are_what_was_planted(device):
    d = device()
    took_s = d.execute(WORK, 1000)
    assert took_s == pytest.approx(1000 * WORK_S, abs=1e-9)
    assert d.clock.now_ns() == pytest.approx(1000 * WORK_S * 1e9, abs=1)
    assert d.true_energy_j == pytest.approx(1000 * (WORK_J + 41.0 * WORK_S), rel=1e-9)
    d.idle(2.0)
    assert d.true_energy_j == pytest.approx(1000 * (WORK_J + 41.0 * WORK_S) + 82.0, rel=1e-9)
    before_j = d.true_energy_j
    d.clock.sleep(1.0)  # whoever sleeps on the clock pays for idling
    assert d.true_energy_j - before_j == pytest.approx(41.0)


def test_a_million_tiny_calls_lose_neither_time_nor_energy(device):
    d = device(time={"launch_s": 0.0}, planted={"launch_j": 0.0})
    tiny = OpCounts.single("float32", macs=1)  # half a picosecond
    for _ in range(100_000):
        d.execute(tiny, 7)
    assert d.clock.now_ns() == pytest.approx(700_000 * 0.5e-3, abs=1)
    assert d.true_energy_j == pytest.approx(700_000 * 1.1e-11 + 41.0 * 350e-9, rel=5e-3)


def test_equal_neighbours_of_the_power_history_are_one_piece():
    history = PowerHistory(41.0)
    for power_w in (41.0, 41.0, 50.0, 50.0, 41.0):
        for _ in range(100):
            history.append(10**9, power_w)
    assert len(history) == 3
    assert history.energy_until(history.end_ns) == pytest.approx(300 * 41.0 + 200 * 50.0)
    assert history.energy_until(250 * 10**9) == pytest.approx(200 * 41.0 + 50 * 50.0)
    assert history.energy_until(-(10**9)) == pytest.approx(-41.0)
    history.forget(250 * 10**9)
    assert len(history) == 2
    assert history.energy_until(history.end_ns) == pytest.approx(300 * 41.0 + 200 * 50.0)
    with pytest.raises(ValueError, match="forgotten"):
        history.energy_until(10**9)


def test_ten_virtual_minutes_are_a_handful_of_pieces(device):
    d = device()
    for _ in range(6000):
        d.execute(WORK, 190)
    assert d.clock.now_ns() > 580e9
    d.sensor.counter_nj()
    assert len(d.history) < 5


@pytest.mark.parametrize("window_s", [0.1, 0.025, 1.0])
def test_the_sensor_finds_the_planted_truth_in_the_long_run(device, window_s):
    """20 minutes of steady mixed work: the counter is the true energy, within noise/√n, one update and the window."""
    d = device(sensor={"averaging_window_s": window_s})
    meter = SimulatedMeter(d)
    for _ in range(400):
        d.execute(WORK, 5_000)
        d.idle(0.437)
    counted_j = meter.read().energy_nj["device"] / 1e9
    updates = d.clock.now_ns() / 1e8
    # A sensor that is blind three quarters of the time samples work and idle by chance: allow for that too.
    blind = 0.003 if window_s < 0.1 else 0.0
    allowed = 4 * 0.01 / math.sqrt(updates) + 2 * 0.1 / (d.clock.now_ns() / 1e9) + blind
    assert counted_j / d.true_energy_j == pytest.approx(1.0, abs=allowed)


def test_gain_and_drift_are_applied(device):
    quiet = {"noise_rel": 0.0}
    exact = device(sensor=quiet)
    high = device(sensor={**quiet, "gain": 1.1})
    drifting = device(sensor={**quiet, "drift_rel_per_min": 0.01})
    for d in (exact, high, drifting):
        d.idle(600.0)
    assert high.sensor.counter_nj() / exact.sensor.counter_nj() == pytest.approx(1.1, rel=1e-5)
    # Drift grows from 0 to 10 % over ten minutes: 5 % on average.
    assert drifting.sensor.counter_nj() / exact.sensor.counter_nj() == pytest.approx(1.05, rel=1e-3)


def test_a_part_time_sensor_sees_only_its_window(device):
    """Work in the 25 ms before each update and idle in the other 75 ms: a 25/100 sensor reports it four times over."""
    common = {"noise_rel": 0.0, "update_period_s": 0.1, "resolution_j": 1e-6}
    full = device(sensor={**common, "averaging_window_s": 0.1})
    part = device(sensor={**common, "averaging_window_s": 0.025})
    for d in (full, part):
        for _ in range(50):
            until_update_s = (d.sensor.next_update_ns - d.clock.now_ns()) / 1e9
            d.idle((until_update_s - 0.025) % 0.1)
            took_s = d.execute(WORK, int(0.025 / WORK_S))
            d.idle(0.025 - took_s)
            d.sensor.counter_nj()
    idle_j = 41.0 * full.clock.now_ns() / 1e9
    full_j, part_j = (d.sensor.counter_nj() / 1e9 - idle_j for d in (full, part))
    assert part_j / full_j == pytest.approx(4.0, rel=0.05)


def test_same_seed_same_counter_however_often_it_is_read(device):
    often, once, other = device(), device(), device(sensor={"seed": 8})
    for _ in range(500):
        often.idle(0.013)
        often.sensor.counter_nj()
    once.idle(6.5)
    other.idle(6.5)
    assert often.sensor.counter_nj() == once.sensor.counter_nj()
    assert other.sensor.counter_nj() != once.sensor.counter_nj()


def test_counter_is_quantised_and_only_moves_at_updates(device):
    d = device(sensor={"resolution_j": 0.5})
    seen = []
    for _ in range(400):
        d.idle(0.01)
        seen.append(d.sensor.counter_nj())
    assert all(value % 500_000_000 == 0 for value in seen)
    assert seen == sorted(seen)
    moves = sum(a != b for a, b in itertools.pairwise(seen))
    assert 35 <= moves <= 41


def test_meter_reads_cost_virtual_time_and_end_with_close(device):
    meter = SimulatedMeter(device())
    first, second = meter.read(), meter.read()
    assert second.time_ns - first.time_ns == 50_000
    assert meter.kind == "simulated"
    assert meter.domains[0].wrap_nj is None
    meter.close()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


# ---- optional sections: each changes the truth as it says ----


def dynamic_j(d: VirtualDevice, work: OpCounts = WORK, calls: int = 1000, **kw: Any) -> float:
    before_j, before_ns = d.true_energy_j, d.clock.now_ns()
    d.execute(work, calls, **kw)
    return d.true_energy_j - before_j - 41.0 * (d.clock.now_ns() - before_ns) / 1e9


def test_hidden_spread_is_fixed_per_kernel_and_of_the_planted_size(device):
    d = device(hidden={"variant_sigma_energy": 0.2, "variant_sigma_time": 0.0})
    gemm = dynamic_j(d)
    assert gemm == pytest.approx(dynamic_j(d), rel=1e-6)
    assert gemm != pytest.approx(dynamic_j(d, kernel_class="conv"), rel=1e-3)
    logs = []
    for seed in range(300):
        one = device(
            hidden={"variant_sigma_energy": 0.2, "variant_sigma_time": 0.0},
            sensor={"seed": seed},
            planted={"launch_j": 0.0},
        )
        logs.append(math.log(dynamic_j(one) / 1000 / (WORK_J - 6e-6)))
    mean = sum(logs) / len(logs)
    assert mean == pytest.approx(0.0, abs=0.05)
    assert math.sqrt(sum((x - mean) ** 2 for x in logs) / len(logs)) == pytest.approx(0.2, abs=0.03)


def test_hidden_time_spread_changes_the_duration_only(device):
    d = device(hidden={"variant_sigma_energy": 0.0, "variant_sigma_time": 0.3})
    assert dynamic_j(d) == pytest.approx(1000 * WORK_J, rel=1e-6)
    assert d.execute(WORK, 1000) != pytest.approx(1000 * WORK_S, rel=1e-2)


def test_cache_prices_the_near_bytes(device):
    d = device(cache={"l2_bytes": 4_000_000, "l2_byte_j": 1e-11})
    expected = WORK_J - 4e6 * (9e-11 - 1e-11)
    assert dynamic_j(d) == pytest.approx(1000 * expected, rel=1e-6)


def test_tiles_are_paid_whole_and_waited_for_in_waves(device):
    d = device(tile={"m": 100, "n": 100, "k": 100, "sm_count": 64})
    work = OpCounts.single("float32", macs=64_000_001)  # 65 tiles, 2 waves
    assert dynamic_j(d, work) == pytest.approx(1000 * 65e6 * 1.1e-11, rel=1e-6)
    assert d.execute(work, 1000) == pytest.approx(1000 * 128e6 / 2e12, rel=1e-6)


def test_active_power_is_drawn_while_working(device):
    d = device(sm={"active_w": 30.0})
    assert dynamic_j(d) == pytest.approx(1000 * (WORK_J + 30.0 * WORK_S), rel=1e-6)


def test_power_cap_lowers_the_clock(device):
    hot = OpCounts.single("float32", macs=10**10)
    free = device()
    capped = device(dvfs={"power_cap_w": 50.0, "v_of_f": [[0.2, 0.7], [1.0, 1.0]]})
    free_s, capped_s = free.execute(hot, 1000), capped.execute(hot, 1000)
    assert free.true_energy_j / free_s == pytest.approx(41.0 + 22.0, rel=1e-6)
    assert capped_s > free_s
    assert capped.true_energy_j / capped_s == pytest.approx(50.0, rel=1e-3)
    # 41 W + 22 W · V(f)² · f = 50 W with V(f) = 0.7 + 0.375·(f − 0.2), solved by bisection here.
    low, high = 0.2, 1.0
    for _ in range(60):
        f = (low + high) / 2
        low, high = (f, high) if 22.0 * (0.7 + 0.375 * (f - 0.2)) ** 2 * f < 9.0 else (low, f)
    assert capped_s == pytest.approx(free_s / low, rel=1e-5)
    untouched = device(dvfs={"power_cap_w": 500.0, "v_of_f": [[0.2, 0.7], [1.0, 1.0]]})
    assert untouched.execute(hot, 1000) == pytest.approx(free_s)


def test_leakage_creeps_up_and_integrates_exactly(device):
    d = device(thermal={"leak_w": 20.0, "tau_s": 10.0})
    calls = int(30.0 / WORK_S)
    took_s = d.execute(WORK, calls)
    leaked_j = d.true_energy_j - calls * WORK_J - 41.0 * took_s
    assert leaked_j == pytest.approx(20.0 * (took_s - 10.0 * (1 - math.exp(-took_s / 10.0))), rel=1e-6)
    before_j = d.true_energy_j
    d.idle(200.0)  # and back down
    assert d.true_energy_j - before_j - 41.0 * 200.0 == pytest.approx(
        20.0 * (1 - math.exp(-took_s / 10.0)) * 10.0, rel=1e-3
    )


def test_zeros_dispatch_and_session(device):
    assert dynamic_j(device(values={"zero_sensitivity": 0.5}), zero_share=0.4) == pytest.approx(
        1000 * (WORK_J - 0.2 * 1.1e-2), rel=1e-6
    )
    assert device(host={"dispatch_s": 1e-3}).execute(WORK, 10) == pytest.approx(10 * 3e-3)
    plain, offset = device(), device(session={"offset_rel": 0.03})
    for d in (plain, offset):
        d.execute(WORK, 100)
        d.idle(1.0)
    assert offset.true_energy_j / plain.true_energy_j == pytest.approx(1.03)


def test_other_element_types_need_their_own_price(device):
    half = OpCounts.single("bfloat16", macs=10**9)
    with pytest.raises(UsageError, match="mac_bf16_j"):
        device().execute(half)
    d = device(planted={"mac_bf16_j": 4e-12}, time={"mac_rate_bf16": 8e12})
    assert dynamic_j(d, half) == pytest.approx(1000 * 4e-3, rel=1e-6)
    assert d.execute(half, 1000) == pytest.approx(1000 * 1.25e-4)


def test_work_that_cannot_be_priced_is_refused(device):
    d = device()
    with pytest.raises(UsageError, match="compulsory"):
        d.execute(OpCounts.single("float32", macs=1, traffic_basis="issued"))
    with pytest.raises(UsageError, match="calls"):
        d.execute(WORK, -1)
    with pytest.raises(UsageError, match="zero_share"):
        d.execute(WORK, zero_share=1.5)
    with pytest.raises(UsageError, match="finite"):
        d.idle(math.nan)
    with pytest.raises(UsageError, match="in no time"):
        device(time={"launch_s": 0.0}).execute(OpCounts(launches=1))
    with pytest.raises(CountingError):
        OpCounts.single("float32", macs=-1)
    assert d.true_energy_j == 0


# ---- the file ----


def test_file_gives_the_same_device(scenario_file, device):
    loaded = VirtualDevice.load(scenario_file())
    direct = device()
    for d in (loaded, direct):
        d.execute(WORK, 5000)
    assert loaded.true_energy_j == direct.true_energy_j
    assert loaded.sensor.counter_nj() == direct.sensor.counter_nj()
    assert loaded.name == "example"


REQUIRED = [
    (section, key)
    for section, keys in {
        "planted": ("mac_fp32_j", "other_flop_j", "byte_j", "launch_j", "static_power_w"),
        "time": ("mac_rate", "byte_rate", "launch_s"),
        "sensor": (
            "update_period_s",
            "averaging_window_s",
            "resolution_j",
            "gain",
            "noise_rel",
            "drift_rel_per_min",
            "seed",
        ),
    }.items()
    for key in keys
]


@pytest.mark.parametrize(("section", "key"), REQUIRED)
def test_every_fixed_key_is_needed_and_checked(scenario_dict, section, key):
    data = scenario_dict()
    del data[section][key]
    with pytest.raises(UsageError, match=rf"{section}\.{key} is missing") as missing:
        Scenario.from_dict(data)
    for bad in (math.nan, math.inf, "1", True, None):
        with pytest.raises(UsageError, match=rf"{section}\.{key}") as wrong:
            Scenario.from_dict(scenario_dict(**{section: {key: bad}}))
        assert "\n" not in str(wrong.value)
    if key != "drift_rel_per_min":
        with pytest.raises(UsageError, match=rf"{section}\.{key}"):
            Scenario.from_dict(scenario_dict(**{section: {key: -1}}))
    assert missing.value.exit_code == 2


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"planted": {"mac_fp31_j": 1.0}}, "planted.mac_fp31_j is unknown"),
        ({"sensor": {"sed": 1}}, "sensor.sed is unknown"),
        ({"fan": {"rpm": 1}}, "fan is unknown"),
        ({"hidden": {"variant_sigma_energy": 0.1}}, "hidden.variant_sigma_time is missing"),
        ({"tile": {"m": 0, "n": 1, "k": 1, "sm_count": 1}}, "tile.m = 0"),
        ({"values": {"zero_sensitivity": 1.5}}, "zero_sensitivity = 1.5"),
        ({"dvfs": {"power_cap_w": 100, "v_of_f": [[1.0, 1.0], [0.5, 0.8]]}}, "dvfs.v_of_f"),
        ({"dvfs": {"power_cap_w": 100, "v_of_f": 3}}, "dvfs.v_of_f"),
        ({"thermal": {"leak_w": 5.0, "tau_s": 0}}, "thermal.tau_s"),
    ],
)
def test_unknown_and_impossible_keys_are_refused_by_name(scenario_dict, sections, what):
    with pytest.raises(UsageError) as error:
        Scenario.from_dict(scenario_dict(**sections))
    assert what in str(error.value)
    assert "\n" not in str(error.value)
    assert "; " in str(error.value)


def test_bad_files_are_one_line_with_the_fix(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent.toml", broken, binary, tmp_path):
        with pytest.raises(UsageError) as error:
            VirtualDevice.load(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        assert "; " in str(error.value)
