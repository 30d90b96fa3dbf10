"""A short window is evaluated when its value is read, a long one when it closes: errors come early, cost comes late."""

import itertools
from typing import Any

import pytest

from energybench.app import measure as measure_module
from energybench.app.measure import close_meters, measure
from energybench.app.open_window import EVALUATE_AT_CLOSE_S, evaluate
from energybench.errors import CounterWrapAmbiguous, UsageError
from energybench.meters.clock import MonotonicClock
from energybench.records.reading import Domain, Reading


class TurnedBack:
    """A counter in made-up time that is reset between its first and its second reading."""

    name = "turned-back"
    kind = "simulated"
    domains = (Domain("package-0"),)

    def __init__(self, window_s: float) -> None:
        self.clock = MonotonicClock()
        self._time_ns = itertools.count(0, round(window_s * 1e9))
        self._energy_nj = iter((5_000, 3_000))

    def read(self) -> Reading:
        return Reading(next(self._time_ns), {"package-0": next(self._energy_nj)})

    def close(self) -> None:
        pass


@pytest.fixture
def evaluations(monkeypatch):
    made: list[int] = []

    def counted(edges):
        made.append(1)
        return evaluate(edges)

    monkeypatch.setattr(measure_module, "evaluate", counted)
    yield made
    close_meters()


def test_a_short_window_is_evaluated_once_and_only_when_it_is_read(evaluations, powercap_tree):
    from energybench.meters.rapl_powercap import RaplMeter

    meter = RaplMeter(powercap_tree.client().root)
    powercap_tree.add("intel-rapl:0", 0)  # starts the writer process, which takes longer than a short window
    with measure("short", meter=meter) as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
    assert evaluations == []
    meter.close()
    assert m.energy_j == pytest.approx(2.0)
    assert m.domains["package-0"].energy_j == pytest.approx(2.0)
    assert (len(m.windows), m.corrected) == (1, False)
    assert evaluations == [1]


@pytest.mark.parametrize("first", ["notes", "windows", "uncertainty_j", "corrected"])
def test_whatever_is_read_first_evaluates(evaluations, powercap_tree, first):
    from energybench.meters.rapl_powercap import RaplMeter

    meter = RaplMeter(powercap_tree.client().root)
    with measure("short", meter=meter) as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
        assert (m.windows, m.notes) == ((), ())
    getattr(m, first)
    assert evaluations == [1]
    assert len(m.windows) == 1
    meter.close()


def test_a_reset_in_a_short_window_is_told_on_every_reading():
    meter: Any = TurnedBack(window_s=0.5 * EVALUATE_AT_CLOSE_S)
    with measure("reset", meter=meter) as m:
        pass
    for name in ("energy_j", "notes", "windows", "energy_j"):
        with pytest.raises(CounterWrapAmbiguous, match="reset"):
            getattr(m, name)


def test_a_reset_in_a_long_window_is_told_at_its_end():
    meter: Any = TurnedBack(window_s=EVALUATE_AT_CLOSE_S)
    with pytest.raises(CounterWrapAmbiguous, match="reset"), measure("reset", meter=meter):
        pass


def test_an_open_window_has_no_value(powercap_tree):
    from energybench.meters.rapl_powercap import RaplMeter

    meter = RaplMeter(powercap_tree.client().root)
    with measure("open", meter=meter) as m, pytest.raises(UsageError, match="still open"):
        _ = m.energy_j
    meter.close()
    close_meters()
