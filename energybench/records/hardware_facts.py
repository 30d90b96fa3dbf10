"""What a device says of itself that optional terms need: one set of names, whatever the part calls them.

The environment of a run keeps facts under names of their source (``gpu_power_limit_w`` from NVML). Analysis reads four,
as columns beside each record: a fact that nobody told is None and NaN there, never a datasheet's guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from energybench.records.environment import Fact

#: Column -> facts that may hold it, the first that is a positive number stands.
_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "last_cache_bytes": ("last_cache_bytes",),
    "compute_units": ("compute_units",),
    "highest_clock_mhz": ("highest_clock_mhz", "gpu_clock_sm_max_mhz"),
    "power_cap_w": ("power_cap_w", "gpu_power_limit_w"),
}
HARDWARE_COLUMNS: Final = tuple(_SOURCES)


def hardware_columns(facts: Mapping[str, Fact]) -> dict[str, float | None]:
    """`HARDWARE_COLUMNS` -> the device's own word, None where it says nothing.

    `last_cache_bytes`   size of the last cache before memory
    `compute_units`      that work on one tile each at a time (SMs, cores)
    `highest_clock_mhz`  that the device may reach
    `power_cap_w`        power limit in force
    """
    return {column: _first(facts, names) for column, names in _SOURCES.items()}


def _first(facts: Mapping[str, Fact], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = facts.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
    return None
