"""`HwmonMeter`: energy and power sensors that drivers show under ``/sys/class/hwmon``, chosen by name.

What such a sensor covers is the driver's word alone, and several of one machine may overlap (the sockets, the module
and the I/O of a Grace board), so none is taken unasked: ``--meter hwmon:CHIP/LABEL``. Named several, they are summed.
An energy sensor (``energyN_input``, µJ) is a counter; a power sensor (``powerN_input``, µW) is integrated.
Names and units: kernel documentation, hwmon/sysfs-interface.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from energybench.errors import MeterUnavailable, UsageError
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.number_file import NumberFile
from energybench.meters.power_integral import PowerIntegral
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_UJ, Second, Watt, uj_to_nj, uw_to_w

#: Relative standard uncertainty of a sensor whose driver states none: the class that RAPL has.
GAIN_REL: Final = 0.05
#: Time between samples of a power sensor: a choice, ten a second cost about 0.05 % of a core.
SAMPLE_PERIOD_S: Final[Second] = 0.1
_FILE: Final = re.compile(r"(energy|power)(\d+)_input")
_REMEDY: Final = "load the driver of the sensor (`sensors-detect` of lm-sensors finds it), or use another --meter"
POWER_ANNOUNCEMENT: Final = f"power sampled every {SAMPLE_PERIOD_S:g} s and integrated; what lies between is not seen"


@dataclass(frozen=True, slots=True)
class HwmonSensor:
    """One energy or power sensor: its name as ``CHIP/LABEL``, what it counts, its file."""

    name: str
    quantity: str
    path: Path


def scan_sensors(root: Path | str = "/sys") -> tuple[HwmonSensor, ...]:
    """Every energy sensor, and every power sensor whose label has no energy sensor, in order of their names.

    Raises:
        MeterUnavailable: no hwmon, or none of its sensors tells energy or power.
    """
    base = Path(root) / "class" / "hwmon"
    try:
        directories = sorted(base / name for name in os.listdir(base))
    except OSError as error:
        raise MeterUnavailable(f"no {base} on this machine ({error.strerror}); {_REMEDY}") from None
    chips = [(directory, _text(directory / "name") or directory.name) for directory in directories]
    count = Counter(chip for _, chip in chips)
    found: dict[str, HwmonSensor] = {}
    for directory, chip in chips:
        # Chips of one name (two sockets, two boards) are told apart by the device that they belong to.
        if count[chip] > 1:
            chip = f"{chip}@{os.path.basename(os.path.realpath(directory / 'device'))}"
        # Energy comes before power in the alphabet, so a counter is found first.
        for file in sorted(os.listdir(directory)):
            match = _FILE.fullmatch(file)
            if match is None:
                continue
            label = _text(directory / f"{match[1]}{match[2]}_label") or f"{match[1]}{match[2]}"
            sensor = HwmonSensor(f"{chip}/{label}", match[1], directory / file)
            found.setdefault(sensor.name, sensor)
    if not found:
        raise MeterUnavailable(f"no sensor below {base} tells energy or power; {_REMEDY}")
    return tuple(found[name] for name in sorted(found))


class HwmonMeter:
    """The named sensors of hwmon, summed.

    Args:
        names: ``CHIP/LABEL``, as `scan_sensors` and ``doctor`` list them; may be left out where there is one sensor.
        root: Where sysfs is; anything but the machine's own ``/sys`` makes the meter `simulated`.

    Raises:
        UsageError: no name where there are several, a name that is not there, or counters and powers mixed.
        MeterUnavailable, MeterPermissionError: nothing to read, or not by this user.
    """

    def __init__(self, names: Sequence[str] = (), root: Path | str = "/sys") -> None:
        sensors = {sensor.name: sensor for sensor in scan_sensors(root)}
        known = ", ".join(sensors)
        if not names and len(sensors) > 1:
            raise UsageError(f"hwmon has several sensors ({known}) that may overlap; name one, --meter hwmon:NAME")
        unknown = [name for name in names if name not in sensors]
        if unknown:
            raise UsageError(f"hwmon has no sensor {unknown[0]!r}; choose from {known}")
        chosen = [sensors[name] for name in dict.fromkeys(names)] or list(sensors.values())
        if len({sensor.quantity for sensor in chosen}) > 1:
            raise UsageError("energy counters and power sensors of hwmon are read one kind at a time; name one kind")
        self.name = "hwmon:" + ",".join(sensor.name for sensor in chosen)
        self.clock: Clock = MonotonicClock()
        real = os.path.realpath(root) == "/sys" and all(is_real_sysfs(sensor.path) for sensor in chosen)
        self.kind: Kind = "measured" if real else "simulated"
        self.domains: tuple[Domain, ...] = tuple(
            Domain(name=sensor.name, resolution_nj=NJ_PER_UJ, gain_rel=GAIN_REL) for sensor in chosen
        )
        self.nominal_update_period_s: Second | None = None
        self._files: dict[str, NumberFile] = {}
        self._integral: PowerIntegral | None = None
        try:
            for sensor in chosen:
                self._files[sensor.name] = NumberFile(sensor.path, remedy=_REMEDY)
            if chosen[0].quantity == "power":
                self.announcement = POWER_ANNOUNCEMENT
                self.nominal_update_period_s = SAMPLE_PERIOD_S
                self._integral = PowerIntegral(self._power_w, clock=self.clock, period_s=SAMPLE_PERIOD_S)
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Poll every sensor once. Raises MeterUnavailable, MeterPermissionError."""
        if not self._files:
            raise MeterUnavailable("the hwmon meter was closed; open it again")
        if self._integral is not None:
            return Reading(*self._integral.read())
        time_ns = self.clock.now_ns()
        return Reading(time_ns, {name: uj_to_nj(file.read()) for name, file in self._files.items()})

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        integral, self._integral = self._integral, None
        if integral is not None:
            integral.close()
        while self._files:
            self._files.popitem()[1].close()

    def _power_w(self) -> dict[str, Watt]:
        return {name: uw_to_w(file.read()) for name, file in self._files.items()}


def discover(root: Path | str = "/sys") -> list[MeterInfo]:
    """One line per sensor for ``doctor``. Raises what scanning raises."""
    infos = []
    for sensor in scan_sensors(root):
        try:
            meter = HwmonMeter([sensor.name], root)
        except MeterUnavailable as error:
            observed, _, remedy = str(error).partition("; ")
            infos.append(MeterInfo(f"hwmon:{sensor.name}", False, "measured", observed, remedy))
            continue
        what = "an energy counter" if sensor.quantity == "energy" else "a power sensor, integrated"
        infos.append(MeterInfo(meter.name, True, meter.kind, f"{what}: {sensor.path}", domains=meter.domains))
        meter.close()
    return infos


def _text(path: Path) -> str:
    """A label; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
