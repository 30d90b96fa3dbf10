"""`doctor --bench` on a made-up ``/sys``: what it sees, what it would write, what it writes, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from energybench.app.bench_check import apply_fixes, examine_bench, restore, to_json
from energybench.errors import MeterPermissionError, RecordError, UsageError

FILES = {
    "devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    "devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
    "devices/system/cpu/intel_pstate/no_turbo": "0",
    "devices/system/cpu/smt/control": "on",
    "class/powercap/intel-rapl:0/constraint_0_power_limit_uw": "95000000",
    "class/powercap/intel-rapl:0/constraint_0_max_power_uw": "125000000",
    "kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
}


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    sys_root, proc = tmp_path / "sys", tmp_path / "proc"
    for name, text in FILES.items():
        (sys_root / name).parent.mkdir(parents=True, exist_ok=True)
        (sys_root / name).write_text(text + "\n")
    proc.mkdir()
    (proc / "loadavg").write_text("55.10 1.0 1.0 2/100 7\n")
    return sys_root, proc


def contents(sys_root: Path) -> dict[str, str]:
    return {name: (sys_root / name).read_text().strip() for name in FILES}


def test_every_setting_is_seen_with_the_way_there_and_back(roots):
    settings = {s.name: s for s in examine_bench(*roots)}
    assert {s.is_ok for s in settings.values()} == {False}
    assert settings["governor"].observed == "performance, powersave"
    assert settings["governor"].command == (
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    )
    assert settings["turbo"].command.startswith("echo 1 | sudo tee")
    assert "no_turbo" in settings["turbo"].command
    assert settings["turbo"].restore.startswith("echo 0 ")
    assert settings["SMT"].restore.startswith("echo on ")
    assert settings["power limit intel-rapl:0"].observed == "95 W"
    assert settings["power limit intel-rapl:0"].limit == "at least 125 W"
    assert settings["huge pages"].observed == "madvise"
    assert "55.10" in settings["other load"].observed
    assert contents(roots[0]) == FILES
    assert to_json(tuple(settings.values()))["is_ok"] is False


def test_what_is_not_there_is_unknown_and_not_wrong(tmp_path):
    settings = examine_bench(tmp_path / "none", tmp_path / "none")
    assert {s.is_ok for s in settings} == {None}
    assert {s.command for s in settings} == {""}
    assert apply_fixes(settings, tmp_path / "restore.json") == 0
    assert not (tmp_path / "restore.json").exists()


def test_amd_turbo_is_called_boost(tmp_path):
    boost = tmp_path / "devices/system/cpu/cpufreq/boost"
    boost.parent.mkdir(parents=True)
    boost.write_text("1\n")
    (turbo,) = (s for s in examine_bench(tmp_path, tmp_path) if s.name == "turbo")
    assert (turbo.is_ok, turbo.command) == (False, "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost")


def test_apply_sets_and_restore_sets_back(roots, tmp_path):
    sys_root, _ = roots
    path = tmp_path / "restore.json"
    assert apply_fixes(examine_bench(*roots), path, sys_root) == 4
    now = contents(sys_root)
    assert now["devices/system/cpu/cpu0/cpufreq/scaling_governor"] == "performance"
    assert now["devices/system/cpu/intel_pstate/no_turbo"] == "1"
    assert now["devices/system/cpu/smt/control"] == "off"
    # the limit of the package is only reported
    assert now["class/powercap/intel-rapl:0/constraint_0_power_limit_uw"] == "95000000"
    # the kernel answers with its own brackets; a plain file keeps what was written
    assert now["kernel/mm/transparent_hugepage/enabled"] == "always"
    assert restore(path, sys_root) == 4
    back = contents(sys_root)
    assert back.pop("kernel/mm/transparent_hugepage/enabled") == "madvise"
    assert all(back[name] == FILES[name] for name in back)
    assert not path.exists()


def test_an_earlier_state_is_not_overwritten(roots, tmp_path):
    path = tmp_path / "restore.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="--bench-restore"):
        apply_fixes(examine_bench(*roots), path, roots[0])
    assert contents(roots[0]) == FILES


def test_a_refused_write_leaves_everything_as_it_was(roots, tmp_path, monkeypatch):
    sys_root, _ = roots
    plain = Path.write_text

    def guarded(self: Path, text: str, **options: object) -> int:
        if self.name == "control":
            raise PermissionError(13, "Permission denied")
        return plain(self, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", guarded)
    with pytest.raises(MeterPermissionError, match="smt/control.*sudo.*nothing was changed"):
        apply_fixes(examine_bench(*roots), tmp_path / "restore.json", sys_root)
    assert contents(sys_root) == FILES
    assert not (tmp_path / "restore.json").exists()


@pytest.mark.parametrize("path", ["../../etc/passwd", "devices/system/cpu/../../x", "kernel/debug/x"])
def test_restore_writes_no_other_file(tmp_path, path):
    file = tmp_path / "restore.json"
    file.write_text(json.dumps({"version": 1, "files": {path: "1"}}))
    with pytest.raises(RecordError, match="no bench setting"):
        restore(file, tmp_path)


def test_a_foreign_file_is_refused(tmp_path):
    file = tmp_path / "restore.json"
    file.write_text('{"files": {}}')
    with pytest.raises(RecordError, match="no state"):
        restore(file, tmp_path)
