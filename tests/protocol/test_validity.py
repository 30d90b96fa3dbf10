from __future__ import annotations

from pathlib import Path

import pytest

from energybench.meters.window import Window
from energybench.protocol.device_state import CpuProbe, DeviceState, foreign_cores, gpu_state
from energybench.protocol.validity import ValidityLimits, invalid_reason
from energybench.records.reading import Domain, Reading


def window(energy_j: float = 50.0, time_s: float = 1.0, *, max_power_w: float | None = 500.0, period_s=0.01) -> Window:
    begin = Reading(0, {"d": 0})
    end = Reading(round(time_s * 1e9), {"d": round(energy_j * 1e9)})
    domains = (Domain("d", max_power_w=max_power_w),)
    return Window.from_readings(begin, end, domains, kind="simulated", update_period_s=period_s)


MEASURED = ValidityLimits.for_kind("measured", device="cpu", cores=8)


def reason(before: DeviceState, after: DeviceState, limits: ValidityLimits = MEASURED, **kw) -> str | None:
    return invalid_reason(kw.pop("window", window()), before, after, limits, is_work=kw.pop("is_work", True), **kw)


def test_a_quiet_window_is_valid():
    before = DeviceState(temp_c=50.0, busy_s=100.0, own_s=10.0)
    after = DeviceState(temp_c=52.0, busy_s=108.05, own_s=18.0)
    assert reason(before, after) is None


def test_foreign_load_is_refused_with_its_number():
    before, after = DeviceState(busy_s=100.0, own_s=10.0), DeviceState(busy_s=103.5, own_s=11.0)
    assert foreign_cores(before, after, 1.0) == pytest.approx(2.5, rel=1e-12)
    assert reason(before, after) == "other load: 2.50 cores busy, 0.08 allowed"


def test_load_beside_the_idle_window_is_refused_too():
    state = DeviceState(busy_s=100.0, own_s=10.0)
    busy, after = DeviceState(busy_s=101.0, own_s=10.0), DeviceState(busy_s=101.0, own_s=10.0)
    assert reason(busy, after) is None
    found = invalid_reason(window(), busy, after, MEASURED, is_work=True, earlier=state, earlier_s=2.0)
    assert found == "other load before it: 0.50 cores busy, 0.08 allowed"
    hot = DeviceState(slowdowns=("hw_slowdown",))
    found = invalid_reason(window(), DeviceState(), DeviceState(), MEASURED, is_work=True, earlier=hot)
    assert found == "slowdown: hw_slowdown"


def test_own_load_is_not_foreign():
    before, after = DeviceState(busy_s=100.0, own_s=10.0), DeviceState(busy_s=108.0, own_s=18.0)
    assert foreign_cores(before, after, 1.0) == 0.0
    assert reason(before, after) is None


def test_foreign_load_does_not_touch_a_modelled_meter():
    before, after = DeviceState(busy_s=100.0, own_s=10.0), DeviceState(busy_s=103.5, own_s=11.0)
    assert reason(before, after, ValidityLimits.for_kind("modelled", device="cpu", cores=8)) is None


def test_slowdown_is_refused_and_a_power_cap_is_not():
    throttled = gpu_state({"throttle_reasons": ["sw_power_cap", "hw_thermal_slowdown"], "temp_c": 80.0})
    assert throttled.slowdowns == ("hw_thermal_slowdown",)
    assert reason(DeviceState(temp_c=80.0), throttled) == "slowdown: hw_thermal_slowdown"
    capped = gpu_state({"throttle_reasons": ["sw_power_cap", "gpu_idle"]})
    assert reason(capped, capped) is None


def test_names_of_slowdowns_are_those_the_meter_gives():
    """A renamed reason in the meter would switch the check off without a sound."""
    from energybench.meters import nvml
    from energybench.protocol.device_state import SLOWDOWNS

    assert set(SLOWDOWNS) <= set(nvml._THROTTLE_REASONS.values())


def test_another_process_on_the_gpu():
    state = gpu_state({"process_ids": [11, 4242]}, own_pid=11)
    assert state.other_processes == (4242,)
    assert reason(state, state) == "other processes on the device: 4242"


def test_in_a_container_one_listed_process_is_this_one():
    assert gpu_state({"process_ids": [4242]}, own_pid=11).other_processes == ()
    assert gpu_state({"process_ids": [4242, 977]}, own_pid=11).other_processes == (977,)
    assert gpu_state({"process_ids": []}, own_pid=11).other_processes == ()


def test_temperature_drift():
    assert reason(DeviceState(temp_c=50.0), DeviceState(temp_c=57.5)) == "temperature drift: +7.5 °C, 5 °C allowed"
    cooled = reason(DeviceState(temp_c=57.5), DeviceState(temp_c=50.0), during=(DeviceState(temp_c=58.0),))
    assert cooled == "temperature drift: -7.5 °C, 5 °C allowed"  # the furthest, either way


def test_stuck_meter_and_idle_zero():
    zero = window(0.0)
    assert reason(DeviceState(), DeviceState(), window=zero) == "meter stuck: 0 J in 1 s over 100.0 update periods"
    text = reason(DeviceState(), DeviceState(), window=zero, is_work=False)
    assert text == "no energy counted: 0 J in 1 s over 100.0 update periods"


def test_a_window_without_uncertainty_is_refused():
    text = reason(DeviceState(), DeviceState(), window=window(0.0, 0.01, max_power_w=None))
    assert text is not None
    assert "no uncertainty" in text


def test_a_counter_that_disagrees_with_power_flags_every_record():
    before = after = DeviceState(temp_c=50.0)
    assert reason(before, after, counter_integral_ratio=0.96) is None
    assert reason(before, after, counter_integral_ratio=None) is None
    for ratio in (0.94, 1.06):
        assert (reason(before, after, counter_integral_ratio=ratio) or "").startswith("counter and power disagree")


def test_all_reasons_are_named():
    before = DeviceState(temp_c=50.0, slowdowns=("hw_slowdown",), busy_s=0.0, own_s=0.0)
    after = DeviceState(temp_c=60.0, busy_s=5.0, own_s=0.0)
    text = reason(before, after)
    assert text is not None
    assert [part.partition(":")[0] for part in text.split("; ")] == ["slowdown", "other load", "temperature drift"]


def test_cpu_probe_reads_the_kernels_files(tmp_path: Path):
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    (proc / "stat").write_text("cpu  100 10 200 9999 50 5 15 0 0 0\ncpu0 1 1 1 1\n")
    (proc / "cpuinfo").write_text("cpu MHz\t\t: 2000.0\nmodel name : x\ncpu MHz\t\t: 3000.0\n")
    for number, (kind, temp) in enumerate([("acpitz", "27000"), ("x86_pkg_temp", "61500")]):
        zone = sys / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(temp + "\n")
    for index, (level, size) in enumerate([(1, "32K"), (3, "491520K"), (2, "2048K")]):
        cache = sys / f"devices/system/cpu/cpu0/cache/index{index}"
        cache.mkdir(parents=True)
        (cache / "level").write_text(f"{level}\n")
        (cache / "size").write_text(f"{size}\n")
    clock = sys / "devices/system/cpu/cpu0/cpufreq"
    clock.mkdir()
    (clock / "cpuinfo_max_freq").write_text("3700000\n")
    for rapl, (name, limit_uw) in {
        "intel-rapl:0": ("package-0", "95000000"),
        "intel-rapl:1": ("package-1", "105000000"),
        "intel-rapl:0:0": ("dram", "7000000"),
        "intel-rapl:2": ("psys", "300000000"),
    }.items():
        folder = sys / "class/powercap" / rapl
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "constraint_0_power_limit_uw").write_text(limit_uw + "\n")
    probe = CpuProbe(proc, sys)
    probe._tick_hz = 100
    assert probe.power_limit_w() == pytest.approx(200.0, rel=1e-12)
    assert probe.last_cache_bytes() == 480 * 2**20
    assert probe.highest_clock_mhz() == 3700.0
    state = probe.state()
    assert state.busy_s == pytest.approx(3.3, rel=1e-12)  # user nice system irq softirq; not idle, not iowait
    assert state.clock_mhz == 2500.0
    assert state.temp_c == 61.5
    (sys / "class/powercap/intel-rapl:1/constraint_0_power_limit_uw").unlink()
    assert probe.power_limit_w() is None, "half a limit is none"


def test_cpu_probe_without_files_knows_nothing(tmp_path: Path):
    probe = CpuProbe(tmp_path, tmp_path)
    assert (probe.last_cache_bytes(), probe.highest_clock_mhz(), probe.power_limit_w()) == (None, None, None)
    state = probe.state()
    assert (state.busy_s, state.clock_mhz, state.temp_c) == (None, None, None)
    assert foreign_cores(state, state, 1.0) is None
