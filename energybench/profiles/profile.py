"""`DeviceProfile`: the coefficients of one device and everything an estimate needs, as one JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast

import numpy as np

from energybench.errors import FitError, ProfileError
from energybench.model.catalogue import equation_from_terms
from energybench.model.domain import Domain
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.observations import Target
from energybench.model.pricing import PricedRows, price_rows
from energybench.model.residual import COLUMNS, ResidualLearner
from energybench.model.time_law import TimeLaw
from energybench.profiles.coefficient import Coefficient
from energybench.profiles.schema_check import violations
from energybench.profiles.store import find_profile, read_json, write_json
from energybench.records.vocabulary import Kind
from energybench.units import Watt
from energybench.version import __version__

# Format history. An older version is converted when it is loaded, a newer one refused.
#   1   first version
#   2   network_scores, which calibrate intervals; input distributions of the rows; time law by class and with a host
#   3   held_power_w: estimates stay below a power limit; residual: what a learner found that the equation leaves
SCHEMA_VERSION: Final = 3


class FittedEquation(Protocol):
    """What a profile takes from a fit; `FitResult` has it."""

    @property
    def equation(self) -> Equation: ...
    @property
    def domain(self) -> Domain: ...
    @property
    def covariance(self) -> FloatArray: ...
    @property
    def level(self) -> float: ...
    @property
    def dof(self) -> Mapping[str, float | None]: ...
    @property
    def time_law(self) -> TimeLaw | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class RecordsSource:
    """A records file behind a profile: its name and the hash of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True)
class DeviceProfile:
    """One equation's coefficients for one device.

    `name`          letters, digits, ``._-``; the file's stem where it is installed
    `kind`          where the joules behind it come from; it stays on every estimate made with it
    `meter_gain_rel` relative standard uncertainty of the meter's absolute scale, None where unknown
    `covariance`    (k, k), in the order of `coefficients`
    `diagnostics`   nobs, n_workloads, condition_number, vif, spread_rel, misfit
    `held_power_w`  power limit that no estimate exceeds, on the meter's scale; None where the fit saw none
    `residual`      what a learner says of work like the fitted rows', None where none was asked for
    `network_scores` network that the fit never saw -> |recorded − predicted| over predicted deviation, by window
    `null_models`   coefficients of the null models, on the fitted rows and those that a power limit holds
    `validation`    what the fit scored on rows left out, None where it was not validated
    `environment`   the machine, as the run recorded it
    """

    name: str
    created_utc: str
    energybench_version: str
    equation_name: str
    target: Target
    kind: Kind
    traffic_basis: str
    device: str
    meter: str
    meter_gain_rel: float | None
    level: float
    coefficients: Mapping[str, Coefficient]
    covariance: FloatArray
    diagnostics: Mapping[str, Any]
    held_power_w: Watt | None
    residual: ResidualLearner | None
    network_scores: Mapping[str, tuple[float, ...]]
    domain: Domain
    time_law: TimeLaw | None
    null_models: Mapping[str, float | None]
    validation: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    records: tuple[RecordsSource, ...]
    notes: tuple[str, ...]

    @property
    def equation(self) -> Equation:
        """The equation with this profile's terms."""
        return equation_from_terms(self.equation_name, self.coefficients)

    @property
    def params(self) -> dict[str, float]:
        """Coefficient -> value."""
        return {name: c.value for name, c in self.coefficients.items()}

    def price(self, table: FeatureTable) -> PricedRows:
        """Features and energies of a table's rows, at their durations."""
        return price_rows(self.equation, self.params.values(), table, self.held_power_w, self.residual)

    @classmethod
    def from_fit(
        cls,
        fit: FittedEquation,
        *,
        name: str,
        environment: Mapping[str, Any] | None = None,
        records: Sequence[Path | str] = (),
        meter_gain_rel: float | None = None,
        created: datetime | None = None,
    ) -> DeviceProfile:
        """Make a profile of a fit.

        Args:
            fit: a `FitResult`.
            name: letters, digits, ``._-``.
            environment: JSON-ready facts about the machine.
            records: the records files that were fitted, to be hashed.
            meter_gain_rel: see the class.
            created: time of creation; now by default.

        Raises:
            ProfileError: a name that cannot be a file's, or an environment that is not JSON.
        """
        result = fit.to_dict()
        data = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "created_utc": (created or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "energybench_version": __version__,
            "equation": result["equation"],
            "target": result["target"],
            "kind": result["kind"],
            "traffic_basis": result["traffic_basis"],
            "device": result["device"],
            "meter": {"name": result["meter"], "gain_rel": meter_gain_rel},
            "level": fit.level,
            "coefficients": {
                coefficient: {
                    **{key: row[key] for key in ("value", "unit", "bse", "low", "high", "verdict", "advice")},
                    "dof": fit.dof[coefficient],
                }
                for coefficient, row in result["params"].items()
            },
            "covariance": fit.covariance.tolist(),
            "diagnostics": {
                **{k: result[k] for k in ("nobs", "n_workloads", "condition_number", "spread_rel", "misfit")},
                "vif": {coefficient: row["vif"] for coefficient, row in result["params"].items()},
            },
            "held_power_w": result["held_power_w"],
            "residual": result["residual"],
            "network_scores": result["network_scores"],
            "domain": fit.domain.to_dict(),
            "time_law": result["time_law"],
            "null_models": result["null_models"],
            "validation": result["validation"],
            "environment": _json_ready(environment or {}),
            "records": [{"name": Path(p).name, "sha256": _sha256(Path(p))} for p in records],
            "notes": list(fit.notes),
        }
        return cls.from_dict(data)

    @classmethod
    def load(cls, path_or_name: Path | str) -> Self:
        """Load a profile from a path, or by name from the package's profiles and the user's.

        Raises ProfileError where it is absent, damaged, or of a version this energybench does not read.
        """
        path = find_profile(path_or_name)
        return cls.from_dict(read_json(path), origin=str(path))

    def save(self, path: Path | str) -> None:
        """Write the profile, whole or not at all. Raises ProfileError."""
        write_json(Path(path), self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "created_utc": self.created_utc,
            "energybench_version": self.energybench_version,
            "equation": self.equation_name,
            "target": self.target,
            "kind": self.kind,
            "traffic_basis": self.traffic_basis,
            "device": self.device,
            "meter": {"name": self.meter, "gain_rel": self.meter_gain_rel},
            "level": self.level,
            "coefficients": {name: c.to_dict() for name, c in self.coefficients.items()},
            "covariance": self.covariance.tolist(),
            "diagnostics": dict(self.diagnostics),
            "held_power_w": self.held_power_w,
            "residual": None if self.residual is None else self.residual.to_dict(),
            "network_scores": {name: list(scores) for name, scores in self.network_scores.items()},
            "domain": self.domain.to_dict(),
            "time_law": None if self.time_law is None else self.time_law.to_dict(),
            "null_models": dict(self.null_models),
            "validation": None if self.validation is None else dict(self.validation),
            "environment": dict(self.environment),
            "records": [{"name": r.name, "sha256": r.sha256} for r in self.records],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Any, *, origin: str = "profile") -> Self:
        """Validate and build. Raises ProfileError with one line that names the first thing wrong."""
        data = _current(data)
        check_profile(data, origin=origin)
        return cls(
            name=data["name"],
            created_utc=data["created_utc"],
            energybench_version=data["energybench_version"],
            equation_name=data["equation"],
            target=cast(Target, data["target"]),
            kind=cast(Kind, data["kind"]),
            traffic_basis=data["traffic_basis"],
            device=data["device"],
            meter=data["meter"]["name"],
            meter_gain_rel=data["meter"]["gain_rel"],
            level=data["level"],
            coefficients={name: Coefficient.from_dict(c) for name, c in data["coefficients"].items()},
            covariance=np.array(data["covariance"], dtype=np.float64),
            diagnostics=data["diagnostics"],
            held_power_w=data["held_power_w"],
            residual=None if data["residual"] is None else ResidualLearner.from_dict(data["residual"]),
            network_scores={name: tuple(scores) for name, scores in data["network_scores"].items()},
            domain=Domain.from_dict(data["domain"]),
            time_law=None if data["time_law"] is None else TimeLaw.from_dict(data["time_law"]),
            null_models=data["null_models"],
            validation=data["validation"],
            environment=data["environment"],
            records=tuple(RecordsSource(r["name"], r["sha256"]) for r in data["records"]),
            notes=tuple(data["notes"]),
        )


@cache
def profile_schema() -> Mapping[str, Any]:
    """The published JSON Schema of the current version."""
    return cast("Mapping[str, Any]", json.loads((Path(__file__).parent / "schema.json").read_text(encoding="utf-8")))


def _current(data: Any) -> Any:
    """Older formats as the current one; anything else as it is, for `check_profile` to refuse."""
    if not isinstance(data, dict) or data.get("schema_version") not in (1, 2):
        return data
    data = {**data, "held_power_w": None, "residual": None}
    if data["schema_version"] == 2:
        return {**data, "schema_version": SCHEMA_VERSION}
    domain = data.get("domain")
    return {
        **data,
        "schema_version": SCHEMA_VERSION,
        "network_scores": {},
        "domain": {**domain, "input_distributions": []} if isinstance(domain, dict) else domain,
        "time_law": _current_time_law(data.get("time_law")),
    }


def _current_time_law(law: Any) -> Any:
    """The first version knew one set of rates, beside its spread."""
    if not isinstance(law, dict):
        return law
    rates = {k: v for k, v in law.items() if k not in ("law", "rel_stdev", "nobs")}
    rest = {k: v for k, v in law.items() if k not in rates}
    return {**rest, "rates": rates, "by_class": {}, "dispatch_s": 0.0}


def check_profile(data: Any, *, origin: str = "profile") -> None:
    """Refuse data that is no profile: the schema, then what a schema cannot say. Raises ProfileError."""
    found = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise ProfileError(f"{origin} is no device profile: it has no schema_version; give a profile's .json file")
    if found > SCHEMA_VERSION:
        raise ProfileError(
            f"{origin} has schema version {found}, this energybench reads {SCHEMA_VERSION}; update energybench"
        )
    remedy = "restore the file or calibrate again"
    if found < SCHEMA_VERSION:
        raise ProfileError(f"{origin} has schema version {found}, which never existed; {remedy}")
    for problem in violations(data, profile_schema()):
        raise ProfileError(f"{origin}: {problem}; {remedy}")
    k = len(data["coefficients"])
    if len(data["covariance"]) != k or any(len(row) != k for row in data["covariance"]):
        raise ProfileError(f"{origin}: covariance is not {k} × {k}, one row per coefficient; {remedy}")
    covariance = np.array(data["covariance"], dtype=np.float64)
    if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0) or bool((np.diag(covariance) < 0).any()):
        raise ProfileError(f"{origin}: covariance is not symmetric with a non-negative diagonal; {remedy}")
    residual = data["residual"]
    if residual is not None and {len(point) for point in residual["points"]} != {len(COLUMNS)}:
        raise ProfileError(f"{origin}: residual.points have not {len(COLUMNS)} numbers each; {remedy}")
    if residual is not None and len(residual["points"]) != len(residual["weights"]):
        raise ProfileError(f"{origin}: residual has not one weight a point; {remedy}")
    for name, row in data["coefficients"].items():
        if row["low"] is not None and row["high"] is not None and not row["low"] <= row["value"] <= row["high"]:
            raise ProfileError(f"{origin}: coefficients.{name}.value lies outside its interval; {remedy}")
    for name, limits in data["domain"]["ranges"].items():
        if limits["min"] > limits["max"]:
            raise ProfileError(f"{origin}: domain.ranges.{name} has min above max; {remedy}")
    try:
        equation = equation_from_terms(data["equation"], data["coefficients"])
    except FitError as error:
        raise ProfileError(f"{origin}: {error}") from error
    for name, unit in equation.units.items():
        if data["coefficients"][name]["unit"] != unit:
            raise ProfileError(f"{origin}: coefficients.{name}.unit is not {unit}; {remedy}")


def _json_ready(data: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ProfileError(f"the environment is not JSON ({error}); pass Environment.to_dict()") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be read ({error.strerror}); give the records files that were fitted"
        ) from error
