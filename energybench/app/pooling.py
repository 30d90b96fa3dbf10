"""Whether records of several runs may enter one fit: one device, one driver, one clock policy, one meter kind.

Another unit of the same model may join where that is asked for, as a block of its own with its own gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError
from energybench.fitting.unit_gains import UnitGain, unit_gain
from energybench.model.observations import usual_threads
from energybench.records.device_identity import device_identity
from energybench.records.environment import Environment

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the records themselves.
_COLUMNS: Final[Mapping[str, str]] = {"device": "device", "meter": "meter", "kind": "meter kind"}


#: What tells one unit of a model from another.
_UNIT: Final = "device UUID"


def join_units(
    frame: pd.DataFrame, environments: Mapping[str, Environment]
) -> tuple[pd.DataFrame, Mapping[str, UnitGain]]:
    """The records with a column `unit`, which gives each unit a gain in the fit, and what common workloads say of it.

    A unit is known by its UUID. Its rows are one block with one gain over the unit of the first row; a unit without a
    UUID cannot be told from the first and is taken for it.

    Raises RecordError as `unit_gain`.
    """
    uuids = {sha256: environment.device_uuid for sha256, environment in environments.items()}
    unit = frame["environment_sha256"].map(uuids)
    names = list(dict.fromkeys(unit.dropna()))
    gains: dict[str, UnitGain] = {}
    joined = frame.assign(unit=unit.fillna(names[0]) if names else "")
    usable = frame["valid"] & (frame["split"] == "fit")
    energies = {name: frame[usable & (unit == name)].groupby("workload")["energy_j"].mean().to_dict() for name in names}
    for name in names[1:]:
        gains[str(name)] = unit_gain(energies[names[0]], energies[name])
    return joined, gains


def refuse_unlike(frame: pd.DataFrame, environments: Mapping[str, Environment], *, other_units: bool = False) -> None:
    """Raise RecordError with a list of all that differs unless the records may be fitted together.

    A group is a run in one environment: a run resumed on a changed machine is two. Idle rows say nothing of element
    types. A group whose environment is not at hand is compared by its records alone.

    Args:
        frame: Records, as `energybench.records.frame` gives them.
        environments: Environments by hash.
        other_units: Let runs of other units of the same model pass, which `join_units` then gives gains.
    """
    groups = {
        key: _identity(rows, environments.get(str(key[1])))
        for key, rows in frame.groupby(["run_id", "environment_sha256"], sort=False)
    }
    of_run = {
        str(run): ", ".join(sorted(set(rows["dtype"])))
        for run, rows in frame[frame["split"] != "idle"].groupby("run_id", sort=False)
    }
    for (run, _), identity in groups.items():
        if str(run) in of_run:
            identity["element types"] = of_run[str(run)]
    units = {identity.pop(_UNIT) for identity in groups.values() if _UNIT in identity} if other_units else set()
    names = dict.fromkeys(name for identity in groups.values() for name in identity)
    differing = []
    for name in names:
        values = list(dict.fromkeys(repr(identity[name]) for identity in groups.values() if name in identity))
        if len(values) > 1:
            differing.append(f"{name} ({' / '.join(values)})")
    if differing:
        is_unit = len(differing) == 1 and differing[0].startswith(_UNIT)
        remedy = "; fit them apart" + (", or as units of one model with --pool-units" if is_unit else "")
        raise RecordError(
            f"records of {len(groups)} runs cannot be pooled, they differ in: {'; '.join(differing)}{remedy}"
        )
    if None in units and len(units) > 1:
        raise RecordError("a run does not say which unit it was made on; fit it apart")


def _identity(rows: pd.DataFrame, environment: Environment | None) -> dict[str, Any]:
    identity: dict[str, Any] = {}
    for column, name in _COLUMNS.items():
        values = list(dict.fromkeys(None if value != value else value for value in rows[column]))
        identity[name] = values[0] if len(values) == 1 else values
    # a design may sweep threads; what a fit takes is the rows on the usual number
    identity["threads"] = usual_threads(rows)
    if environment is not None:
        identity.update(device_identity(environment))
        identity["driver"] = environment.facts.get("gpu_driver_version")
    return identity
