"""Power of one GPU through NVML's power fields, asked for by field id and scope, beside the energy counter.

``nvmlDeviceGetPowerUsage`` is an average over a second on some boards and an instant on others; the fields say which.
Power is read to check the counter and to describe the device, never to stand in for the counter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from energybench.units import Watt, mw_to_w

PowerScope = Literal["gpu", "module", "memory"]
PowerAverage = Literal["instant", "average"]

# Field ids and scopes of nvml.h: NVML_FI_DEV_POWER_*, NVML_POWER_SCOPE_*.
_FIELDS: Final[Mapping[PowerAverage, int]] = MappingProxyType({"average": 185, "instant": 186})
_SCOPES: Final[Mapping[PowerScope, int]] = MappingProxyType({"gpu": 0, "module": 1, "memory": 2})


@dataclass(frozen=True, slots=True)
class PowerField:
    """One power field: what it covers, and whether it is an instant or a running average."""

    scope: PowerScope
    average: PowerAverage


def read_power_fields(library: Any, handle: Any) -> Mapping[PowerField, Watt]:
    """Every power field that this board answers, in watts. Empty where it answers none. Raises nothing."""
    asked = [
        (PowerField(scope, average), field, n) for average, field in _FIELDS.items() for scope, n in _SCOPES.items()
    ]
    query = getattr(library, "nvmlDeviceGetFieldValues", None)
    if query is None:
        return {}
    try:
        values = query(handle, [(field, scope) for _, field, scope in asked])
    except library.NVMLError:
        return {}
    # A field may be refused while the call succeeds: each carries its own return code. 0 W is no reading of a board
    # that is switched on: drivers give it where they were asked too fast.
    return {
        which: mw_to_w(value.value.uiVal)
        for (which, _, _), value in zip(asked, values, strict=True)
        if value.nvmlReturn == 0 and value.value.uiVal > 0
    }
