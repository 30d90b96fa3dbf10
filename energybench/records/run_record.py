"""`RunRecord`: one measurement, with everything needed to refit it; one line of a records file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from energybench.errors import RecordError
from energybench.records import vocabulary
from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Caches, Family, Implementation, KernelClass, Kind, Split
from energybench.units import Joule, Nanosecond, Second, Watt

# Format history. A reader refuses a version it does not know and says so.
#   1   first version
#   2   `caches`, absent and hot before
SCHEMA_VERSION: Final = 2
READ_VERSIONS: Final = (1, 2)

#: What a record's `direction` may say: one direction of an operator, or a whole training step of a network.
RECORD_DIRECTIONS: Final = (*vocabulary.DIRECTIONS, "training")

#: Where the counts come from: our counting kernels, a closed form proven equal to them, or the model counter.
COUNTS_SOURCES: Final = ("counted", "closed_form", "model")


@dataclass(frozen=True, slots=True)
class DomainValue:
    """Energy of one domain in one window, per call. `corrected` is True when a counter wrap was corrected."""

    energy_j: Joule
    energy_uncertainty_j: Joule
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One window over one workload.

    Energies and times are *per call* and gross; `energy_uncertainty_j` is one standard deviation of this window's
    own error (quantisation and edges), the meter's gain apart. `idle_power_w` is the power of the idle windows
    beside it. `counts` are those of one call.
    """

    run_id: str
    row_id: str
    workload: str
    kernel_id: str
    family: Family
    split: Split
    kernel_class: KernelClass
    implementation: Implementation
    direction: str
    dtype: str
    device: str
    counts: OpCounts
    counts_source: str
    operators: int
    parameters: int
    calls: int
    repeat: int
    order: int
    meter: str
    kind: Kind
    energy_j: Joule
    energy_uncertainty_j: Joule
    time_s: Second
    begin_ns: Nanosecond
    end_ns: Nanosecond
    domains: Mapping[str, DomainValue]
    environment_sha256: str
    network: str | None = None
    threads: int | None = None
    shape: Mapping[str, int] = field(default_factory=dict)
    components: Mapping[str, int] = field(default_factory=dict)
    input_distribution: str = "normal(0,1)"
    caches: Caches = "hot"
    idle_power_w: Watt | None = None
    tdp_w: Watt | None = None
    temp_c: float | None = None
    clock_mhz: float | None = None
    valid: bool = True
    invalid_reason: str | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if (value := getattr(self, name)) not in allowed:
                raise RecordError(f"{name}={value!r} is not one of {', '.join(map(str, allowed))}")
        for name in ("energy_j", "energy_uncertainty_j", "time_s", "idle_power_w", "tdp_w", "temp_c", "clock_mhz"):
            value = getattr(self, name)
            if value is None and name not in _REQUIRED_NUMBERS:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise RecordError(f"{name}={value!r} is not a finite number; measurements with NaN are refused")
            if value < 0 and name != "temp_c":
                raise RecordError(f"{name}={value!r} is negative; an energy counter cannot run backwards")
        for name in ("operators", "parameters", "calls", "repeat", "order", "begin_ns", "end_ns"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise RecordError(f"{name}={value!r} is not a non-negative integer")
        if self.calls == 0 or self.end_ns <= self.begin_ns:
            raise RecordError(f"row {self.row_id}: a window needs at least one call and a positive duration")
        if self.valid == bool(self.invalid_reason):
            raise RecordError(f"row {self.row_id}: an invalid window gives its reason, and a valid one has none")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; defaults are left out, `schema_version` comes first."""
        row: dict[str, Any] = {"schema_version": self.schema_version}
        for name, default in _FIELD_DEFAULTS.items():
            value = getattr(self, name)
            if name in row or value == default:
                continue
            if name == "counts":
                value = self.counts.to_dict()
            elif name == "domains":
                value = {
                    d: {
                        "energy_j": v.energy_j,
                        "energy_uncertainty_j": v.energy_uncertainty_j,
                        **({"corrected": True} if v.corrected else {}),
                    }
                    for d, v in self.domains.items()
                }
            elif isinstance(value, Mapping):
                value = dict(value)
            row[name] = value
        return row

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The inverse of `to_dict`. Raises RecordError on an unknown version, a missing or an unknown key."""
        version = data.get("schema_version")
        if version not in READ_VERSIONS:
            raise RecordError(
                f"record has schema version {version!r}, this energybench reads {SCHEMA_VERSION} and before; "
                "read it with the version that wrote it"
            )
        try:
            counts = OpCounts.from_dict(data["counts"])
            domains = {str(name): DomainValue(**value) for name, value in data["domains"].items()}
            return cls(**{**data, "counts": counts, "domains": domains, "schema_version": SCHEMA_VERSION})
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"record is malformed ({error}); write it with RunRecord.to_dict") from error


_REQUIRED_NUMBERS: Final = frozenset({"energy_j", "energy_uncertainty_j", "time_s"})
_ALLOWED: Final[Mapping[str, tuple[object, ...]]] = {
    "family": vocabulary.FAMILIES,
    "split": vocabulary.SPLITS,
    "kernel_class": vocabulary.KERNEL_CLASSES,
    "implementation": vocabulary.IMPLEMENTATIONS,
    "caches": vocabulary.CACHES,
    "direction": RECORD_DIRECTIONS,
    "kind": vocabulary.KINDS,
    "counts_source": COUNTS_SOURCES,
}
#: Field name → its plain default; a field without one maps to an object that equals nothing.
_NOTHING: Final = object()
_FIELD_DEFAULTS: Final[Mapping[str, object]] = {
    f.name: {}
    if f.name in ("shape", "components")
    else (f.default if f.default.__class__.__name__ != "_MISSING_TYPE" else _NOTHING)
    for f in fields(RunRecord)
}
