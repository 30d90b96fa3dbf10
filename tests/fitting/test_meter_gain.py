"""The meter's gain class reaches the profile from the domains behind the records, never by assumption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from energybench.app.calibrate import calibrate
from energybench.app.fit import fit_files, meter_gain_rel
from energybench.records.run_directory import RunDirectory

SCENARIO = """name = "gain"
[planted]
mac_fp32_j = 1.1e-11
other_flop_j = 6.0e-12
byte_j = 9.0e-11
launch_j = 2.0e-5
static_power_w = 41.0
[time]
mac_rate = 2.0e12
byte_rate = 1.0e11
launch_s = 5.0e-6
[sensor]
update_period_s = 0.02
averaging_window_s = 0.02
resolution_j = 0.001
gain = 1.08
noise_rel = 0.005
drift_rel_per_min = 0.0
seed = 5
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("gain")
    (folder / "gain.toml").write_text(SCENARIO)
    return calibrate(meter=f"simulated:{folder / 'gain.toml'}", out=folder / "run")


def test_the_domains_gain_is_the_profiles(run: RunDirectory) -> None:
    assert meter_gain_rel([run.path]) == pytest.approx(0.08, abs=1e-9)
    assert fit_files([run.path]).profile.meter_gain_rel == pytest.approx(0.08, abs=1e-9)


def test_records_on_their_own_have_no_gain(run: RunDirectory, tmp_path: Path) -> None:
    alone = Path(shutil.copy(run.records_path, tmp_path))
    assert meter_gain_rel([alone]) is None
    assert fit_files([alone]).profile.meter_gain_rel is None


def test_a_gain_of_zero_is_one_not_stated(tmp_path: Path) -> None:
    (tmp_path / "exact.toml").write_text(SCENARIO.replace("gain = 1.08", "gain = 1.0"))
    run = calibrate(meter=f"simulated:{tmp_path / 'exact.toml'}", out=tmp_path / "run")
    assert meter_gain_rel([run.path]) is None
