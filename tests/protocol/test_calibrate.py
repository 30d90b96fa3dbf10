"""`calibrate`: the named design on the planted device, end to end, and what it refuses."""

from __future__ import annotations

import json
import os
import time
from importlib.resources import files
from pathlib import Path

import pytest

from energybench.app.calibrate import calibrate, default_out
from energybench.app.load import busy_load
from energybench.app.replay import replay
from energybench.cli.calibrate import process_begun_s
from energybench.errors import EnergybenchError, MeterUnavailable, UsageError
from energybench.meters.discovery import open_meter
from energybench.records.frame import load_records
from energybench.records.run_directory import read_json
from energybench.workloads import named_design


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrate")
    scenario = path / "planted.toml"
    scenario.write_text(
        'name = "planted"\n'
        "[planted]\nmac_fp32_j = 1.1e-11\nother_flop_j = 6.0e-12\nbyte_j = 9.0e-11\nlaunch_j = 2.0e-6\n"
        "static_power_w = 41.0\n"
        "[time]\nmac_rate = 2.0e12\nbyte_rate = 1.0e11\nlaunch_s = 5.0e-6\n"
        "[sensor]\nupdate_period_s = 0.1\naveraging_window_s = 0.1\nresolution_j = 0.001\ngain = 1.0\n"
        "noise_rel = 0.01\ndrift_rel_per_min = 0.0\nseed = 11\n"
    )
    return calibrate(meter=f"simulated:{scenario}", out=path / "run", tdp_w=120.0)


def test_the_quick_design_takes_its_time_or_one_round_where_the_counter_is_slow(quick_run):
    """59 rows of 20 updates of 0.1 s, 1 s of pre-run and an eighth of an idle window do not fit two minutes.

    Before them the meter is characterised, a fifth of a minute of which finds how the sensor sees a load.
    """
    design = named_design("quick")
    frame = load_records(quick_run.path)
    manifest = read_json(quick_run.manifest_path)
    assert manifest["status"] == "budget"
    assert manifest["window_s"] == pytest.approx(2.0, rel=1e-9)
    end_s = max(record.end_ns for record in quick_run.read_records()) / 1e9
    assert 120.0 < end_s < manifest["budget_s"] < 240.0
    assert set(frame[frame["repeat"] == 0]["workload"]) == {w.name for w in design.workloads}
    # a row in eight has an idle window of its own; the others took the last one's power
    idle = sum("/idle" in row_id for row_id in quick_run.read_readings())
    assert len(frame[frame["split"] != "idle"]) / 8 <= idle < len(frame) / 6
    assert frame[frame["split"] != "idle"]["idle_power_w"].notna().all()


def test_the_run_says_how_its_sensor_sees_a_load(quick_run):
    """A sensor that averages over each whole period of 0.1 s shows a step within two updates and misses nothing."""
    (environment,) = quick_run.read_environments().values()
    found = environment.characteristics
    assert 0.0 <= found.rise_time_s <= 0.2
    assert found.seen_share > 0.95


def test_a_clock_has_no_rise_time(tmp_path):
    meter = open_meter("modelled", tdp_w=100.0)
    assert busy_load(meter, "cpu") is None
    meter.close()


def test_every_row_of_the_quick_design_is_recorded(quick_run):
    design = named_design("quick")
    frame = load_records(quick_run.path)
    assert set(frame["workload"]) == {w.name for w in design.workloads}
    assert set(frame["kind"]) == {"simulated"}
    assert frame["valid"].all()
    assert set(frame["tdp_w"]) == {120.0}
    assert set(frame["traffic_basis"]) == {"compulsory"}
    manifest = read_json(quick_run.manifest_path)
    assert (manifest["kind"], manifest["skipped"]) == ("simulated", {})
    assert manifest["rows"] == manifest["valid_rows"] == len(frame)


def test_energies_are_the_planted_ones(quick_run):
    frame = load_records(quick_run.path)
    truth_j = (
        1.1e-11 * frame["macs"]
        + 6.0e-12 * frame["other_flops"]
        + 9.0e-11 * frame["bytes"]
        + 2.0e-6 * frame["launches"]
        + 41.0 * frame["time_s"]
    )
    ratio = frame["energy_j"] / truth_j
    # 1 % noise a tick over 20 ticks and the idle correction: 0.24 % a window, 5 sigma over 60 of them
    assert ratio.to_numpy() == pytest.approx(1.0, abs=0.012)
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.0015)


def test_records_are_slim_and_each_names_its_environment(quick_run):
    lines = quick_run.records_path.read_text().splitlines()
    assert max(map(len, lines)) <= 2048
    environments = quick_run.read_environments()
    assert {json.loads(line)["environment_sha256"] for line in lines} == set(environments)
    (environment,) = environments.values()
    assert environment.device_name == "planted"
    assert environment.characteristics is not None
    assert environment.characteristics.update_period_s == pytest.approx(0.1, rel=0.01)
    assert environment.characteristics.idle_power_w == pytest.approx(41.0, rel=0.02)


def test_replay_agrees(quick_run):
    result = replay(quick_run.path)
    assert result.agrees
    assert result.to_dict()["kind"] == "replayed"


def test_a_gpu_design_dry_runs_on_a_virtual_device(scenario_path: Path, tmp_path: Path):
    """Types that the scenario plants no cost for are skipped by name, never priced by another's."""
    run = calibrate(meter=f"simulated:{scenario_path}", device="cuda:0", out=tmp_path / "run")
    skipped = read_json(run.manifest_path)["skipped"]
    assert skipped
    assert all("fp16" in name or "bf16" in name for name in skipped)
    assert all("plants no energy for" in reason for reason in skipped.values())
    frame = load_records(run.path)
    assert set(frame["device"]) == {"cuda:0"}
    assert set(frame["dtype"]) == {"float32"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"design": "huge"}, "quick, standard, thorough"),
        ({"device": "tpu"}, "tpu"),
        ({"meter": "sundial"}, "sundial"),
        ({"meter": "replay:runs/x"}, "energybench replay RUN"),
        ({"budget_s": 0.0}, "not positive"),
        ({"resume": True}, "--out"),
        ({"meter": "modelled", "device": "cuda:0"}, "nvml"),
    ],
)
def test_what_cannot_work_is_a_usage_error(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        calibrate(**{"meter": "simulated:none.toml", **options})
    assert list(tmp_path.iterdir()) == []


def test_no_meter_is_an_error_and_nothing_stands_in(tmp_path, monkeypatch):
    from energybench.meters import rapl_powercap

    def absent(*args, **kwargs):
        raise MeterUnavailable("no powercap here; modprobe intel_rapl_msr")

    monkeypatch.setattr(rapl_powercap, "RaplMeter", absent)
    with pytest.raises(EnergybenchError, match="no powercap"):
        calibrate(out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_runs_are_not_put_into_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_out()
    first.mkdir(parents=True)
    assert default_out() != first
    assert first.parent == Path("runs")


def test_every_written_record_fits_the_published_schema(quick_run):
    import jsonschema

    schema = json.loads((files("energybench.records") / "run_record.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for line in quick_run.records_path.read_text().splitlines():
        validator.validate(json.loads(line))


def test_a_command_s_time_begins_with_its_process(tmp_path):
    stat = tmp_path / "self" / "stat"
    stat.parent.mkdir()
    started = time.clock_gettime(time.CLOCK_BOOTTIME) - 50.0
    fields = ["S", *["0"] * 18, str(round(started * os.sysconf("SC_CLK_TCK"))), "0"]
    stat.write_text(f"7 (a name) with ) in it) {' '.join(fields)}\n")
    begun_s = process_begun_s(tmp_path)
    assert begun_s is not None
    assert time.monotonic() - begun_s == pytest.approx(50.0, abs=5.0)
    assert process_begun_s(tmp_path / "none") is None
