"""`Scenario`: what a virtual device is planted with, read from a TOML file and checked key by key.

Every key that a file gives is either used or refused by name: nothing is silently ignored.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from energybench.errors import UsageError
from energybench.records.op_counts import DTYPE_SHORT
from energybench.units import Joule, Second, Watt

_DTYPE_OF_SHORT: Final = MappingProxyType({short: dtype for dtype, short in DTYPE_SHORT.items()})


@dataclass(frozen=True, slots=True)
class Planted:
    """The truth: joules per unit of work and the static power. `mac_j` is keyed by element type."""

    mac_j: Mapping[str, Joule]
    other_flop_j: Joule
    byte_j: Joule
    launch_j: Joule
    static_power_w: Watt


@dataclass(frozen=True, slots=True)
class Timing:
    """Rates that make the virtual duration; `mac_rate_by_dtype` overrides `mac_rate` for an element type."""

    mac_rate: float
    byte_rate: float
    launch_s: Second
    mac_rate_by_dtype: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sensor:
    """How the device's power sensor sees it."""

    update_period_s: Second
    averaging_window_s: Second
    resolution_j: Joule
    gain: float
    noise_rel: float
    drift_rel_per_min: float
    seed: int


@dataclass(frozen=True, slots=True)
class Hidden:
    """Spread between kernels that no term explains: lognormal sigmas per (kernel class, dtype, tile)."""

    variant_sigma_energy: float
    variant_sigma_time: float


@dataclass(frozen=True, slots=True)
class Tile:
    """Work is done in tiles of m·n·k MACs, `sm_count` of them at a time.

    `unit_w` is drawn by all units together while they have work, by as many as have some; 0 unless given.
    """

    m: int
    n: int
    k: int
    sm_count: int
    unit_w: Watt = 0.0


@dataclass(frozen=True, slots=True)
class Cache:
    """The first `l2_bytes` of a call's traffic cost `l2_byte_j` each, the rest `byte_j`."""

    l2_bytes: int
    l2_byte_j: Joule


@dataclass(frozen=True, slots=True)
class Dvfs:
    """Above `power_cap_w` the clock falls; `v_of_f` has points (relative clock, relative voltage), the last at 1.

    `clock_mhz` is the highest clock, of a device that tells its clock; None of one that does not.
    """

    power_cap_w: Watt
    v_of_f: tuple[tuple[float, float], ...]
    clock_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class Thermal:
    """Leakage that creeps up to `leak_w` under work with time constant `tau_s`, and back down in idle."""

    leak_w: Watt
    tau_s: Second


@dataclass(frozen=True, slots=True)
class Scenario:
    """A virtual device: the planted truth, its time and its sensor; the optional parts are None when absent."""

    name: str
    planted: Planted
    time: Timing
    sensor: Sensor
    hidden: Hidden | None = None
    tile: Tile | None = None
    cache: Cache | None = None
    dvfs: Dvfs | None = None
    thermal: Thermal | None = None
    sm_active_w: Watt = 0.0
    zero_sensitivity: float = 0.0
    dispatch_s: Second = 0.0
    session_offset_rel: float = 0.0

    @classmethod
    def load(cls, path: Path | str) -> Scenario:
        """Read a scenario file. Raises UsageError: absent, not TOML, a key missing, unknown or impossible."""
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"scenario {path} does not exist; give --meter simulated:FILE.toml") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"scenario {path} cannot be read ({reason}); give a readable TOML file") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"scenario {path} is not valid TOML ({error}); mend that line") from None
        return cls.from_dict(data, source=str(path))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "scenario") -> Scenario:
        """A scenario from parsed TOML. Raises UsageError."""
        top = _Section("", data, source)
        name = top.text("name")
        planted, time, sensor = top.section("planted"), top.section("time"), top.section("sensor")
        hidden, tile, cache = top.optional("hidden"), top.optional("tile"), top.optional("cache")
        dvfs, thermal = top.optional("dvfs"), top.optional("thermal")
        sm, values, host, session = (top.optional(n) for n in ("sm", "values", "host", "session"))
        scenario = cls(
            name=name,
            planted=Planted(
                mac_j=planted.by_dtype("mac_", "_j", required="mac_fp32_j"),
                other_flop_j=planted.number("other_flop_j"),
                byte_j=planted.number("byte_j"),
                launch_j=planted.number("launch_j"),
                static_power_w=planted.number("static_power_w"),
            ),
            time=Timing(
                mac_rate=time.number("mac_rate", positive=True),
                byte_rate=time.number("byte_rate", positive=True),
                launch_s=time.number("launch_s"),
                mac_rate_by_dtype=time.by_dtype("mac_rate_", "", positive=True),
            ),
            sensor=Sensor(
                update_period_s=sensor.number("update_period_s", positive=True, low=1e-6),
                averaging_window_s=sensor.number("averaging_window_s", positive=True, low=1e-6),
                resolution_j=sensor.number("resolution_j", positive=True, low=1e-9),
                gain=sensor.number("gain", positive=True),
                noise_rel=sensor.number("noise_rel"),
                drift_rel_per_min=sensor.number("drift_rel_per_min", low=-math.inf),
                seed=sensor.whole("seed"),
            ),
            hidden=Hidden(hidden.number("variant_sigma_energy"), hidden.number("variant_sigma_time"))
            if hidden
            else None,
            tile=Tile(
                tile.whole("m", low=1),
                tile.whole("n", low=1),
                tile.whole("k", low=1),
                tile.whole("sm_count", low=1),
                tile.maybe("unit_w") or 0.0,
            )
            if tile
            else None,
            cache=Cache(cache.whole("l2_bytes"), cache.number("l2_byte_j")) if cache else None,
            dvfs=Dvfs(dvfs.number("power_cap_w", positive=True), dvfs.points("v_of_f"), dvfs.maybe("clock_mhz"))
            if dvfs
            else None,
            thermal=Thermal(thermal.number("leak_w"), thermal.number("tau_s", positive=True)) if thermal else None,
            sm_active_w=sm.number("active_w") if sm else 0.0,
            zero_sensitivity=values.number("zero_sensitivity", high=1.0) if values else 0.0,
            dispatch_s=host.number("dispatch_s") if host else 0.0,
            session_offset_rel=session.number("offset_rel", low=-0.99) if session else 0.0,
        )
        for section in (top, planted, time, sensor, hidden, tile, cache, dvfs, thermal, sm, values, host, session):
            if section is not None:
                section.refuse_rest()
        return scenario


class _Section:
    """One table of the file, which remembers what was asked of it."""

    def __init__(self, name: str, data: Mapping[str, Any], source: str) -> None:
        self._name, self._data, self._source = name, data, source
        self._seen: set[str] = set()

    def _label(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _error(self, key: str, what: str) -> UsageError:
        return UsageError(f"{self._source}: {self._label(key)} {what}")

    def _take(self, key: str) -> Any:
        self._seen.add(key)
        if key not in self._data:
            raise self._error(key, "is missing; add it")
        return self._data[key]

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value.strip():
            raise self._error(key, "is no text; give a name in quotes")
        return value

    def number(self, key: str, *, positive: bool = False, low: float = 0.0, high: float = math.inf) -> float:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._error(key, f"= {value!r} is no finite number; give one")
        if value < low or value > high or (positive and value <= 0):
            bounds = f"a number above 0 (at least {low:g})" if positive else f"a number from {low:g} to {high:g}"
            raise self._error(key, f"= {value!r} is out of range; give {bounds}")
        return float(value)

    def maybe(self, key: str) -> float | None:
        """A positive number where the file gives the key."""
        return self.number(key, positive=True) if key in self._data else None

    def whole(self, key: str, *, low: int = 0) -> int:
        value = self._take(key)
        if type(value) is not int or value < low:
            raise self._error(key, f"= {value!r} is not possible; give a whole number, at least {low}")
        return value

    def points(self, key: str) -> tuple[tuple[float, float], ...]:
        value = self._take(key)
        fix = "give points [relative clock, relative voltage] with the clock rising to 1.0, as [[0.5, 0.8], [1.0, 1.0]]"
        try:
            points = tuple((float(f), float(v)) for f, v in value)
        except (TypeError, ValueError):
            raise self._error(key, f"= {value!r} is no table; {fix}") from None
        clocks = [f for f, _ in points]
        finite = all(math.isfinite(x) and x > 0 for point in points for x in point)
        if not points or not finite or clocks != sorted(set(clocks)) or clocks[-1] != 1.0:
            raise self._error(key, f"= {value!r} is not possible; {fix}")
        return points

    def by_dtype(
        self, prefix: str, suffix: str, *, positive: bool = False, required: str | None = None
    ) -> Mapping[str, float]:
        """Keys ``<prefix><dtype short name><suffix>``, as element type → number."""
        found: dict[str, float] = {}
        if required is not None:
            self._take(required)
        for key in self._data:
            short = key.removeprefix(prefix).removesuffix(suffix)
            if key == f"{prefix}{short}{suffix}" and short in _DTYPE_OF_SHORT:
                found[_DTYPE_OF_SHORT[short]] = self.number(key, positive=positive)
        return MappingProxyType(found)

    def section(self, name: str) -> _Section:
        value = self._take(name)
        if not isinstance(value, Mapping):
            raise self._error(name, f"is no section; write it as [{name}]")
        return _Section(name, value, self._source)

    def optional(self, name: str) -> _Section | None:
        return self.section(name) if name in self._data else None

    def refuse_rest(self) -> None:
        unknown = sorted(set(self._data) - self._seen)
        if unknown:
            raise self._error(unknown[0], "is unknown or not supported yet; remove it or mend its spelling")
