"""What the closed forms of all families share: bases of traffic, and the tallies of one element type.

Each family's ``counts.py`` gives the counts of its kernels from the shape alone; tests hold them equal to the counting
kernels. Work (macs, adds …) is what the loops do, the same on every rung. Traffic has two bases: ``compulsory``
charges each tensor once, ``issued`` every load and store that a rung's loops make, scratch included. The derivations
stand in ``docs/kernels/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
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

    def tallies(
        self,
        *,
        compulsory: Traffic,
        issued: Traffic,
        launches: int = 1,
        others: Mapping[str, Traffic] = MappingProxyType({}),
        **work: int,
    ) -> OpCounts:
        """Counts with the traffic of the basis, also in bytes, and `work` by name. Raises CountingError.

        `others` is what is moved of other element types on either basis: places as int64, masks as uint8.
        """
        if self.basis not in ("compulsory", "issued"):
            raise CountingError(
                f"native kernels count compulsory and issued traffic, not {self.basis!r}; choose one of the two"
            )
        traffic = compulsory if self.basis == "compulsory" else issued
        total = self._moved(self.dtype, traffic, launches=launches, **work)
        for dtype, moved in others.items():
            total = total + self._moved(dtype, moved)
        return total

    def _moved(self, dtype: str, traffic: Traffic, **more: int) -> OpCounts:
        size = DTYPE_BYTES[dtype]
        return OpCounts.single(
            dtype,
            traffic_basis=self.basis,
            loads=traffic.loads,
            stores=traffic.stores,
            load_bytes=traffic.loads * size,
            store_bytes=traffic.stores * size,
            weight_load_bytes=traffic.weight_loads * size,
            **more,
        )
