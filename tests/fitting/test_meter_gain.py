"""The meter's gain class reaches the profile from the domains behind the records, never by assumption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.study_devices import device_text
from energybench.app.calibrate import calibrate
from energybench.app.fit import fit_files, meter_gain_rel
from energybench.records.run_directory import RunDirectory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("gain")
    (folder / "gain.toml").write_text(device_text(seed=5, gain=1.08))
    return calibrate(meter=f"simulated:{folder / 'gain.toml'}", out=folder / "run")


def test_the_domains_gain_is_the_profiles(run: RunDirectory) -> None:
    assert meter_gain_rel([run.path]) == pytest.approx(0.08, abs=1e-9)
    assert fit_files([run.path]).profile.meter_gain_rel == pytest.approx(0.08, abs=1e-9)


def test_records_on_their_own_have_no_gain(run: RunDirectory, tmp_path: Path) -> None:
    alone = Path(shutil.copy(run.records_path, tmp_path))
    assert meter_gain_rel([alone]) is None
    assert fit_files([alone]).profile.meter_gain_rel is None


def test_a_gain_of_zero_is_one_not_stated(tmp_path: Path) -> None:
    (tmp_path / "exact.toml").write_text(device_text(seed=5))
    run = calibrate(meter=f"simulated:{tmp_path / 'exact.toml'}", out=tmp_path / "run")
    assert meter_gain_rel([run.path]) is None
