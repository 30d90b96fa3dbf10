"""RAPL through registers: a file per CPU whose bytes stand where the msr device puts its registers."""

from __future__ import annotations

import os

import pytest

from energybench.app.measure import close_meters, measure
from energybench.errors import CounterWrapAmbiguous, MeterPermissionError, MeterUnavailable
from energybench.meters import rapl, rapl_msr
from energybench.meters.rapl_msr import RaplMsrMeter

AMD = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"


@pytest.fixture
def intel(tmp_path, msr_tree):
    tree = msr_tree(tmp_path)
    for cpu in range(4):
        tree.set(cpu, 0x606, 0xA0E03)  # ESU 14: 61 µJ, between other fields
        tree.set(cpu, 0x611, 1000)
        tree.set(cpu, 0x639, 500)
    return tree


def test_one_register_per_package_in_the_unit_that_the_register_states(intel):
    meter = RaplMsrMeter(intel.root)
    assert [d.name for d in meter.domains] == ["package-0", "core-0", "package-1", "core-1"]
    with measure("block", meter=meter) as m:
        intel.set(0, 0x611, 1000 + (3 << 14))
        intel.set(2, 0x611, 1000 + (5 << 14))
        intel.set(0, 0x639, 500 + (2 << 14))
        intel.set(1, 0x611, 10**9)  # a second CPU of package 0: the same counter, never read
    assert m.energy_j == pytest.approx(8.0)
    assert m.domains["core-0"].energy_j == pytest.approx(2.0)
    assert m.kind == "simulated"
    assert any("DRAM is not in this total" in note for note in m.notes)
    close_meters()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_the_upper_half_is_no_energy_and_a_wrap_is_corrected(intel):
    intel.set(0, 0x611, (0xDEAD << 32) | (2**32 - (1 << 14)))
    meter = RaplMsrMeter(intel.root)
    assert meter.domains[0].wrap_nj == 2**18 * 10**9
    with measure("block", meter=meter) as m:
        intel.set(0, 0x611, (0xBEEF << 32) | (1 << 14))
    assert m.domains["package-0"].energy_j == pytest.approx(2.0)
    assert m.domains["package-0"].corrected
    with measure("reset", meter=meter) as m:
        intel.set(0, 0x611, 0)
        intel.set(2, 0x611, 0)
    with pytest.raises(CounterWrapAmbiguous):
        _ = m.energy_j
    close_meters()
    meter.close()


def test_amd_counts_in_its_own_unit_and_its_core_register_is_left_alone(tmp_path, msr_tree):
    tree = msr_tree(tmp_path, AMD, packages=(0,))
    # The registers overlap as bytes of a file: bits 12…8 of 0xC0010299 are the byte before the package's counter.
    tree.set(0, 0xC0010299, 0, size=10)
    tree.set(0, 0xC001029A, 0x10, size=1)
    tree.set(0, 0xC001029B, 1 << 16, size=4)
    meter = RaplMsrMeter(tmp_path)
    assert [d.name for d in meter.domains] == ["package-0"]
    assert meter.read().energy_nj["package-0"] == 10**9
    meter.close()


@pytest.mark.parametrize(
    ("cpuinfo", "what"),
    [
        ("vendor_id\t: ARM\n", "is of ARM"),
        ("", "is of unknown"),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 55\n", "unit of its own"),
    ],
)
def test_cpus_whose_registers_mean_something_else_are_refused(tmp_path, msr_tree, cpuinfo, what):
    msr_tree(tmp_path, cpuinfo)
    with pytest.raises(MeterUnavailable, match=what):
        RaplMsrMeter(tmp_path)


def test_absent_empty_and_zero_registers(intel):
    for cpu in range(4):
        intel.set(cpu, 0x611, 0)
        intel.set(cpu, 0x639, 0)
    with pytest.raises(MeterUnavailable, match="virtual machine"):
        RaplMsrMeter(intel.root)
    intel.set(0, 0x606, 0)
    with pytest.raises(MeterUnavailable, match="no unit"):
        RaplMsrMeter(intel.root)
    (intel.root / "dev/cpu/0/msr").write_bytes(b"")
    with pytest.raises(MeterUnavailable, match="0 bytes of 8"):
        RaplMsrMeter(intel.root)
    for cpu in range(4):
        (intel.root / f"dev/cpu/{cpu}/msr").unlink()
    with pytest.raises(MeterUnavailable, match="cannot be opened"):
        RaplMsrMeter(intel.root)
    for cpu in range(4):
        (intel.root / f"dev/cpu/{cpu}").rmdir()
    with pytest.raises(MeterUnavailable, match="sudo modprobe msr"):
        RaplMsrMeter(intel.root)


def test_a_register_file_that_refuses(intel, monkeypatch):
    real_open, real_pread = os.open, os.pread

    def refuse(path, *args, **kwargs):
        if str(path).endswith("msr"):
            raise PermissionError(1, "Operation not permitted")
        return real_open(path, *args, **kwargs)

    def io_error(file, size, offset):
        if offset == 0x611:
            raise OSError(5, "Input/output error")
        return real_pread(file, size, offset)

    monkeypatch.setattr(os, "pread", io_error)
    with pytest.raises(MeterUnavailable, match="0x611"):
        RaplMsrMeter(intel.root)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MeterPermissionError, match="cap_sys_rawio"):
        RaplMsrMeter(intel.root)


def test_registers_are_the_last_resort(intel):
    meter = rapl.open_rapl(intel.root / "sys")
    assert meter.name == "rapl:msr"
    meter.close()
    assert rapl_msr.discover(intel.root)[0].observed.startswith("4 registers: package-0")
