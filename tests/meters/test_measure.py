import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app import measure as measure_module
from energybench.app import open_window
from energybench.app.measure import close_meters, measure
from energybench.errors import CounterWrapAmbiguous, MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters.clock import MonotonicClock
from energybench.meters.nvml import NvmlMeter
from energybench.meters.rapl_powercap import RaplMeter
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.meters.window import Window
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Domain, Reading

WORK = OpCounts.single("float32", macs=4_000_000_000, load_bytes=200_000_000, launches=1)


@pytest.fixture
def simulated(scenario_dict):
    return SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario_dict())))


@pytest.fixture
def rapl(powercap_tree):
    meter = RaplMeter(powercap_tree.client().root)
    yield meter
    close_meters()
    meter.close()


def test_a_block(rapl, powercap_tree):
    with measure("forward", meter=rapl) as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
        powercap_tree.add("intel-rapl:0:0", 1_500_000)
        powercap_tree.add("intel-rapl:0:2", 500_000, range_uj=65_712_999_613)
    assert m.energy_j == pytest.approx(2.5)
    assert m.domains["core-0"].energy_j == pytest.approx(1.5)
    assert m.domains["dram-0"].energy_j == pytest.approx(0.5)
    assert m.uncertainty_j is not None
    assert m.uncertainty_j > 0
    assert m.gain_uncertainty_j == pytest.approx(0.125)
    assert m.power_w == pytest.approx(2.5 / m.time_s)
    assert (m.label, m.kind, m.meters) == ("forward", "simulated", ("rapl:powercap",))
    assert {n for n, d in m.to_dict()["domains"].items() if d["in_total"]} == {"package-0", "dram-0"}


def test_windows_nest(rapl, powercap_tree):
    with measure("outer", meter=rapl) as outer:
        powercap_tree.add("intel-rapl:0", 1_000_000)
        with measure("inner", meter=rapl) as inner:
            powercap_tree.add("intel-rapl:0", 2_000_000)
        powercap_tree.add("intel-rapl:0", 4_000_000)
    assert inner.energy_j == pytest.approx(2.0)
    assert outer.energy_j == pytest.approx(7.0)


def test_one_object_may_be_used_again_and_inside_itself(rapl, powercap_tree):
    one = measure("same", meter=rapl)
    with one as outer:
        with one as inner:
            powercap_tree.add("intel-rapl:0", 2_000_000)
        powercap_tree.add("intel-rapl:0", 1_000_000)
    with one as later:
        pass
    assert [x.energy_j for x in (inner, outer, later)] == pytest.approx([2.0, 3.0, 0.0])


def test_decorator_keeps_the_latest_measurement_and_the_function(simulated):
    def work_plain(calls, *, scale=1):
        """Does work."""
        simulated.device.execute(WORK, calls * scale)
        return calls

    work: Any = measure(meter=simulated)(work_plain)
    assert work(1000, scale=2) == 1000
    first = work.measurement.energy_j
    work(500)
    assert work.measurement.energy_j < first
    assert work.__name__ == "work_plain"
    assert work.__doc__ == "Does work."
    assert work.measurement.label.endswith("work_plain")


def test_the_error_of_the_block_passes(simulated):
    with pytest.raises(KeyError), measure("failing", meter=simulated) as m:  # noqa: PT012
        simulated.device.execute(WORK, 1000)
        raise KeyError("mine")
    assert m.energy_j > 0


def test_a_meter_that_fails_at_the_end_does_not_hide_the_error_of_the_block(simulated):
    with pytest.raises(KeyError), measure("failing", meter=simulated) as m:  # noqa: PT012
        simulated.close()
        raise KeyError("mine")
    with pytest.raises(UsageError, match="still open"):
        _ = m.energy_j
    with pytest.raises(MeterUnavailable, match="closed"), measure("again", meter=simulated):
        pass


def test_energy_inside_the_block_is_not_there_yet(simulated):
    with measure("open", meter=simulated) as m:
        for name in ("energy_j", "uncertainty_j", "time_s", "domains", "power_w"):
            with pytest.raises(UsageError, match="still open"):
                getattr(m, name)
    assert m.energy_j >= 0


def test_long_virtual_work_is_measured_within_its_interval(simulated):
    with measure("work", meter=simulated) as m:
        before_j = simulated.device.true_energy_j
        simulated.device.execute(WORK, 10_000)
        true_j = simulated.device.true_energy_j - before_j
    assert m.uncertainty_j is not None
    assert m.energy_j == pytest.approx(true_j, abs=4 * m.uncertainty_j)
    assert m.notes == ()


def test_short_windows_say_so(simulated, rapl):
    with measure("short", meter=simulated) as m:
        simulated.clock.sleep(1.0)
    assert any("updates of simulated:example" in note for note in m.notes)
    with measure("nothing", meter=rapl) as m:
        pass
    assert any("did not move" in note for note in m.notes)
    assert m.uncertainty_j is not None
    assert m.uncertainty_j > 0


def test_a_file_that_vanished_is_an_error_not_zero(rapl, powercap_tree):
    def block() -> None:
        with measure("vanishing", meter=rapl) as m:
            (powercap_tree.base / "intel-rapl:0" / "energy_uj").unlink()
        _ = m.energy_j  # a short window is evaluated here

    with pytest.raises(MeterUnavailable, match="vanished"):
        block()


# ---- CUDA is fenced where torch has started it, and never otherwise ----


def fake_torch(log: list[str], *, initialised: bool = True) -> Any:
    cuda = SimpleNamespace(
        is_initialized=lambda: initialised, synchronize=lambda: log.append("fence"), current_device=lambda: 0
    )
    return SimpleNamespace(cuda=cuda)


def test_fenced_at_both_edges_before_the_reads(simulated, monkeypatch):
    log: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch(log))
    read = simulated.read

    def logged_read():
        log.append("read")
        return read()

    monkeypatch.setattr(simulated, "read", logged_read)
    with measure("cuda", meter=simulated):
        log.append("work")
    assert log == ["fence", "read", "work", "fence", "read"]


def test_no_fence_where_cuda_was_not_started_or_torch_not_loaded(simulated, monkeypatch):
    log: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch(log, initialised=False))
    with measure("cpu", meter=simulated):
        pass
    monkeypatch.delitem(sys.modules, "torch")
    with measure("cpu", meter=simulated):
        pass
    assert log == []
    assert "torch" not in sys.modules


# ---- auto ----


@pytest.fixture
def meters_here(monkeypatch):
    """What opening a meter for a device gives; close what `measure` kept open afterwards."""
    here: dict[str, Any] = {}

    def open_one(spec, *, device, tdp_w):
        if isinstance(here[device], Exception):
            raise here[device]
        return here[device]

    close_meters()
    monkeypatch.setattr(measure_module, "open_meter", open_one)
    yield here
    close_meters()


def test_auto_sums_cpu_and_the_gpu_in_use(meters_here, rapl, powercap_tree, fake_nvml, monkeypatch):
    library = fake_nvml()
    meters_here.update({"cpu": rapl, "cuda:0": NvmlMeter(0, library=library)})
    monkeypatch.setitem(sys.modules, "torch", fake_torch([]))
    with measure("both") as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
        library.boards[0]["energy_mj"] += 5_000
    assert m.energy_j == pytest.approx(7.0)
    assert m.meters == ("rapl:powercap", "nvml:0")
    assert set(m.domains) >= {"package-0", "gpu-0"}
    assert m.uncertainty_j == pytest.approx(sum((w.uncertainty_j or 0.0) ** 2 for w in m.windows) ** 0.5)
    with measure("one", device="cuda:0") as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
        library.boards[0]["energy_mj"] += 5_000
    assert m.energy_j == pytest.approx(5.0)


def test_auto_names_the_meter_that_is_missing(meters_here, fake_nvml, monkeypatch):
    refusal = MeterPermissionError("energy_uj may not be read; run chmod")
    meters_here.update({"cpu": refusal, "cuda:0": NvmlMeter(0, library=fake_nvml())})
    monkeypatch.setitem(sys.modules, "torch", fake_torch([]))
    with measure("gpu only") as m:
        pass
    assert m.meters == ("nvml:0",)
    assert "not covered: energy_uj may not be read; run chmod" in m.notes


def test_auto_with_nothing_is_an_error(meters_here):
    meters_here["cpu"] = MeterUnavailable("nothing here; run modprobe")
    with pytest.raises(MeterUnavailable, match="modprobe"), measure("none"):
        pass


def test_a_sum_of_kinds_is_refused(meters_here, simulated, fake_nvml, monkeypatch):
    from energybench.meters.modelled import ModelledMeter

    meters_here.update({"cpu": ModelledMeter(tdp_w=100.0), "cuda:0": NvmlMeter(0, library=fake_nvml())})
    monkeypatch.setitem(sys.modules, "torch", fake_torch([]))
    with pytest.raises(UsageError, match="different kinds"), measure("mixed"):
        pass


def test_a_sum_with_an_unknown_error_has_an_unknown_error(simulated):
    """Part of an uncertainty would pass for the whole."""
    with measure("known", meter=simulated) as m:
        simulated.clock.sleep(1.0)
    (window,) = m.windows
    assert window.uncertainty_j
    both = replace(m, _windows=(window, window), _edges=None)
    assert both.uncertainty_j == pytest.approx(2**0.5 * window.uncertainty_j, rel=1e-12)
    unknown = replace(window, uncertainty_j=None)
    assert replace(m, _windows=(window, unknown), _edges=None).uncertainty_j is None


def test_meters_stay_open_between_windows(monkeypatch, simulated):
    opened: list[int] = []
    close_meters()

    def open_once(*_args, **_kw):
        opened.append(1)
        return simulated

    monkeypatch.setattr(measure_module, "open_meter", open_once)
    for _ in range(3):
        with measure("kept", meter="simulated:x"):
            pass
    assert opened == [1]
    close_meters()
    with pytest.raises(MeterUnavailable), measure("closed", meter=simulated):
        pass


def test_modelled_energy_is_announced():
    with measure("model", meter="modelled", tdp_w=100.0) as m:
        sum(range(1000))
    assert m.kind == "modelled"
    assert any("not energy" in note for note in m.notes)
    close_meters()


# ---- long windows ----


class HourlyMeter:
    """A wrapping counter in made-up time: every read is 100 s and 60 kJ after the one before."""

    name = "hourly"
    kind = "simulated"
    domains = (Domain("package-0", wrap_nj=262_144 * 10**9, max_power_w=1000.0),)

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.reads = 0
        self.kept_alive = threading.Event()

    def read(self) -> Reading:
        self.reads += 1
        if threading.current_thread() is not threading.main_thread() and self.reads >= 8:
            self.kept_alive.set()
        return Reading(self.reads * 100 * 10**9, {"package-0": self.reads * 60_000 * 10**9 % (262_144 * 10**9)})

    def close(self) -> None:
        pass


def test_a_long_window_is_kept_alive_by_a_thread_not_a_process(monkeypatch):
    """Only the readings on the way make the sum unambiguous; the number of them does not matter."""
    monkeypatch.setattr(open_window, "keep_alive_period_s", lambda _domains: 0.005)
    meter: Any = HourlyMeter()
    before = set(threading.enumerate())
    try:
        with measure("long", meter=meter) as m:
            assert meter.kept_alive.wait(timeout=60.0)
        # a thread of an earlier window may still be ending
        assert len(set(threading.enumerate()) - before) == 1
        reads = m.windows[0].end.time_ns // (100 * 10**9)
        assert reads >= 8
        assert m.energy_j == pytest.approx((reads - 1) * 60_000)
        assert m.corrected
        pair = m.windows[0]
        with pytest.raises(CounterWrapAmbiguous):
            Window.from_readings(pair.begin, pair.end, meter.domains, kind="simulated", update_period_s=1e-3)
    finally:
        close_meters()
