import errno
import os
import shutil

import pytest

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import rapl_powercap, sysfs
from energybench.meters.rapl_powercap import MAX_POWER_W, UDEV_RULE, RaplMeter, scan_zones
from energybench.meters.sysfs import is_real_sysfs
from energybench.meters.window import Window
from energybench.records.reading import Reading


@pytest.fixture
def meter_of():
    opened = []

    def make(tree):
        meter = RaplMeter(tree.root)
        opened.append(meter)
        return meter

    yield make
    for meter in opened:
        meter.close()


def window(meter: RaplMeter, begin: Reading, end: Reading) -> Window:
    return Window.from_readings(begin, end, meter.domains, kind=meter.kind, update_period_s=1e-3)


def test_zones_are_known_by_name_with_their_parents(powercap_tree, meter_of):
    meter = meter_of(powercap_tree.client())
    by_name = {d.name: d for d in meter.domains}
    assert set(by_name) == {"package-0", "core-0", "uncore-0", "dram-0", "psys"}
    assert {n: d.parent for n, d in by_name.items() if d.parent} == {"core-0": "package-0", "uncore-0": "package-0"}
    assert [n for n, d in by_name.items() if not d.in_total] == ["psys"]
    assert by_name["package-0"].wrap_nj == (powercap_tree.RANGE_UJ + 1) * 1000
    assert by_name["dram-0"].wrap_nj == 65_712_999_614 * 1000
    assert by_name["package-0"].max_power_w == MAX_POWER_W
    assert meter.copies == ("intel-rapl-mmio:0 is a copy of package-0 and is not read",)
    assert meter.read().energy_nj["package-0"] == 5_000_000_000


def test_energy_that_a_process_adds_is_what_the_window_shows(powercap_tree, meter_of):
    meter = meter_of(powercap_tree.client())
    begin = meter.read()
    powercap_tree.add("intel-rapl:0", 12_345_678)
    powercap_tree.add("intel-rapl:0:0", 10_000_000)
    powercap_tree.add("intel-rapl:0:2", 1_000_001, range_uj=65_712_999_613)
    powercap_tree.add("intel-rapl:1", 20_000_000)
    powercap_tree.add("intel-rapl-mmio:0", 12_345_678)
    w = window(meter, begin, meter.read())
    assert w.energy_j == pytest.approx(13.345679, abs=1e-12)
    assert w.domains["core-0"].energy_j == pytest.approx(10.0)
    assert w.domains["psys"].energy_j == pytest.approx(20.0)
    assert w.kind == "simulated"
    assert not w.corrected


def test_wraps_of_the_writer_are_corrected(powercap_tree, meter_of):
    top = powercap_tree.RANGE_UJ
    powercap_tree.zone("intel-rapl:0", "package-0", top - 10_000_000)
    meter = meter_of(powercap_tree)
    for _ in range(3):
        begin = meter.read()
        powercap_tree.add("intel-rapl:0", 30_000_000)
        w = window(meter, begin, meter.read())
        assert w.energy_j == pytest.approx(30.0, abs=1e-12)
        assert w.corrected == (begin.energy_nj["package-0"] > 1e15 * 0.26)


def test_two_sockets_in_any_order_of_index(powercap_tree, meter_of):
    powercap_tree.zone("intel-rapl:0", "package-1", 100)
    powercap_tree.zone("intel-rapl:0:0", "dram", 10)
    powercap_tree.zone("intel-rapl:1", "psys", 1000)
    powercap_tree.zone("intel-rapl:2", "package-0", 200)
    powercap_tree.zone("intel-rapl:2:0", "dram", 20)
    meter = meter_of(powercap_tree)
    assert dict(meter.read().energy_nj) == {
        "package-1": 100_000,
        "dram-1": 10_000,
        "psys": 1_000_000,
        "package-0": 200_000,
        "dram-0": 20_000,
    }
    begin = meter.read()
    powercap_tree.add("intel-rapl:0", 1_000_000)
    powercap_tree.add("intel-rapl:2", 2_000_000)
    powercap_tree.add("intel-rapl:2:0", 4_000_000)
    assert window(meter, begin, meter.read()).energy_j == pytest.approx(7.0)


def test_mirrored_and_interface_copies_are_read_once(powercap_tree, meter_of):
    """AMD parts may show one counter per die under one name; Intel parts show the package through two interfaces."""
    powercap_tree.zone("intel-rapl:0", "package-0", 100)
    powercap_tree.zone("intel-rapl:0:0", "core", 50)
    powercap_tree.zone("intel-rapl:1", "package-0", 100)
    powercap_tree.zone("intel-rapl:1:0", "core", 50)
    powercap_tree.zone("intel-rapl-mmio:0", "package-0", 100)
    meter = meter_of(powercap_tree)
    assert [d.name for d in meter.domains] == ["package-0", "core-0"]
    assert len(meter.copies) == 3


def test_real_dies_are_two_domains(powercap_tree, meter_of):
    powercap_tree.zone("intel-rapl:0", "package-0-die-0", 1)
    powercap_tree.zone("intel-rapl:1", "package-0-die-1", 1)
    powercap_tree.zone("intel-rapl:1:0", "dram", 1)
    meter = meter_of(powercap_tree)
    assert [d.name for d in meter.domains] == ["package-0-die-0", "package-0-die-1", "dram-0-die-1"]


def test_only_the_memory_mapped_interface_is_used_where_it_is_alone(powercap_tree, meter_of):
    powercap_tree.zone("intel-rapl-mmio:0", "package-0", 7)
    assert meter_of(powercap_tree).read().energy_nj["package-0"] == 7000


def test_an_unknown_top_level_zone_is_reported_not_summed(powercap_tree, meter_of):
    powercap_tree.zone("intel-rapl:0", "package-0")
    powercap_tree.zone("intel-rapl:1", "accelerator")
    meter = meter_of(powercap_tree)
    begin = meter.read()
    powercap_tree.add("intel-rapl:1", 5_000_000)
    w = window(meter, begin, meter.read())
    assert w.domains["accelerator"].energy_j == pytest.approx(5.0)
    assert w.energy_j == 0


def test_power_bound_comes_from_the_zone_where_it_states_one(powercap_tree, meter_of):
    powercap_tree.zone("intel-rapl:0", "package-0", limit_uw=125_000_000)
    path = powercap_tree.zone("intel-rapl:1", "package-1", limit_uw=125_000_000)
    (path / "constraint_1_power_limit_uw").write_text("253000000\n")
    path = powercap_tree.zone("intel-rapl:2", "package-2", limit_uw=4_095_000_000)
    (path / "constraint_1_power_limit_uw").write_text("none\n")
    assert [d.max_power_w for d in meter_of(powercap_tree).domains] == [250.0, 506.0, MAX_POWER_W]


# ---- absent, hidden, forbidden: three messages ----


def test_no_powercap(tmp_path):
    with pytest.raises(MeterUnavailable, match="modprobe intel_rapl_msr") as error:
        RaplMeter(tmp_path)
    assert not isinstance(error.value, MeterPermissionError)
    assert "no " in str(error.value)


def test_powercap_without_zones(powercap_tree):
    (powercap_tree.base / "dtpm").mkdir()
    with pytest.raises(MeterUnavailable, match="no RAPL zone"):
        RaplMeter(powercap_tree.root)


def test_links_that_lead_nowhere_are_a_container(powercap_tree):
    for name in ("intel-rapl", "intel-rapl:0", "intel-rapl:0:0"):
        (powercap_tree.base / name).symlink_to("../../devices/virtual/powercap/intel-rapl/" + name)
    with pytest.raises(MeterUnavailable, match="docker run --security-opt systempaths=unconfined"):
        RaplMeter(powercap_tree.root)


def test_links_that_lead_somewhere_are_followed(powercap_tree, meter_of):
    path = powercap_tree.zone("intel-rapl:0", "package-0", 77)
    real = powercap_tree.root / "devices" / "intel-rapl:0"
    real.parent.mkdir()
    shutil.move(path, real)
    path.symlink_to(real)
    assert meter_of(powercap_tree).read().energy_nj["package-0"] == 77_000


def refuse(path: object, code: int) -> OSError:
    return OSError(code, os.strerror(code), str(path))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_no_permission_names_the_rule(powercap_tree, monkeypatch, code):
    powercap_tree.client()

    def deny(path, *_args, **_kw):
        raise refuse(path, code)

    monkeypatch.setattr(os, "open", deny)  # root may read everything: the refusal has to be played
    with pytest.raises(MeterPermissionError) as error:
        RaplMeter(powercap_tree.root)
    message = str(error.value)
    assert "energy_uj may not be read" in message
    assert "chmod a+r" in message
    assert UDEV_RULE in message
    assert "\n" not in message
    assert error.value.exit_code == 3


def test_permission_lost_while_reading(powercap_tree, meter_of, monkeypatch):
    meter = meter_of(powercap_tree.client())

    def deny(fd, *_args):
        raise refuse("", errno.EACCES)

    monkeypatch.setattr(os, "pread", deny)
    with pytest.raises(MeterPermissionError, match="chmod"):
        meter.read()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENODATA, errno.ENODEV])
def test_read_errors_are_an_error_never_a_zero(powercap_tree, meter_of, monkeypatch, code):
    meter = meter_of(powercap_tree.client())

    def fail(fd, *_args):
        raise refuse("", code)

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(MeterUnavailable) as error:
        meter.read()
    assert ("vanished" in str(error.value)) == (code == errno.ENODEV)


@pytest.mark.parametrize("text", ["", "\n", "garbage\n", "12.5\n", "0x10\n", "1 2\n"])
def test_garbage_is_refused(powercap_tree, meter_of, text):
    path = powercap_tree.zone("intel-rapl:0", "package-0")
    meter = meter_of(powercap_tree)
    (path / "energy_uj").write_text(text)
    with pytest.raises(MeterUnavailable, match="no whole number"):
        meter.read()


@pytest.mark.parametrize(("text", "what"), [("", "no whole number"), ("0\n", "is 0"), ("x\n", "no whole number")])
def test_an_unreadable_range_is_refused_since_wraps_need_it(powercap_tree, text, what):
    path = powercap_tree.zone("intel-rapl:0", "package-0")
    (path / "max_energy_range_uj").write_text(text)
    with pytest.raises(MeterUnavailable, match=what):
        RaplMeter(powercap_tree.root)
    (path / "max_energy_range_uj").unlink()
    with pytest.raises(MeterUnavailable, match="vanished"):
        RaplMeter(powercap_tree.root)


def test_a_vanished_file_is_told_from_a_quiet_one(powercap_tree, meter_of):
    path = powercap_tree.zone("intel-rapl:0", "package-0", 5)
    meter = meter_of(powercap_tree)
    meter.check_present()
    (path / "energy_uj").unlink()
    with pytest.raises(MeterUnavailable, match="vanished"):
        meter.check_present()
    (path / "energy_uj").write_text("6\n")
    with pytest.raises(MeterUnavailable, match="replaced"):
        meter.check_present()


def test_close_twice_and_files_are_released(powercap_tree):
    meter = RaplMeter(powercap_tree.client().root)
    before = len(os.listdir("/proc/self/fd"))
    meter.close()
    meter.close()
    assert len(os.listdir("/proc/self/fd")) == before - len(meter.domains)
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_a_failed_opening_leaves_no_file_open(powercap_tree):
    path = powercap_tree.client().base / "intel-rapl:1" / "energy_uj"
    path.write_text("?\n")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MeterUnavailable):
        RaplMeter(powercap_tree.root)
    assert len(os.listdir("/proc/self/fd")) == before


def test_discover_lists_zones_and_copies(powercap_tree):
    (info,) = rapl_powercap.discover(powercap_tree.client().root)
    assert info.available
    assert info.kind == "simulated"
    assert "5 zones" in info.observed
    assert "copy of package-0" in info.observed


def test_sysfs_is_told_from_anything_else(tmp_path, monkeypatch):
    assert is_real_sysfs("/sys/kernel")
    assert not is_real_sysfs(tmp_path)
    assert not is_real_sysfs("/proc/self/status")
    link = tmp_path / "link"
    link.symlink_to("/sys/kernel")
    assert is_real_sysfs(link)
    assert not is_real_sysfs("/sys/no/such/file")
    monkeypatch.setattr(sysfs, "_SYSFS_MAGIC", 0x01021994)  # tmpfs, as when a tree is mounted over /sys
    assert not is_real_sysfs("/sys/kernel")


def test_scan_keeps_the_order_of_zones(powercap_tree):
    zones, _ = scan_zones(powercap_tree.client().root)
    assert [z.domain.name for z in zones] == ["package-0", "core-0", "uncore-0", "dram-0", "psys"]
