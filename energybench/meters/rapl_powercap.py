"""`RaplMeter`: RAPL energy counters of CPUs through the kernel's powercap files. Integers from end to end.

Zones are known by the text in their ``name`` file, never by their index. ``package-N`` and ``dram-N`` are the top
(a package does not include its DRAM); ``core-N`` and ``uncore-N`` lie in their package; ``psys`` covers the packages
and more, so it is reported and never summed (`in_total=False`). A zone that shows up twice, through the MSR and the
memory-mapped interface or as a mirror, is read once and the copy is listed in `copies`.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters.base import MeterInfo, RawReading
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_J, NJ_PER_UJ, Nanojoule, Second, Watt, uj_to_nj, uw_to_w

#: "approximately every 1 msec": Intel SDM vol. 3B, energy status MSRs. A statement of the maker, not a measurement.
NOMINAL_UPDATE_PERIOD_S: Final[Second] = 1e-3
#: Every update carries the energy of its whole period: the status registers hold the energy consumed since they were
#: last cleared (Intel SDM vol. 3B, energy status MSRs), and Hähnel, Döbel, Völp, Härtig 2012 (doi
#: 10.1145/2425248.2425252) price short code paths by aligning to these updates. No maker of boards says so of a sensor.
INTEGRATES_WHOLE_PERIOD: Final = True
#: Where the zone states no limit: twice 500 W, the largest TDP of a CPU socket that was found (Intel Xeon 6980P,
#: https://www.tomshardware.com/pc-components/cpus/leak-reveals-500w-fire-breathing-128-core-granite-rapids-xeon-6-cpu).
#: The factor is an assumption; a socket that draws more has its windows refused, and none of them wrong.
MAX_POWER_W: Final[Watt] = 1000.0
#: Turbo limits may be exceeded for moments; a bound may be generous, since counters wrap after 65 kJ or more.
_LIMIT_MARGIN: Final = 2.0
#: Relative standard uncertainty of an uncalibrated sensor: an ASSUMPTION, to be replaced by a calibration. Studies find
#: RAPL highly correlated with plug power (Khan et al. 2018, "RAPL in Action", ACM TOMPECS 3(2)) and its error dependent
#: on part and load (Hackenberg et al. 2013, ISPASS; Desrochers, Paradis, Weaver 2016, MEMSYS), and dynamic energies of
#: on-chip sensors far from a wall meter's (Fahad et al. 2019, Energies 12, 2204), but state no one figure of the gain;
#: 5 % is the class of GPU boards (`nvml`).
GAIN_REL: Final = 0.05

#: Bytes that hold any counter: 20 digits of 64 bits, and the newline.
_LONGEST_NUMBER: Final = 32
#: Preferred first, where two interfaces show the same zone.
_CONTROL_TYPES: Final = ("intel-rapl", "intel-rapl-tpmi", "intel-rapl-mmio")
_ZONE: Final = re.compile(r"(intel-rapl(?:-tpmi|-mmio)?):(\d+)(?::(\d+))?")

#: ``package-0-die-1``, ``core-0-die-1``: what the zone counts, its package, its die.
_DIE: Final = re.compile(r"(\w+)-(\d+)-die-(\d+)")
#: Counters of two dies that stand this close are one counter, shown twice. Independent ones, spread over a range of
#: 65 kJ or more, come this close with a chance below 1 in 30,000; one counter read twice within 1 ms at 1000 W does.
_MIRROR_NJ: Final[Nanojoule] = 1 * NJ_PER_J

UDEV_RULE: Final = 'SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj"'
REMEDY_PERMISSION: Final = (
    "run `sudo chmod a+r /sys/class/powercap/intel-rapl*:*/energy_uj` (until reboot), or for good "
    f"`echo '{UDEV_RULE}' | sudo tee /etc/udev/rules.d/70-energybench-rapl.rules`"
)
REMEDY_ABSENT: Final = (
    "run `sudo modprobe intel_rapl_msr` (Intel, and AMD since Zen); a virtual machine has none: measure on its host, "
    "or check the pipeline with `--meter modelled --tdp-w WATTS`"
)
REMEDY_CONTAINER: Final = (
    "start the container with `docker run --security-opt systempaths=unconfined -v "
    "/sys/class/powercap:/sys/class/powercap:ro …`"
)


@dataclass(frozen=True, slots=True)
class Zone:
    """One powercap zone: the domain it is to us, and the file of its counter."""

    domain: Domain
    counter_path: Path


def scan_zones(root: Path | str = "/sys") -> tuple[tuple[Zone, ...], tuple[str, ...]]:
    """The zones below ``root/class/powercap``, each once, and a line for every copy that was left out.

    Raises:
        MeterUnavailable: no powercap, no zone, links that lead nowhere (a container), or a file that is no number.
        MeterPermissionError: the files may not be read.
    """
    base = Path(root) / "class" / "powercap"
    try:
        entries = sorted(_matches(os.listdir(base)))
    except FileNotFoundError:
        raise MeterUnavailable(f"no {base} on this machine; {REMEDY_ABSENT}") from None
    except OSError as error:
        raise _access_error(base, error) from None
    if not entries:
        raise MeterUnavailable(f"no RAPL zone in {base}; {REMEDY_ABSENT}")
    present = [entry for entry in entries if (base / entry.directory).exists()]
    if not present:
        raise MeterUnavailable(
            f"the links in {base} lead nowhere, as in a container that hides them; {REMEDY_CONTAINER}"
        )
    top_names = {e.top: _text(base / e.directory / "name") for e in present if e.child is None}
    zones: dict[str, Zone] = {}
    copies: list[str] = []
    for entry in present:
        name = _domain_name(entry, top_names, base)
        if name in zones:
            copies.append(f"{entry.directory} is a copy of {name} and is not read")
            continue
        zones[name] = _zone(name, entry, top_names, base)
    return tuple(zones.values()), tuple(copies)


class RaplMeter:
    """RAPL through powercap. The counter files stay open and are read in place.

    Args:
        root: Where sysfs is; anything but the machine's own ``/sys`` makes the meter `simulated`.

    Raises:
        MeterUnavailable, MeterPermissionError: as `scan_zones`, with the remedy.
    """

    name = "rapl:powercap"

    def __init__(self, root: Path | str = "/sys") -> None:
        zones, self.copies = scan_zones(root)
        self.domains: tuple[Domain, ...] = tuple(zone.domain for zone in zones)
        if not any(d.parent is None and d.in_total for d in self.domains):
            raise MeterUnavailable(
                f"powercap shows {', '.join(d.name for d in self.domains)} and no package; {REMEDY_ABSENT}"
            )
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self.integrates_whole_period = INTEGRATES_WHOLE_PERIOD
        real = os.path.realpath(root) == "/sys" and all(is_real_sysfs(zone.counter_path) for zone in zones)
        self.kind: Kind = "measured" if real else "simulated"
        self._files: list[tuple[str, int]] = []
        self._paths = {zone.domain.name: os.fspath(zone.counter_path) for zone in zones}
        try:
            for zone in zones:
                self._files.append((zone.domain.name, _open(zone.counter_path)))
            self._names = [name for name, _ in self._files]
            self._drop_mirrors()
        except BaseException:
            self.close()
            raise

    def _drop_mirrors(self) -> None:
        """Read once where several dies of a package show one counter, as on AMD parts that mirror it per die."""
        energies = [self.read().energy_nj for _ in range(3)]
        mirrors: dict[str, str] = {}
        first: dict[tuple[str, str], list[str]] = {}
        for domain in self.domains:
            match = _DIE.fullmatch(domain.name)
            if match is None:
                continue
            seen = first.setdefault((match[1], match[2]), [])
            for other in seen:
                # Nearest of three: the process may be held up between two files. One near its start says nothing.
                apart_nj = min(abs(e[domain.name] - e[other]) for e in energies)
                if apart_nj <= _MIRROR_NJ and energies[0][other] > 100 * _MIRROR_NJ:
                    mirrors[domain.name] = other
                    break
            else:
                seen.append(domain.name)
        # A part of a die that is not read is not read either.
        mirrors |= {d.name: str(d.parent) for d in self.domains if d.parent in mirrors and d.name not in mirrors}
        if not mirrors:
            return
        self.copies += tuple(f"{name} is a mirror of {other} and is not read" for name, other in mirrors.items())
        self.domains = tuple(d for d in self.domains if d.name not in mirrors)
        for name, file in self._files:
            if name in mirrors:
                os.close(file)
        self._files = [(name, file) for name, file in self._files if name not in mirrors]
        self._names = [name for name, _ in self._files]

    def read(self) -> Reading:
        """Poll every zone once. Raises MeterUnavailable, MeterPermissionError."""
        return self.parse(self.read_raw())

    def read_raw(self) -> RawReading:
        """Poll every zone once, for `parse` later. Raises MeterUnavailable, MeterPermissionError."""
        files = self._files
        texts: list[bytes] = []
        time_ns = time.monotonic_ns()
        try:
            for _, file in files:
                texts.append(os.pread(file, _LONGEST_NUMBER, 0))  # their number says which one failed
        except OSError as error:
            raise _access_error(self._paths[files[len(texts)][0]], error) from None
        if not texts:
            raise MeterUnavailable("the RAPL meter was closed; open it again")
        return time_ns, texts

    def parse(self, raw: RawReading) -> Reading:
        """What `read_raw` gave, in nanojoules. Raises MeterUnavailable where a file held no whole number."""
        time_ns, texts = raw
        energy_nj: dict[str, Nanojoule] = {}
        for name, text in zip(self._names, texts, strict=True):
            try:
                energy_nj[name] = int(text) * NJ_PER_UJ
            except ValueError:
                raise MeterUnavailable(
                    f"{self._paths[name]} holds no whole number; unload and load the module, `sudo modprobe -r "
                    "intel_rapl_msr && sudo modprobe intel_rapl_msr`"
                ) from None
        return Reading(time_ns, energy_nj)

    def check_present(self) -> None:
        """Whether the files that are open are still those on disk. Raises MeterUnavailable when one has vanished.

        A removed file can still be read through its descriptor and then never moves: call this where a counter stood
        still.
        """
        for name, file in self._files:
            if os.fstat(file).st_nlink > 0:
                continue
            path = self._paths[name]
            try:
                same = os.path.samestat(os.fstat(file), os.stat(path))
            except OSError as error:
                raise _access_error(path, error) from None
            if not same:
                raise MeterUnavailable(f"{path} was replaced while it was open; open the meter again")

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        files, self._files = self._files, []
        for _, file in files:
            os.close(file)


def discover(root: Path | str = "/sys") -> list[MeterInfo]:
    """What `energybench doctor` says of RAPL. Raises what opening the meter raises."""
    meter = RaplMeter(root)
    try:
        names = ", ".join(d.name for d in meter.domains)
        observed = f"{len(meter.domains)} zones: {names}" + "".join(f"; {line}" for line in meter.copies)
        return [MeterInfo(meter.name, available=True, kind=meter.kind, observed=observed, domains=meter.domains)]
    finally:
        meter.close()


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """A directory name of powercap, taken apart. Sorted, the preferred interface comes first."""

    preference: int
    zone: int
    subzone: int
    directory: str

    @property
    def top(self) -> str:
        return f"{_CONTROL_TYPES[self.preference]}:{self.zone}"

    @property
    def child(self) -> int | None:
        return None if self.subzone < 0 else self.subzone


def _matches(names: list[str]) -> Iterator[_Entry]:
    for name in names:
        match = _ZONE.fullmatch(name)
        if match:
            subzone = -1 if match[3] is None else int(match[3])
            yield _Entry(_CONTROL_TYPES.index(match[1]), int(match[2]), subzone, name)


def _domain_name(entry: _Entry, top_names: dict[str, str], base: Path) -> str:
    if entry.child is None:
        return top_names[entry.top]
    top = top_names.get(entry.top)
    if top is None:
        raise MeterUnavailable(f"{base / entry.directory} has no zone above it; {REMEDY_ABSENT}")
    return f"{_text(base / entry.directory / 'name')}-{top.removeprefix('package-')}"


def _zone(name: str, entry: _Entry, top_names: dict[str, str], base: Path) -> Zone:
    directory = base / entry.directory
    is_dram = name.startswith("dram")
    is_top = entry.child is None
    range_uj = _whole(directory / "max_energy_range_uj")
    if range_uj <= 0:
        raise MeterUnavailable(
            f"{directory / 'max_energy_range_uj'} is {range_uj}, so wraps could not be corrected; update the kernel"
        )
    domain = Domain(
        name=name,
        parent=None if is_top or is_dram else top_names[entry.top],
        resolution_nj=NJ_PER_UJ,
        # The largest value is max_energy_range_uj, so the counter counts modulo one more.
        wrap_nj=uj_to_nj(range_uj + 1),
        max_power_w=_max_power_w(directory),
        gain_rel=GAIN_REL,
        # What a top-level zone of another name covers is not known to us: reported, not summed.
        in_total=is_dram or name.startswith("package-") or not is_top,
    )
    return Zone(domain, directory / "energy_uj")


def _max_power_w(directory: Path) -> Watt:
    """A bound from the zone's own limits, with a margin; the general bound where it states none."""
    limits_w = []
    for pattern in ("constraint_*_max_power_uw", "constraint_*_power_limit_uw"):
        for path in directory.glob(pattern):
            try:
                limits_w.append(uw_to_w(int(path.read_bytes())))
            except (OSError, ValueError):
                continue  # optional files; some kernels list them and then refuse with ENODATA
    largest_w = max(limits_w, default=0.0)
    return min(MAX_POWER_W, _LIMIT_MARGIN * largest_w) if largest_w > 0 else MAX_POWER_W


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _access_error(path, error) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise _access_error(path, error) from None
    except UnicodeDecodeError:
        raise MeterUnavailable(f"{path} holds no text; {REMEDY_ABSENT}") from None


def _whole(path: Path) -> int:
    text = _text(path)
    try:
        return int(text)
    except ValueError:
        raise MeterUnavailable(f"{path} holds {text[:20]!r}, no whole number; update the kernel") from None


def _access_error(path: Path | str, error: OSError) -> MeterUnavailable:
    if error.errno in (errno.EACCES, errno.EPERM):
        return MeterPermissionError(f"{path} may not be read by this user; {REMEDY_PERMISSION}")
    what = "has vanished" if error.errno in (errno.ENOENT, errno.ENODEV) else f"cannot be read ({error.strerror})"
    return MeterUnavailable(f"{path} {what}; {REMEDY_ABSENT}")
