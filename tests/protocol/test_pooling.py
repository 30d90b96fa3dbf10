"""Records of unlike runs are not fitted together, and the message lists all that differs."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from energybench.app.calibrate import calibrate
from energybench.app.fit import fit_files
from energybench.app.pooling import refuse_unlike
from energybench.errors import RecordError
from energybench.records.environment import Environment


def environment(**changes):
    facts: dict[str, Any] = {
        "gpu_driver_version": "1",
        "cpu_governor": "performance",
        "cpu_turbo": True,
        "load_average_1min": 0.1,
    }
    base: dict[str, Any] = {"device": "cuda:0", "device_name": "Part", "device_uuid": "GPU-1", "meter": "nvml"}
    return Environment(
        **{**base, **{k: v for k, v in changes.items() if k in base}},
        facts={**facts, **{k: v for k, v in changes.items() if k not in base}},
    )


def frame(first: Environment, second: Environment, **changes) -> pd.DataFrame:
    row = {"device": "cuda:0", "meter": "nvml", "kind": "measured", "threads": float("nan"), "split": "fit"}
    row["dtype"] = "float32"
    return pd.DataFrame(
        [
            {**row, "run_id": "a", "environment_sha256": first.sha256},
            {**row, "run_id": "b", "environment_sha256": second.sha256, **changes},
            # idle rows carry no element type of their own
            {**row, "run_id": "a", "environment_sha256": first.sha256, "split": "idle", "dtype": "float16"},
        ]
    )


def check(first: Environment, second: Environment, **changes) -> None:
    refuse_unlike(frame(first, second, **changes), {e.sha256: e for e in (first, second)})


def test_a_repetition_on_the_same_machine_is_pooled():
    check(environment(), environment(load_average_1min=3.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_name": "Other"}, "device name \\('Part' / 'Other'\\)"),
        ({"device_uuid": "GPU-2"}, "device UUID"),
        ({"gpu_driver_version": "2"}, "driver \\('1' / '2'\\)"),
        ({"cpu_governor": "powersave"}, "governor"),
        ({"cpu_turbo": False}, "turbo"),
    ],
)
def test_unlike_environments_are_refused(changes, message):
    with pytest.raises(RecordError, match=message):
        check(environment(), environment(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "simulated"}, "meter kind \\('measured' / 'simulated'\\)"),
        ({"dtype": "bfloat16"}, "element types \\('float32' / 'bfloat16'\\)"),
        ({"device": "cpu"}, "device \\("),
        ({"threads": 2.0}, "threads"),
    ],
)
def test_unlike_records_are_refused(changes, message):
    with pytest.raises(RecordError, match=message):
        check(environment(), environment(), **changes)


def test_all_differences_are_listed():
    with pytest.raises(RecordError) as caught:
        check(environment(), environment(gpu_driver_version="2", device_uuid="GPU-2"), kind="simulated")
    assert str(caught.value).count(" / ") == 3
    assert "fit them apart" in str(caught.value)


def test_records_without_environments_are_compared_by_themselves():
    refuse_unlike(frame(environment(), environment(device_name="Other")), {})
    with pytest.raises(RecordError, match="meter kind"):
        refuse_unlike(frame(environment(), environment(), kind="modelled"), {})


def test_runs_of_two_virtual_devices_are_not_fitted_together(scenario_path, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(scenario_path.read_text().replace('"planted"', '"another"'))
    runs = [
        calibrate(meter=f"simulated:{path}", out=tmp_path / name, budget_s=150.0)
        for name, path in (("a", scenario_path), ("b", other))
    ]
    with pytest.raises(RecordError, match="device name \\('planted' / 'another'\\)"):
        fit_files([run.path for run in runs])
