"""Whether records of several runs may enter one fit: one device, one driver, one clock policy, one meter kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError
from energybench.records.device_identity import device_identity
from energybench.records.environment import Environment

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the records themselves.
_COLUMNS: Final[Mapping[str, str]] = {"device": "device", "meter": "meter", "kind": "meter kind", "threads": "threads"}


def refuse_unlike(frame: pd.DataFrame, environments: Mapping[str, Environment]) -> None:
    """Raise RecordError with a list of all that differs unless the records may be fitted together.

    A group is a run in one environment: a run resumed on a changed machine is two. Idle rows say nothing of element
    types. A group whose environment is not at hand is compared by its records alone.

    Args:
        frame: Records, as `energybench.records.frame` gives them.
        environments: Environments by hash.
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
    names = dict.fromkeys(name for identity in groups.values() for name in identity)
    differing = []
    for name in names:
        values = list(dict.fromkeys(repr(identity[name]) for identity in groups.values() if name in identity))
        if len(values) > 1:
            differing.append(f"{name} ({' / '.join(values)})")
    if differing:
        raise RecordError(
            f"records of {len(groups)} runs cannot be pooled, they differ in: {'; '.join(differing)}; fit them apart"
        )


def _identity(rows: pd.DataFrame, environment: Environment | None) -> dict[str, Any]:
    identity: dict[str, Any] = {}
    for column, name in _COLUMNS.items():
        values = list(dict.fromkeys(None if value != value else value for value in rows[column]))
        identity[name] = values[0] if len(values) == 1 else values
    if environment is not None:
        identity.update(device_identity(environment))
        identity["driver"] = environment.facts.get("gpu_driver_version")
    return identity
