"""`JetsonMeter`: power rails of NVIDIA Jetson boards, from their INA3221 monitors in sysfs, integrated.

A monitor has three channels, each with a name that the board's device tree gives it. The rail of the board's input
(``VDD_IN``, ``POM_5V_IN``, ``VIN_SYS``…) contains the others: it alone is the total, and they are its parts. A board
without such a rail (AGX) has rails beside each other, which are summed; what hangs on none of them is not measured,
and the meter says so. Newer kernels show volts and amperes under hwmon (mV, mA), older ones power (mW) under iio.
Names and paths: NVIDIA Jetson Linux Developer Guide, "Software-Based Power Consumption Modeling"; kernel ina3221.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from energybench.errors import MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.number_file import NumberFile
from energybench.meters.power_integral import PowerIntegral
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import Second, Watt, mw_to_w, uw_to_w

#: The INA3221 is specified to 0.5 % of current and voltage (Texas Instruments SBOS576) and the board's shunts to 1 % or
#: worse; taken as 3 % until somebody calibrates a board.
GAIN_REL: Final = 0.03
#: Time between samples: a choice, as for hwmon.
SAMPLE_PERIOD_S: Final[Second] = 0.1
_DRIVERS: Final = ("ina3221", "ina3221x")
#: Rails that feed the whole board: VDD_IN (Orin Nano, Orin NX, Xavier NX), POM_5V_IN (Nano), VIN_SYS, VDD_SYS_IN.
_INPUT: Final = re.compile(r"(VDD|POM_5V|VIN|VDD_SYS|SYS)_IN")
_REMEDY: Final = "run on a Jetson board with its own kernel; in a container add `-v /sys:/sys:ro`"


@dataclass(frozen=True, slots=True)
class Rail:
    """One channel: its name and its files, power in mW, or volts in mV and current in mA."""

    name: str
    power: Path | None = None
    volts: Path | None = None
    amperes: Path | None = None


def scan_rails(root: Path | str = "/sys") -> tuple[Rail, ...]:
    """Every named channel. Raises MeterUnavailable where there is none."""
    rails: dict[str, Rail] = {}
    for driver in _DRIVERS:
        base = Path(root) / "bus" / "i2c" / "drivers" / driver
        for directory in sorted({*base.glob("*-*/hwmon/hwmon*"), *base.glob("*-*/iio:device*"), *base.glob("*-*")}):
            for path in sorted([*directory.glob("in*_label"), *directory.glob("rail_name_*")]):
                rail = _rail(path)
                if rail is not None:
                    rails.setdefault(rail.name, rail)
    if not rails:
        raise MeterUnavailable(f"no INA3221 power monitor below {Path(root) / 'bus/i2c/drivers'}; {_REMEDY}")
    return tuple(rails.values())


def _rail(path: Path) -> Rail | None:
    """The channel of a file that names one; None for the sum of shunts and for unconnected channels."""
    try:
        name = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    # "NC" marks a channel that is not connected; channel 7 of newer kernels is a sum of shunt voltages, no rail.
    if not name or name.upper() == "NC" or name.lower().startswith("sum of"):
        return None
    name = name.replace(" ", "_")
    directory = path.parent
    number = re.sub(r"\D", "", path.name)
    power = directory / f"in_power{number}_input"
    volts, amperes = directory / f"in{number}_input", directory / f"curr{number}_input"
    if power.exists():
        return Rail(name, power=power)
    return Rail(name, volts=volts, amperes=amperes) if volts.exists() and amperes.exists() else None


class JetsonMeter:
    """The rails of a Jetson board.

    Args:
        root: Where sysfs is; anything but the machine's own ``/sys`` makes the meter `simulated`.

    Raises:
        MeterUnavailable, MeterPermissionError: no monitor, or it may not be read.
    """

    name = "jetson"

    def __init__(self, root: Path | str = "/sys") -> None:
        rails = scan_rails(root)
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = SAMPLE_PERIOD_S
        inputs = [rail.name for rail in rails if _INPUT.fullmatch(rail.name)]
        whole = inputs[0] if inputs else None
        self.announcement = f"power sampled every {SAMPLE_PERIOD_S:g} s and integrated; what lies between is not seen"
        if whole is None:
            self.announcement += "; this board has no input rail: what hangs on no named rail is not measured"
        self.domains: tuple[Domain, ...] = tuple(
            Domain(name=rail.name, parent=whole if whole not in (None, rail.name) else None, gain_rel=GAIN_REL)
            for rail in rails
        )
        paths = [p for rail in rails for p in (rail.power, rail.volts, rail.amperes) if p is not None]
        real = os.path.realpath(root) == "/sys" and all(is_real_sysfs(path) for path in paths)
        self.kind: Kind = "measured" if real else "simulated"
        self._files: list[tuple[str, tuple[NumberFile, ...]]] = []
        self._integral: PowerIntegral | None = None
        try:
            for rail in rails:
                files = [p for p in (rail.power, rail.volts, rail.amperes) if p is not None]
                self._files.append((rail.name, tuple([NumberFile(p, remedy=_REMEDY) for p in files])))
            self._integral = PowerIntegral(self._power_w, clock=self.clock, period_s=SAMPLE_PERIOD_S)
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Sample every rail now. Raises MeterUnavailable, MeterPermissionError."""
        if self._integral is None:
            raise MeterUnavailable("the Jetson meter was closed; open it again")
        return Reading(*self._integral.read())

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        integral, self._integral = self._integral, None
        if integral is not None:
            integral.close()
        while self._files:
            for file in self._files.pop()[1]:
                file.close()

    def _power_w(self) -> dict[str, Watt]:
        power_w = {}
        for name, files in self._files:
            values = [file.read() for file in files]
            # mV · mA is µW.
            power_w[name] = mw_to_w(values[0]) if len(values) == 1 else uw_to_w(values[0] * values[1])
        return power_w


def discover(root: Path | str = "/sys") -> list[MeterInfo]:
    """What ``doctor`` says of Jetson rails. Raises what opening the meter raises."""
    meter = JetsonMeter(root)
    try:
        observed = f"{len(meter.domains)} rails: {', '.join(d.name for d in meter.domains)}"
        return [MeterInfo(meter.name, True, meter.kind, observed, domains=meter.domains)]
    finally:
        meter.close()
