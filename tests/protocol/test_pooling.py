"""Records of unlike runs are not fitted together, and the message lists all that differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from energybench.app.calibrate import calibrate
from energybench.app.fit import fit_files
from energybench.app.pooling import refuse_unlike
from energybench.errors import RecordError
from energybench.fitting.unit_gains import unit_gain
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.device_identity import device_identity, differences
from energybench.records.environment import Environment
from energybench.records.run_directory import RunDirectory
from energybench.workloads import named_design


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


def test_runs_that_sweep_threads_are_compared_by_their_usual_number():
    first, second = environment(), environment(load_average_1min=3.0)
    both = {e.sha256: e for e in (first, second)}
    two, again, one = (frame(first, second, threads=n).assign(threads=n) for n in (2.0, 2.0, 1.0))
    swept = pd.concat([two, again, one], ignore_index=True)
    refuse_unlike(swept, both)
    refuse_unlike(pd.concat([swept[swept["run_id"] == "b"].iloc[::-1], swept[swept["run_id"] == "a"]]), both)
    with pytest.raises(RecordError, match=r"threads \(2.0 / 1.0\)"):
        refuse_unlike(pd.concat([two[two["run_id"] == "a"], one[one["run_id"] == "b"]]), both)


def test_what_only_one_environment_knows_is_no_difference():
    known = device_identity(environment())
    assert differences(known, device_identity(environment(cpu_governor=None))) == []
    assert differences(known, device_identity(environment(cpu_governor="powersave"))) == [
        "clock policy (governor) (performance / powersave)"
    ]


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


def energies(gain: float, n: int = 8) -> dict[str, float]:
    return {f"w{i}": gain * 10.0**-i for i in range(n)}


def test_a_gain_is_what_the_common_workloads_agree_on():
    other = {**energies(1.04), "w0": 1.06, "only here": 7.0}
    found = unit_gain(energies(1.0), other)
    assert found.gain == pytest.approx((1.04**7 * 1.06) ** (1 / 8))
    assert found.pairs == 8
    logs = np.log([1.06, *[1.04] * 7])
    assert found.scatter_rel == pytest.approx(logs.std(ddof=1))
    assert found.gain_se == pytest.approx(found.gain * logs.std(ddof=1) / 8**0.5)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (energies(1.0, 4), "4 workloads in common and a gain needs 5"),
        (energies(1.26), r"draws \+26% against the first .* fit them apart"),
        (energies(0.79), r"draws -21% against the first"),
        ({**energies(1.0), "w3": 0.0}, "not positive"),
    ],
)
def test_what_is_no_second_unit_is_refused(other, message):
    with pytest.raises(RecordError, match=message):
        unit_gain(energies(1.0), other)


def test_units_differ_in_nothing_else():
    with pytest.raises(RecordError, match=r"device UUID .*with --pool-units"):
        check(environment(), environment(device_uuid="GPU-2"))
    pair = environment(), environment(device_uuid="GPU-2", gpu_driver_version="2")
    with pytest.raises(RecordError) as caught:
        refuse_unlike(frame(*pair), {e.sha256: e for e in pair}, other_units=True)
    assert "driver" in str(caught.value)
    assert "UUID" not in str(caught.value)
    pair = environment(), environment(device_uuid=None)
    with pytest.raises(RecordError, match="which unit"):
        refuse_unlike(frame(*pair), {e.sha256: e for e in pair}, other_units=True)


def test_another_unit_joins_only_when_asked_and_with_its_gain(scenario_path, tmp_path):
    """Two boards with one truth and gains 4 % apart: pooled they price as their mean, and the note says how."""
    runs = []
    for uuid, gain in (("GPU-FAKE-1", 1.0), ("GPU-FAKE-2", 1.04)):
        path = tmp_path / f"{uuid}.toml"
        path.write_text(scenario_path.read_text().replace("gain = 1.0", f"gain = {gain}"))
        device = VirtualDevice.load(path)
        meter = _Board(device, uuid)
        runs.append(RunDirectory(tmp_path / uuid))
        design = named_design("quick")
        run_design(design, VirtualExecutor(device), meter, runs[-1], budget_s=300.0)
    paths = [run.path for run in runs]
    with pytest.raises(RecordError, match="--pool-units"):
        fit_files(paths)
    alone, pooled = fit_files(paths[:1]).fit, fit_files(paths, pool_units=True).fit
    note = next(note for note in pooled.notes if "GPU-FAKE-2" in note)
    gain = float(note.split("gain of ")[1].split(" ")[0])
    assert gain == pytest.approx(1.04, rel=0.005)
    assert len(pooled.rows) > 1.5 * len(alone.rows)
    assert pooled.params["static_power_w"] == pytest.approx(41.0 * 1.04**0.5, rel=0.01)
    assert pooled.pooled is not None
    assert pooled.pooled.gains["GPU-FAKE-2"] / pooled.pooled.gains["GPU-FAKE-1"] == pytest.approx(1.04, rel=0.003)
    assert pooled.scale_rel == pytest.approx(0.04 / 2**0.5)  # the larger class of the two
    other_way = fit_files(paths[::-1], pool_units=True)
    assert other_way.fit.params == pytest.approx(pooled.params, rel=1e-6)  # no unit comes first
    assert other_way.profile.meter_gain_rel == pooled.scale_rel


class _Board(SimulatedMeter):
    def __init__(self, device: VirtualDevice, uuid: str) -> None:
        super().__init__(device)
        self._uuid = uuid

    def device_state(self) -> dict[str, Any]:
        return {"uuid": self._uuid}
