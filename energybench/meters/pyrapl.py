"""`PyRaplMeter`: RAPL read by the pyRAPL package, with the wrap correction that pyRAPL lacks done on our side.

pyRAPL gives package and DRAM counters per socket, as microjoules in floats (exact: far below 2^53), from hard-coded
paths. The counters' ranges, which it does not read, come from the same powercap zones. pyRAPL cannot read machines
with several dies per socket.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from typing import Any, Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.rapl_powercap import (
    INTEGRATES_WHOLE_PERIOD,
    NOMINAL_UPDATE_PERIOD_S,
    REMEDY_PERMISSION,
    scan_zones,
)
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import Second, uj_to_nj

_INSTALL: Final = "run `pip install pyRAPL`"
_OTHER: Final = "use --meter rapl, which reads the same counters"
#: pyRAPL's list holds, per socket, the package and then the DRAM.
_COLUMNS: Final = ("package", "dram")


class PyRaplMeter:
    """Package and DRAM energy per socket through ``pyRAPL.Sensor``.

    Args:
        sensor: A stand-in for ``pyRAPL.Sensor()``; the meter is then `simulated`.
        domains: The domains of the stand-in's counters, as powercap would give them.

    Raises:
        MeterUnavailable: no pyRAPL, no counters, or a machine that pyRAPL cannot read.
        MeterPermissionError: the counters may not be read.
    """

    name = "pyrapl"

    def __init__(self, sensor: Any | None = None, domains: Sequence[Domain] | None = None) -> None:
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self.integrates_whole_period = INTEGRATES_WHOLE_PERIOD
        if sensor is not None:
            known: Sequence[Domain] = domains or ()
            self.kind: Kind = "simulated"
        else:
            zones, _ = scan_zones()
            known = [zone.domain for zone in zones]
            sensor = _open_sensor()
            real = all(is_real_sysfs(zone.counter_path) for zone in zones)
            self.kind = "measured" if real else "simulated"
        self._sensor: Any | None = sensor
        by_name = {domain.name: domain for domain in known}
        values = self._energy_uj()
        names = [f"{_COLUMNS[i % 2]}-{i // 2}" for i in range(len(values))]
        #: Position in pyRAPL's list → our domain; −1 marks what the machine lacks.
        self._columns = [(i, name) for i, (name, value) in enumerate(zip(names, values, strict=True)) if value >= 0]
        missing = [name for _, name in self._columns if name not in by_name]
        if missing or not self._columns:
            raise MeterUnavailable(
                f"pyRAPL shows {', '.join(missing) or 'no counter'} and powercap gives no range for it; {_OTHER}"
            )
        self.domains: tuple[Domain, ...] = tuple(by_name[name] for _, name in self._columns)

    def read(self) -> Reading:
        """Poll once. Raises MeterUnavailable, MeterPermissionError."""
        time_ns = time.monotonic_ns()
        values = self._energy_uj()
        try:
            return Reading(time_ns, {name: uj_to_nj(int(values[i])) for i, name in self._columns})
        except (IndexError, ValueError, OverflowError):
            raise MeterUnavailable(f"pyRAPL gave no usable number; {_OTHER}") from None

    def close(self) -> None:
        """Let pyRAPL's open files go."""
        self._sensor = None

    def _energy_uj(self) -> list[float]:
        if self._sensor is None:
            raise MeterUnavailable("the pyRAPL meter was closed; open it again")
        try:
            return list(self._sensor.energy())
        except PermissionError as error:
            raise MeterPermissionError(f"{error.filename} may not be read by this user; {REMEDY_PERMISSION}") from None
        except (OSError, ValueError) as error:
            raise MeterUnavailable(f"pyRAPL cannot read its counters ({error}); {_OTHER}") from None


def _open_sensor() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in its source, a warning on every first compilation
            disabled = logging.root.manager.disable
            logging.disable(logging.WARNING)  # it warns of the optional packages that it lacks
            try:
                import pyRAPL
            finally:
                logging.disable(disabled)
    except ImportError:
        raise MeterUnavailable(f"the package pyRAPL is not installed; {_INSTALL}") from None
    try:
        return pyRAPL.Sensor()
    except PermissionError as error:
        raise MeterPermissionError(f"{error.filename} may not be read by this user; {REMEDY_PERMISSION}") from None
    except (pyRAPL.PyRAPLException, OSError, ValueError, IndexError) as error:
        reason = str(error) or type(error).__name__
        raise MeterUnavailable(f"pyRAPL cannot read this machine ({reason}); {_OTHER}") from None


def discover() -> list[MeterInfo]:
    """What `energybench doctor` says of pyRAPL. Raises what opening the meter raises."""
    meter = PyRaplMeter()
    try:
        observed = f"{len(meter.domains)} counters: {', '.join(d.name for d in meter.domains)}"
        return [MeterInfo(meter.name, available=True, kind=meter.kind, observed=observed, domains=meter.domains)]
    finally:
        meter.close()
