import json
from pathlib import Path

import pytest

from energybench.errors import MeterUnavailable, RecordError
from energybench.meters.replay import ReplayMeter
from energybench.meters.window import Window
from energybench.records.reading import Domain, Reading
from energybench.records.window_readings import WindowReadings

DOMAIN = Domain("package-0", wrap_nj=262_144 * 10**9, max_power_w=500.0)


def recorded(i: int, domain: Domain = DOMAIN) -> WindowReadings:
    begin = Reading(i * 10**10, {domain.name: i * 10**12})
    end = Reading(i * 10**10 + 10**9, {domain.name: i * 10**12 + 50 * 10**9})
    return WindowReadings(f"row-{i}", (domain,), begin, end, update_period_s=1e-3, aligned=True)


def write(run: Path, windows: list[WindowReadings]) -> Path:
    run.mkdir(exist_ok=True)
    (run / "readings.jsonl").write_text("".join(json.dumps(w.to_dict()) + "\n" for w in windows))
    return run


def test_a_run_is_replayed_reading_by_reading(tmp_path):
    meter = ReplayMeter.load(write(tmp_path / "run", [recorded(1), recorded(2)]))
    assert meter.kind == "replayed"
    assert meter.nominal_update_period_s == 1e-3
    for i in (1, 2):
        begin, end = meter.read(), meter.read()
        assert meter.clock.now_ns() == end.time_ns
        window = Window.from_readings(begin, end, meter.domains, kind=meter.kind, update_period_s=1e-3)
        assert window.energy_j == pytest.approx(50.0)
        assert begin == recorded(i).begin
    with pytest.raises(MeterUnavailable, match="ended after 4 readings"):
        meter.read()
    meter.clock.sleep(10.0)
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_what_cannot_be_replayed_is_refused(tmp_path):
    with pytest.raises(RecordError, match="does not exist"):
        ReplayMeter.load(tmp_path / "absent")
    with pytest.raises(RecordError, match="no readings"):
        ReplayMeter.load(write(tmp_path / "empty", []))
    with pytest.raises(RecordError, match="mixes meters"):
        ReplayMeter.load(write(tmp_path / "mixed", [recorded(1), recorded(2, Domain("gpu-0"))]))
    with pytest.raises(RecordError, match="no readings"):
        ReplayMeter([], [DOMAIN])
