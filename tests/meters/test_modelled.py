import math
import os
import time

import pytest

from energybench.errors import UsageError
from energybench.meters import modelled
from energybench.meters.modelled import DATASHEET, ModelledMeter, cpu_model_name, datasheet_power
from energybench.meters.window import Window


def test_energy_is_cpu_time_times_power_per_thread(monkeypatch):
    meter = ModelledMeter(tdp_w=100.0)
    clock = {"process_ns": 1_000_000_000}
    monkeypatch.setattr(time, "process_time_ns", lambda: clock["process_ns"])
    begin = meter.read()
    clock["process_ns"] += 3_000_000_000
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=None)
    assert window.energy_j == pytest.approx(3.0 * 100.0 / (os.cpu_count() or 1))
    assert window.kind == "modelled"
    assert window.uncertainty_j is None


def test_finished_children_count(monkeypatch):
    import subprocess
    import sys

    meter = ModelledMeter(tdp_w=100.0)
    monkeypatch.setattr(time, "process_time_ns", lambda: 0)
    begin = meter.read()
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    assert meter.read().energy_nj["cpu"] > begin.energy_nj["cpu"]


def test_table_is_looked_up_by_whole_words():
    assert datasheet_power("AMD EPYC 7763 64-Core Processor") == (280.0, 128)
    assert datasheet_power("Intel(R) Xeon(R) Platinum 8480+") == (350.0, 112)
    for unknown in ("AMD EPYC 7763P 64-Core Processor", "Intel(R) Xeon(R) Processor", None):
        with pytest.raises(UsageError, match="--tdp-w"):
            datasheet_power(unknown)
    assert all(power_w > 0 and threads > 0 for power_w, threads in DATASHEET.values())


@pytest.mark.parametrize("tdp_w", [0.0, -1.0, math.nan, math.inf])
def test_impossible_power_is_refused(tdp_w):
    with pytest.raises(UsageError, match="--tdp-w"):
        ModelledMeter(tdp_w=tdp_w)


def test_model_name_is_read_or_unknown(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert cpu_model_name(info) == "Some CPU @ 2 GHz"
    assert cpu_model_name(tmp_path / "absent") is None


def test_discovery_names_the_option_for_an_unknown_part(monkeypatch):
    monkeypatch.setattr(modelled, "cpu_model_name", lambda: "Unknown CPU")
    (info,) = modelled.discover()
    assert not info.available
    assert "--tdp-w" in info.remedy
    monkeypatch.setattr(modelled, "cpu_model_name", lambda: "AMD EPYC 9654 96-Core Processor")
    (info,) = modelled.discover()
    assert info.available
    assert "not energy" in info.observed
    with_table = ModelledMeter()
    assert with_table.tdp_w == 360.0
