"""`Environment`: the state of the machine, captured once per run; records refer to it by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from energybench.errors import RecordError
from energybench.records.reading import MeterCharacteristics

Fact: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and with what a run was made.

    `device_name`      the part's own name ("NVIDIA H100 80GB HBM3", "Intel(R) Xeon(R) Processor", a scenario's name)
    `device_uuid`      NVML UUID of a GPU, None where the part has none
    `facts`            driver, kernel, governor, turbo, clocks, power limit, CPU count … by name with unit suffix
    `versions`         energybench, python, torch, numpy … by package
    `git_commit`       commit of the tree that ran, None outside a checkout
    `characteristics`  what characterising the meter found
    """

    device: str
    device_name: str
    device_uuid: str | None
    meter: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    characteristics: MeterCharacteristics | None = None

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON form."""
        return environment_sha256(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Environment:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            characteristics = data.get("characteristics")
            return cls(
                **{
                    **data,
                    "characteristics": MeterCharacteristics(**characteristics) if characteristics else None,
                }
            )
        except (TypeError, AttributeError) as error:
            raise RecordError(f"environment is malformed ({error}); write it with Environment.to_dict") from error


def environment_sha256(data: Mapping[str, Any]) -> str:
    """Hash of an environment's canonical JSON form, whatever fields the version that wrote it had."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
