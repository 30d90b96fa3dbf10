from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from energybench.protocol.environment import capture_environment, git_commit
from energybench.records.environment import Environment
from energybench.records.reading import MeterCharacteristics


def test_capture_round_trips_and_hashes():
    found = MeterCharacteristics(0.1, 0.001, 1e-5, 2e-5, 40.0, 0.1)
    environment = capture_environment(
        device="cpu", device_name="part", meter="m", characteristics=found, extra={"threads": 2}
    )
    assert environment.facts["threads"] == 2
    assert environment.facts["cpu_count"]
    assert environment.versions["energybench"]
    assert environment.device_uuid is None
    again = Environment.from_dict(json.loads(json.dumps(environment.to_dict())))
    assert again.sha256 == environment.sha256
    assert again.characteristics == found


def test_what_nvml_says_is_kept_and_lists_are_not_facts():
    gpu = {"uuid": "GPU-FAKE-1", "name": "Fake", "driver_version": "1.2", "temp_c": None, "process_ids": [1, 2]}
    environment = capture_environment(device="cuda:0", device_name="Fake", meter="m", gpu=gpu)
    assert environment.device_uuid == "GPU-FAKE-1"
    assert environment.facts["gpu_driver_version"] == "1.2"
    assert not any(isinstance(v, list) for v in environment.facts.values())
    assert "gpu_process_ids" not in environment.facts


def test_governor_and_turbo_from_the_kernels_files(tmp_path: Path):
    cpu = tmp_path / "devices/system/cpu"
    (cpu / "cpu0/cpufreq").mkdir(parents=True)
    (cpu / "cpu0/cpufreq/scaling_governor").write_text("performance\n")
    (cpu / "intel_pstate").mkdir()
    (cpu / "intel_pstate/no_turbo").write_text("1\n")
    facts = capture_environment(device="cpu", device_name="x", meter="m", sys_root=tmp_path).facts
    assert facts["cpu_governor"] == "performance"
    assert facts["cpu_turbo"] is False
    assert facts["smt_active"] is None
    nothing = capture_environment(device="cpu", device_name="x", meter="m", sys_root=tmp_path / "no").facts
    assert (nothing["cpu_governor"], nothing["cpu_turbo"]) == (None, None)


def test_sgx_and_microcode_stand_beside_the_records(tmp_path: Path):
    """SGX blurs RAPL, and which microcode does so matters."""
    (tmp_path / "proc").mkdir()
    cpuinfo = tmp_path / "proc" / "cpuinfo"

    def facts():
        return capture_environment(device="cpu", device_name="x", meter="rapl", proc_root=tmp_path).facts

    cpuinfo.write_text("vendor_id\t: GenuineIntel\nmicrocode\t: 0xf0\nflags\t\t: fpu sgx sgx_lc\n")
    assert (facts()["cpu_sgx"], facts()["cpu_microcode"]) == (True, "0xf0")
    cpuinfo.write_text("flags\t\t: fpu sgx_lc\n")
    assert (facts()["cpu_sgx"], facts()["cpu_microcode"]) == (False, None)
    cpuinfo.unlink()
    assert facts()["cpu_sgx"] is None


def test_commit_of_a_checkout(tmp_path: Path):
    package = tmp_path / "package"
    package.mkdir()
    assert git_commit(package) is None
    (package / "a.py").write_text("a = 1\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    commit = git_commit(package)
    assert commit is not None
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    (package / "a.py").write_text("a = 2\n")
    assert git_commit(package) == commit + "-dirty"
