"""What a meter yields: domains, readings of them, and what characterising the meter found. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from energybench.errors import RecordError
from energybench.units import Joule, Nanojoule, Nanosecond, Second, Watt


@dataclass(frozen=True, slots=True)
class Domain:
    """One thing a meter covers: ``package-0``, ``dram-0``, ``gpu-0``.

    `parent`         the domain that already contains this one (``core`` lies in ``package-0``); None at the top.
                     A total is the sum over top-level domains, never over parents and children together.
    `resolution_nj`  the counter's step
    `wrap_nj`        the counter's range: it restarts at 0 after reaching it; None where it cannot wrap
    `max_power_w`    the most this domain can draw, which bounds how often the counter can have wrapped
    `gain_rel`       relative standard uncertainty of the absolute scale, a systematic term kept apart
    `in_total`       False for a domain that overlaps others without being their parent (``psys`` covers the
                     packages and more): reported, never summed
    """

    name: str
    parent: str | None = None
    resolution_nj: Nanojoule = 1
    wrap_nj: Nanojoule | None = None
    max_power_w: Watt | None = None
    gain_rel: float = 0.0
    in_total: bool = True

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Domain:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            return cls(**data)
        except TypeError as error:
            raise RecordError(f"domain is malformed ({error}); write it with Domain.to_dict") from error


@dataclass(frozen=True, slots=True)
class Reading:
    """One poll of a meter: the monotonic time and the counter of each domain, as the meter gave it (wraps included)."""

    time_ns: Nanosecond
    energy_nj: Mapping[str, Nanojoule]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"time_ns": self.time_ns, "energy_nj": dict(self.energy_nj)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reading:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            energy_nj = {str(k): v for k, v in data["energy_nj"].items()}
            time_ns = data["time_ns"]
        except (KeyError, AttributeError) as error:
            raise RecordError(f"reading is malformed ({error}); write it with Reading.to_dict") from error
        if type(time_ns) is not int or any(type(v) is not int for v in energy_nj.values()):
            raise RecordError("reading holds a number that is no integer; counters are integers, never rounded floats")
        return cls(time_ns, energy_nj)


@dataclass(frozen=True, slots=True)
class MeterCharacteristics:
    """What was found when the meter was watched on this device, before the run. A value that was not found is None."""

    update_period_s: Second | None
    resolution_j: Joule | None
    read_latency_p50_s: Second | None
    read_latency_p99_s: Second | None
    idle_power_w: Watt | None
    idle_power_stdev_w: Watt | None
    #: Energy by the counter over the integral of the power that the device reports; None where it reports no power.
    counter_integral_ratio: float | None = None
    #: Time from 10 to 90 % of a step of power as the meter shows it; None where no load was run, or it made no step.
    rise_time_s: Second | None = None
    #: Relative standard deviation of one update in idle, with a margin for having seen few of them.
    update_noise_rel: float | None = None
    #: Share of each update period that the sensor looks at; None where no load was run, or the period is too short.
    seen_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        data = asdict(self)
        for name in ("counter_integral_ratio", "rise_time_s", "update_noise_rel", "seen_share"):
            if data[name] is None:
                # Added later: files are referred to by the hash of their content, so those without stay the same.
                del data[name]
        return data
