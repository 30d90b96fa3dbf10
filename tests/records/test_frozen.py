"""Files that earlier versions wrote stay readable, and give the same values. Never edit the files in ``frozen/``.

``readings-N`` is a run whose ``readings.jsonl`` has format N; the records of all have schema version 1. The first two
have a manifest of version 1, the third of version 2. When a format changes, a run that was written before joins them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from energybench.app.replay import replay
from energybench.protocol import Manifest
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory

FROZEN = Path(__file__).with_name("frozen")
#: Joules a call of the matrix product, as it was recorded, and the files' hash.
RECORDED = {
    "readings-1": (0.0002348663253140522, "c21dc64551b57456"),
    "readings-2": (0.00023439684915321004, "08950f66a38ccc55"),
    "readings-3": (0.00023469644239665761, "036a535e79d83903"),
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_frozen_run_is_read_as_it_was_recorded(name):
    run = RunDirectory(FROZEN / name)
    energy_j, sha256 = RECORDED[name]
    records = {r.workload: r for r in run.read_records()}
    assert records["vendor/matmul/m64n64k64/fp32"].energy_j == energy_j
    assert records["vendor/matmul/m64n64k64/fp32"].counts.macs == 64**3
    assert len(records) == 4
    assert set(load_records(run.path)["kind"]) == {"simulated"}
    assert {r.environment_sha256 for r in records.values()} == set(run.read_environments())
    assert Manifest.load(run).rows == 4
    text = b"".join((run.path / f).read_bytes() for f in ("records.jsonl", "readings.jsonl"))
    assert hashlib.sha256(text).hexdigest()[:16] == sha256, "a frozen file was edited"


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_frozen_run_is_derived_again_from_its_readings(name):
    run = RunDirectory(FROZEN / name)
    assert set(run.read_readings()) > {r.row_id for r in run.read_records()}
    result = replay(run)
    assert result.rows == 4
    # How an uncertainty is derived has improved since; energies, times and powers are the same to the last digit.
    assert {d.name for d in result.differences} <= {"energy_uncertainty_j", "domains"}
