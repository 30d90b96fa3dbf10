"""Sealed networks: rows that score a fit once and never enter one.

The list lies beside this module and was made before any of its rows was measured. Each entry has the hash of what the
row is (network, shape, element type, direction and counts of one call), so that neither the list nor a network can
change unnoticed; a test derives it again.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from energybench.errors import RecordError

SEALED_NAME: Final = "sealed_networks.json"


@functools.cache
def sealed_networks() -> Mapping[str, str]:
    """Hash by workload, in the order of the list."""
    data = json.loads((files("energybench.records") / SEALED_NAME).read_text(encoding="utf-8"))
    return dict(data["workloads"])


def sealed_hash(description: Mapping[str, Any]) -> str:
    """Hash of the canonical JSON form of what a row is."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def network_of(workload: str) -> str | None:
    """The network in a workload's name, ``network/NAME/…``; None for an operator."""
    kind, _, rest = workload.partition("/")
    return rest.partition("/")[0] if kind == "network" else None


def refuse_sealed(workloads: Iterable[str], networks: Iterable[str | None] = ()) -> None:
    """Raise RecordError where a row is of a sealed network, in whatever configuration or split."""
    sealed = {network_of(name) for name in sealed_networks()}
    found = sorted({name for name in (*map(network_of, workloads), *networks) if name in sealed and name is not None})
    if found:
        raise RecordError(
            f"the records hold sealed networks ({', '.join(found)}), which score a finished fit once and never enter "
            "one; fit the other runs, then score these with: energybench compare RUN --profile PROFILE"
        )
