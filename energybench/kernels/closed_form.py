"""What the closed forms of all families share: bases of traffic, and the tallies of one element type.

Each family's ``counts.py`` gives the counts of its kernels from the shape alone; tests hold them equal to the counting
kernels. Work (macs, adds …) is what the loops do, the same on every rung. Traffic has two bases: ``compulsory``
charges each tensor once, ``issued`` every load and store that a rung's loops make, scratch included. The derivations
stand in ``docs/kernels/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from energybench.errors import CountingError
from energybench.records.op_counts import DTYPE_BYTES, OpCounts

Basis: TypeAlias = Literal["compulsory", "issued"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Elements moved; `weight_loads` is the part of `loads` that reads parameters."""

    loads: int
    stores: int
    weight_loads: int = 0


@dataclass(frozen=True, slots=True)
class CountRequest:
    """What a closed form is asked for, besides the shape."""

    dtype: str
    basis: Basis = "compulsory"
    device: str = "cpu"
    variant: str = "naive"

    def tallies(self, *, compulsory: Traffic, issued: Traffic, launches: int = 1, **work: int) -> OpCounts:
        """Counts with the traffic of the basis, also in bytes, and `work` by name. Raises CountingError."""
        if self.basis not in ("compulsory", "issued"):
            raise CountingError(
                f"native kernels count compulsory and issued traffic, not {self.basis!r}; choose one of the two"
            )
        traffic = compulsory if self.basis == "compulsory" else issued
        size = DTYPE_BYTES[self.dtype]
        return OpCounts.single(
            self.dtype,
            launches=launches,
            traffic_basis=self.basis,
            loads=traffic.loads,
            stores=traffic.stores,
            load_bytes=traffic.loads * size,
            store_bytes=traffic.stores * size,
            weight_load_bytes=traffic.weight_loads * size,
            **work,
        )
