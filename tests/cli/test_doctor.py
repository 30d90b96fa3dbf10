"""`doctor`: observed, limit and fix on every line; each counter once; characteristics under load."""

from pathlib import Path
from typing import Any

import pytest

from energybench.app.doctor import examine
from energybench.cli.doctor import _sensors
from energybench.meters.base import MeterInfo
from energybench.meters.energy_filter import energy_filter
from energybench.records.reading import Domain

PACKAGE = Domain("package-0", resolution_nj=1000)
CORE = Domain("core-0", parent="package-0", resolution_nj=61_036)


def info(name: str, *domains: Domain, available: bool = True, kind: Any = "measured") -> MeterInfo:
    return MeterInfo(name, available, kind, "seen", "" if available else "do this", domains)


def test_every_line_has_its_limit_and_a_fix_where_something_is_amiss() -> None:
    diagnosis = examine([info("rapl:perf", PACKAGE), info("nvml", available=False), info("hwmon", available=False)])
    for finding in diagnosis.findings:
        assert finding.observed, finding
        assert finding.limit, finding
    by_part = {f.part: f for f in diagnosis.findings}
    assert by_part["meter nvml"].remedy == "do this"
    assert "whole GPU" in by_part["meter nvml"].limit
    assert "paranoid" in by_part["meter rapl:perf"].limit
    assert all("limit" in finding for finding in diagnosis.to_dict()["findings"])
    assert diagnosis.measures
    assert not examine([info("rapl:perf", PACKAGE, kind="simulated")]).measures


def test_a_counter_that_several_meters_show_is_one_sensor() -> None:
    meters = [info("rapl:perf", PACKAGE, CORE), info("pyrapl", PACKAGE), info("nvml", CORE, available=False)]
    assert _sensors(meters) == [
        ("package-0", "–", "1 µJ", "rapl:perf, pyrapl", "measured"),
        ("core-0", "package-0", "61.04 µJ", "rapl:perf", "measured"),
    ]
    assert len(_sensors([info("rapl:perf", PACKAGE), info("x", PACKAGE, kind="simulated")])) == 2


@pytest.mark.parametrize(
    ("vendor", "flags", "register", "state"),
    [
        ("GenuineIntel", "fpu sgx", None, "sgx"),
        ("GenuineIntel", "fpu sgx", 0, "sgx"),
        ("GenuineIntel", "fpu", 1, "on"),
        ("GenuineIntel", "fpu", 2, "off"),
        ("GenuineIntel", "fpu sgx_lc", None, "off"),
        ("AuthenticAMD", "fpu sgx", 1, "off"),
    ],
)
def test_energies_that_the_cpu_blurs(tmp_path: Path, vendor: str, flags: str, register: int | None, state: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    if register is not None:
        path = tmp_path / "dev" / "cpu" / "0" / "msr"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(0xBC) + register.to_bytes(8, "little"))
    assert energy_filter(tmp_path) == state


def test_a_cpu_without_a_word_is_unknown(tmp_path: Path) -> None:
    assert energy_filter(tmp_path) == "unknown"


def test_a_blurred_counter_is_a_warning_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    import energybench.meters.energy_filter as module

    monkeypatch.setattr(module, "energy_filter", lambda: "sgx")
    (finding,) = (f for f in examine([]).findings if f.part == "RAPL filter")
    assert (finding.state, "firmware" in finding.remedy) == ("limited", True)


def test_characterising_loads_the_device(cli: Any, scenario_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "quiet.toml"
    path.write_text(scenario_path.read_text().replace("noise_rel = 0.01", "noise_rel = 0.0"))
    found = cli("doctor", "--meter", f"simulated:{path}", "--json").json
    assert found["kind"] == "simulated"
    assert found["update_period_s"] == pytest.approx(0.1, rel=0.01)
    assert found["rise_time_s"] < 0.2
    assert found["seen_share"] == pytest.approx(1.0, abs=0.1)
    lines = cli("doctor", "--meter", f"simulated:{path}", "--no-load").out.splitlines()
    assert any("rise time" in line and "not found" in line for line in lines)
    assert any("share of time seen" in line and "not found" in line for line in lines)
