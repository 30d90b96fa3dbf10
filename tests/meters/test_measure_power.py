"""A window whose meter also tells power holds its counter against it; and which threads a window may have."""

import itertools
import threading
import time
from typing import Any

import pytest

from energybench.app import open_window
from energybench.app.measure import close_meters, measure
from energybench.errors import MeterUnavailable
from energybench.meters.clock import MonotonicClock
from energybench.meters.power_check import check_samples
from energybench.records.reading import Domain, Reading

SAMPLE_S = 0.002


class Board:
    """Real time, 50 W; its counter is off by a gain."""

    name = "board"
    kind = "simulated"
    domains = (Domain("gpu-0"),)

    def __init__(self, gain: float) -> None:
        self.clock = MonotonicClock()
        self.gain = gain
        self.sampled = threading.Event()
        self._samples = itertools.count(1)

    def read(self) -> Reading:
        time_ns = time.monotonic_ns()
        return Reading(time_ns, {"gpu-0": round(self.gain * 50 * time_ns)})

    def read_power_w(self) -> float:
        if next(self._samples) > 14:
            self.sampled.set()
        return 50.0

    def close(self) -> None:
        pass


@pytest.fixture
def fast_samples(monkeypatch):
    real = open_window.PowerSampler
    monkeypatch.setattr(open_window, "PowerSampler", lambda meter: real(meter, SAMPLE_S))
    yield
    close_meters()


@pytest.mark.parametrize(("gain", "agrees"), [(1.0, True), (1.04, True), (0.8, False), (1.07, False)])
def test_a_counter_that_disagrees_with_power_is_told(fast_samples, gain, agrees):
    board: Any = Board(gain)
    with measure("board", meter=board) as m:
        assert board.sampled.wait(timeout=30.0)
    check = m.power_checks["board"]
    assert check.ratio == pytest.approx(gain, rel=1e-3)
    assert check.agrees is agrees
    said = [note for note in m.notes if "one of the two is wrong" in note]
    assert len(said) == (0 if agrees else 1)
    assert m.to_dict()["counter_over_power"] == {"board": pytest.approx(gain, rel=1e-3)}


def test_a_window_before_leaves_no_samples_in_the_next(fast_samples):
    board: Any = Board(1.0)
    with measure("outer", meter=board) as outer:
        assert board.sampled.wait(timeout=30.0)
        with measure("short", meter=board) as short:
            pass
    assert short.power_checks == {}
    assert outer.power_checks["board"].samples >= 10


STEP_NS = 500_000_000


def samples(powers_w: list[float]) -> dict[str, Any]:
    times_ns = [STEP_NS // 2 + i * STEP_NS for i in range(len(powers_w))]
    return {"times_ns": times_ns, "powers_w": powers_w, "begin_ns": 0, "end_ns": len(powers_w) * STEP_NS}


def test_a_steady_load_shows_five_percent_and_a_swinging_one_is_not_blamed_on_the_counter():
    steady = samples([100.0] * 20)
    for counted_j, agrees in ((1000.0, True), (1049.0, True), (951.0, True), (1051.0, False), (949.0, False)):
        check = check_samples(**steady, counter_j=counted_j)
        assert check is not None
        assert check.integral_j == pytest.approx(1000.0)
        assert check.agrees is agrees
    swinging = check_samples(**samples([50.0, 150.0] * 10), counter_j=1060.0)
    assert swinging is not None
    assert swinging.agrees
    far = check_samples(**samples([50.0, 150.0] * 10), counter_j=2500.0)
    assert far is not None
    assert not far.agrees


def test_a_step_in_the_window_is_integrated():
    check = check_samples(**samples([100.0] * 10 + [300.0] * 10), counter_j=2000.0)
    assert check is not None
    assert check.integral_j == pytest.approx(2000.0)


def test_few_samples_and_no_power_say_nothing():
    assert check_samples(**samples([100.0] * 9), counter_j=1.0) is None
    assert check_samples(**samples([0.0] * 20), counter_j=1.0) is None


def test_a_counter_that_neither_wraps_nor_tells_power_needs_no_thread():
    meter: Any = type("Bare", (), {k: v for k, v in vars(Board).items() if k != "read_power_w"})(1.0)
    before = set(threading.enumerate())
    with measure("bare", meter=meter) as m:
        assert set(threading.enumerate()) <= before
    assert m.energy_j >= 0
    close_meters()


def test_a_counter_is_parsed_when_its_window_is_evaluated_and_garbage_is_an_error_then(powercap_tree):
    from energybench.meters.rapl_powercap import RaplMeter

    meter = RaplMeter(powercap_tree.client().root)
    with measure("garbage", meter=meter) as m:
        (powercap_tree.base / "intel-rapl:0" / "energy_uj").write_text("no number\n")
    for _ in range(2):
        with pytest.raises(MeterUnavailable, match="no whole number"):
            _ = m.energy_j
    meter.close()
    close_meters()


def test_a_poll_parsed_later_is_the_reading(powercap_tree):
    from energybench.meters.rapl_powercap import RaplMeter

    meter = RaplMeter(powercap_tree.client().root)
    raw = meter.read_raw()
    powercap_tree.add("intel-rapl:0", 2_000_000)
    later = meter.read()
    assert later.energy_nj["package-0"] - meter.parse(raw).energy_nj["package-0"] == 2_000_000_000
    assert meter.parse(raw).energy_nj.keys() == later.energy_nj.keys() == {d.name for d in meter.domains}
    meter.close()
