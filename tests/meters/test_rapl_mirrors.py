"""One counter shown once per die, under names of their own, is one counter: AMD parts do so."""

import pytest

from energybench.meters import rapl
from energybench.meters.rapl_powercap import RaplMeter
from energybench.meters.window import Window


def energy_j(meter, tree, moves):
    begin = meter.read()
    for directory, energy_uj in moves.items():
        tree.add(directory, energy_uj)
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=1e-3)
    return window.energy_j


def test_mirrored_dies_are_read_once(powercap_tree):
    powercap_tree.zone("intel-rapl:0", "package-0-die-0", 70_000_000_000)
    powercap_tree.zone("intel-rapl:0:0", "core", 1_000_000_000)
    powercap_tree.zone("intel-rapl:1", "package-0-die-1", 70_000_400_000)  # 0.4 J later: read after the other
    powercap_tree.zone("intel-rapl:1:0", "core", 9_000_000_000)
    meter = RaplMeter(powercap_tree.root)
    assert [d.name for d in meter.domains] == ["package-0-die-0", "core-0-die-0"]
    assert any("package-0-die-1 is a mirror of package-0-die-0" in line for line in meter.copies)
    assert energy_j(meter, powercap_tree, {"intel-rapl:0": 3_000_000, "intel-rapl:1": 3_000_000}) == pytest.approx(3.0)
    meter.close()


@pytest.mark.parametrize(
    ("name", "start_uj"),
    [
        ("package-0-die-1", 70_002_000_000),  # another value: a die of its own
        ("package-1-die-0", 70_000_000_000),  # another socket, by chance at the same value
    ],
)
def test_what_only_looks_alike_is_summed(powercap_tree, name, start_uj):
    powercap_tree.zone("intel-rapl:0", "package-0-die-0", 70_000_000_000)
    powercap_tree.zone("intel-rapl:1", name, start_uj)
    meter = RaplMeter(powercap_tree.root)
    assert [d.name for d in meter.domains] == ["package-0-die-0", name]
    assert energy_j(meter, powercap_tree, {"intel-rapl:0": 3_000_000, "intel-rapl:1": 2_000_000}) == pytest.approx(5.0)
    meter.close()


def test_counters_that_have_not_begun_are_not_taken_for_mirrors(powercap_tree):
    powercap_tree.zone("intel-rapl:0", "package-0-die-0", 0)
    powercap_tree.zone("intel-rapl:1", "package-0-die-1", 0)
    meter = RaplMeter(powercap_tree.root)
    assert len(meter.domains) == 2
    meter.close()


def test_several_dies_are_left_to_powercap(powercap_tree, monkeypatch):
    """perf_event counts from 0 and cannot tell a mirror."""
    from types import SimpleNamespace

    from energybench.meters import rapl_perf
    from energybench.records.reading import Domain

    powercap_tree.zone("intel-rapl:0", "package-0-die-0", 70_000_000_000)
    powercap_tree.zone("intel-rapl:1", "package-0-die-1", 70_000_000_000)
    dies = tuple(Domain(f"package-0-die-{i}") for i in range(2))
    perf = SimpleNamespace(name="rapl:perf", domains=dies, close=lambda: None)
    monkeypatch.setattr(rapl_perf, "RaplPerfMeter", lambda _root: perf)
    meter = rapl.open_rapl(powercap_tree.root)
    assert (meter.name, [d.name for d in meter.domains]) == ("rapl:powercap", ["package-0-die-0"])
    meter.close()
