"""RAPL through perf_event: a PMU description whose `type` is the kernel's software clock, so the real call runs."""

import errno
import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import perf_event, rapl, rapl_perf
from energybench.meters.perf_event import open_counter, parse_cpu_list, read_pmu
from energybench.meters.rapl_perf import RaplPerfMeter
from energybench.meters.window import Window, is_in_total

#: PERF_TYPE_SOFTWARE; its config 0 is the CPU clock, which counts nanoseconds.
SOFTWARE = 1
INTEL_SCALE = "2.3283064365386962890625e-10"  # 2⁻³² J


class PmuTree:
    """A sysfs root with the PMU `power`. A software-clock count of `scale` joules makes power_w = scale · 1e9."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / "bus" / "event_source" / "devices" / "power"
        for name in ("events", "format"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "type").write_text(f"{SOFTWARE}\n")
        (self.directory / "format" / "event").write_text("config:0-7\n")
        self.cpus((0, 0))

    def cpus(self, *places: tuple[int, int], mask: str | None = None) -> None:
        """CPU i lies in package places[i][0], on die places[i][1]."""
        (self.directory / "cpumask").write_text((mask or ",".join(map(str, range(len(places))))) + "\n")
        for cpu, (package, die) in enumerate(places):
            topology = self.root / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True, exist_ok=True)
            (topology / "physical_package_id").write_text(f"{package}\n")
            (topology / "die_id").write_text(f"{die}\n")

    def event(self, name: str, *, config: int = 0, scale: str = "5e-8", unit: str = "Joules") -> None:
        events = self.directory / "events"
        (events / name).write_text(f"event={config:#04x}\n")
        (events / f"{name}.scale").write_text(scale + "\n")
        (events / f"{name}.unit").write_text(unit + "\n")


@pytest.fixture
def pmu_tree(tmp_path):
    return PmuTree(tmp_path / "sys")


@pytest.fixture
def counts(monkeypatch, tmp_path):
    """Counters as files of ours, for what the software clock cannot show: (config, cpu) → bytes to read."""
    opened: dict[tuple[int, int], Path] = {}

    def open_file(_type: int, config: int, cpu: int) -> int:
        path = tmp_path / f"counter-{config}-{cpu}"
        if (config, cpu) not in opened:
            path.write_bytes((0).to_bytes(8, "little"))
            opened[config, cpu] = path
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(rapl_perf, "open_counter", open_file)
    monkeypatch.setattr(RaplPerfMeter, "_refuse_stuck", lambda _self: None)
    return opened


def rewound_read(meter: Any, counts: dict[tuple[int, int], Path], values: dict[tuple[int, int], int]) -> Any:
    """A read of plain files, which unlike counters have a position."""
    for key, value in values.items():
        counts[key].write_bytes(value.to_bytes(8, "little"))
    for _, descriptor, _, _ in meter._counters:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return meter.read()


def may_open() -> bool:
    try:
        os.close(open_counter(SOFTWARE, 0, 0))
    except PermissionError:
        return False
    return True


@pytest.fixture
def real_call():
    if not may_open():
        pytest.skip("perf_event_open is not allowed for this user")


def test_the_real_call_measures_the_planted_power(real_call, pmu_tree):
    pmu_tree.event("energy-pkg", scale="5e-8")
    pmu_tree.event("energy-ram", scale="2.5e-9")
    meter = RaplPerfMeter(pmu_tree.root)
    begin = meter.read()
    time.sleep(0.05)
    end = meter.read()
    window = Window.from_readings(begin, end, meter.domains, kind=meter.kind, update_period_s=0.0)
    assert window.energy_j == pytest.approx((50.0 + 2.5) * window.time_s, rel=0.02)
    assert window.domains["dram-0"].energy_j == pytest.approx(2.5 * window.time_s, rel=0.02)
    assert (meter.kind, meter.name) == ("simulated", "rapl:perf")
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_every_event_is_a_domain_in_its_place(real_call, pmu_tree):
    for name in ("energy-pkg", "energy-cores", "energy-gpu", "energy-ram", "energy-psys", "energy-unheard-of"):
        pmu_tree.event(name)
    meter = RaplPerfMeter(pmu_tree.root)
    parents = {d.name: d.parent for d in meter.domains}
    assert parents == {
        "package-0": None,
        "core-0": "package-0",
        "uncore-0": "package-0",
        "dram-0": None,
        "psys": None,
    }
    assert {d.name for d in meter.domains if is_in_total(d)} == {"package-0", "dram-0"}
    assert all(d.wrap_nj is None for d in meter.domains)
    meter.close()


def test_packages_and_dies_are_named_as_powercap_names_them(counts, pmu_tree):
    pmu_tree.event("energy-pkg")
    pmu_tree.event("energy-psys", config=5)
    pmu_tree.cpus((0, 0), (1, 0))
    assert [d.name for d in RaplPerfMeter(pmu_tree.root).domains] == ["package-0", "package-1", "psys", "psys-1"]
    pmu_tree.cpus((0, 0), (0, 1), (1, 0), (1, 1))
    names = [d.name for d in RaplPerfMeter(pmu_tree.root).domains]
    assert names[:4] == ["package-0-die-0", "package-0-die-1", "package-1-die-0", "package-1-die-1"]
    assert set(counts) == {(config, cpu) for config in (0, 5) for cpu in range(4)}


def test_counts_are_converted_exactly_beyond_what_a_float_holds(counts, pmu_tree):
    pmu_tree.event("energy-pkg", config=2, scale=INTEL_SCALE)
    meter = RaplPerfMeter(pmu_tree.root)
    big = 2**62 + 12_345
    begin = rewound_read(meter, counts, {(2, 0): big})
    end = rewound_read(meter, counts, {(2, 0): big + 3 * 2**32})
    assert begin.energy_nj["package-0"] == big * 10**9 // 2**32
    assert end.energy_nj["package-0"] - begin.energy_nj["package-0"] == 3 * 10**9
    meter.close()


def test_the_scale_is_read_and_not_assumed(counts, pmu_tree):
    pmu_tree.event("energy-pkg", config=2, scale="1.52587890625e-05")  # 2⁻¹⁶ J
    meter = RaplPerfMeter(pmu_tree.root)
    begin = rewound_read(meter, counts, {(2, 0): 0})
    end = rewound_read(meter, counts, {(2, 0): 65_536})
    assert end.energy_nj["package-0"] - begin.energy_nj["package-0"] == 10**9
    meter.close()


def test_a_counter_in_error_state_is_an_error(counts, pmu_tree):
    pmu_tree.event("energy-pkg")
    meter = RaplPerfMeter(pmu_tree.root)
    counts[0, 0].write_bytes(b"")
    with pytest.raises(MeterUnavailable, match="has ended"):
        meter.read()
    meter.close()


def test_a_counter_that_stands_still_is_refused(real_call, pmu_tree, monkeypatch):
    """As in virtual machines that show the PMU without the hardware: here each count is worth nothing."""
    monkeypatch.setattr(rapl_perf, "PROBE_S", 0.02)
    pmu_tree.event("energy-pkg", scale="1e-40")
    with pytest.raises(MeterUnavailable, match="stood still"):
        RaplPerfMeter(pmu_tree.root)


@pytest.mark.parametrize(
    ("code", "error", "what"),
    [
        (errno.EACCES, MeterPermissionError, "perf_event_paranoid"),
        (errno.EPERM, MeterPermissionError, "cap_perfmon"),
        (errno.ENOENT, MeterUnavailable, "modprobe rapl"),
        (errno.EMFILE, MeterUnavailable, "ulimit"),
        (errno.ENOSYS, MeterUnavailable, "perf_event_open fails"),
    ],
)
def test_refusals_of_the_kernel(pmu_tree, monkeypatch, code, error, what):
    def refuse(*_: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(rapl_perf, "open_counter", refuse)
    pmu_tree.event("energy-pkg")
    with pytest.raises(error, match=what) as raised:
        RaplPerfMeter(pmu_tree.root)
    assert "\n" not in str(raised.value)


def test_descriptors_are_closed_when_opening_fails_half_way(pmu_tree, monkeypatch):
    opened: list[int] = []

    def open_two(*_: int) -> int:
        if len(opened) == 2:
            raise OSError(errno.EMFILE, "too many")
        opened.append(os.open("/dev/zero", os.O_RDONLY))
        return opened[-1]

    monkeypatch.setattr(rapl_perf, "open_counter", open_two)
    for name in ("energy-pkg", "energy-ram", "energy-cores"):
        pmu_tree.event(name)
    with pytest.raises(MeterUnavailable):
        RaplPerfMeter(pmu_tree.root)
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)


def test_trees_that_cannot_be_read(pmu_tree, tmp_path):
    with pytest.raises(MeterUnavailable, match="modprobe rapl"):
        RaplPerfMeter(tmp_path / "nowhere")
    with pytest.raises(MeterUnavailable, match="no energy event and no package"):
        RaplPerfMeter(pmu_tree.root)
    pmu_tree.event("energy-psys")
    with pytest.raises(MeterUnavailable, match=r"shows psys and no package|perf_event_open"):
        RaplPerfMeter(pmu_tree.root)
    pmu_tree.event("energy-pkg", unit="Watts")
    with pytest.raises(MeterUnavailable, match="'Watts', not Joules"):
        RaplPerfMeter(pmu_tree.root)
    pmu_tree.event("energy-pkg", scale="0")
    with pytest.raises(MeterUnavailable, match="scale 0"):
        RaplPerfMeter(pmu_tree.root)
    pmu_tree.event("energy-pkg", scale="many")
    with pytest.raises(MeterUnavailable, match="not understood"):
        RaplPerfMeter(pmu_tree.root)
    pmu_tree.event("energy-pkg")
    (pmu_tree.directory / "cpumask").write_text("99\n")
    with pytest.raises(MeterUnavailable, match="which package CPU 99"):
        RaplPerfMeter(pmu_tree.root)


def test_the_description_is_read_as_the_kernel_writes_it(pmu_tree):
    pmu_tree.event("energy-pkg", config=0x02, scale=INTEL_SCALE)
    (pmu_tree.directory / "format" / "umask").write_text("config:8-15\n")
    pmu_tree.event("energy-ram")
    (pmu_tree.directory / "events" / "energy-ram").write_text("event=0x03,umask=0x1\n")
    pmu = read_pmu(pmu_tree.directory)
    assert {e.name: e.config for e in pmu.events} == {"energy-pkg": 2, "energy-ram": 0x103}
    assert {e.name: e.scale for e in pmu.events}["energy-pkg"] == Fraction(1, 2**32)
    assert parse_cpu_list("0,28-30\n") == (0, 28, 29, 30)


def test_no_call_on_a_machine_without_one(monkeypatch):
    monkeypatch.setattr(perf_event, "_SYSCALL", {})
    with pytest.raises(OSError, match="not implemented"):
        open_counter(SOFTWARE, 0, 0)


# ---- perf_event or powercap ----


def join(pmu_tree: Any, powercap_tree: Any) -> Path:
    """One sysfs root with both interfaces: the two fixtures share it."""
    assert pmu_tree.root == powercap_tree.root
    return Path(pmu_tree.root)


def test_perf_event_is_preferred(real_call, pmu_tree, powercap_tree):
    root = join(pmu_tree, powercap_tree.client())
    for name in ("energy-pkg", "energy-ram"):
        pmu_tree.event(name)
    meter = rapl.open_rapl(root)
    assert meter.name == "rapl:perf"
    assert getattr(meter, "integrates_whole_period", False)
    meter.close()


def test_powercap_where_perf_event_lacks_a_domain_of_the_total(real_call, pmu_tree, powercap_tree):
    root = join(pmu_tree, powercap_tree.client())
    pmu_tree.event("energy-pkg")
    meter = rapl.open_rapl(root)
    assert meter.name == "rapl:powercap"
    meter.close()


def test_powercap_where_perf_event_refuses(pmu_tree, powercap_tree, monkeypatch):
    root = join(pmu_tree, powercap_tree.client())
    pmu_tree.event("energy-pkg")

    def refuse(*_: int) -> int:
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(rapl_perf, "open_counter", refuse)
    meter = rapl.open_rapl(root)
    assert meter.name == "rapl:powercap"
    meter.close()
    for zone in powercap_tree.base.iterdir():
        (zone / "energy_uj").unlink()
    with pytest.raises(MeterPermissionError, match="sysctl kernel.perf_event_paranoid") as error:
        rapl.open_rapl(root)
    assert "energy_uj has vanished" in str(error.value)
    assert "\n" not in str(error.value)


def test_neither_names_both(tmp_path):
    with pytest.raises(MeterUnavailable) as error:
        rapl.open_rapl(tmp_path)
    assert "class/powercap" in str(error.value)
    assert "bus/event_source/devices/power" in str(error.value)


def test_the_kernels_own_clock_is_never_measured(real_call, monkeypatch):
    """Everything real but the PMU: the software clock below the machine's own /sys."""
    event = perf_event.PmuEvent("energy-pkg", 0, Fraction(1, 10**8), "Joules")
    directory = Path("/sys/bus/event_source/devices/software")
    monkeypatch.setattr(rapl_perf, "_find_pmu", lambda _root: perf_event.Pmu(directory, SOFTWARE, (0,), (event,)))
    meter = RaplPerfMeter("/sys")
    assert meter.kind == "simulated"
    meter.close()


def test_a_software_pmu_below_another_root_is_simulated_even_with_a_hardware_type(counts, pmu_tree):
    (pmu_tree.directory / "type").write_text("9\n")
    pmu_tree.event("energy-pkg")
    meter = RaplPerfMeter(pmu_tree.root)
    assert meter.kind == "simulated"
    meter.close()
