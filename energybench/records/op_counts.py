"""`OpCounts`: exact tallies of arithmetic and memory traffic, keyed by element type.

A *count* is an exact tally made by our code; a *counter* is a hardware register. The terms are those of the design,
section 2, and of ``docs/counting.md``:

``macs``          one multiply with its accumulate that is executed; taps that fall on padding are left out
``nominal_macs``  the same with the padding taps, which is what most tools print
``tile_macs``     what a tiled or tensor-core kernel multiplies, 0 where the kernel is not tiled
``adds muls divs compares specials``  work that is not part of a MAC; specials are exp, tanh, erf, sqrt, rsqrt …
``loads stores``  elements moved; ``load_bytes store_bytes`` their size
``weight_load_bytes``  the part of ``load_bytes`` that reads parameters, the rest reads activations [D33]
``launches``      kernels launched (CPU: parallel regions or library calls)

Traffic has a *basis*: ``compulsory`` (each tensor once per operator), ``issued`` (what a native kernel's loops ask
for), ``cache_model``, ``hardware``. Sums of different bases are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from energybench.errors import CountingError, RecordError

TrafficBasis: TypeAlias = Literal["compulsory", "issued", "cache_model", "hardware"]
TRAFFIC_BASES: Final[tuple[str, ...]] = get_args(TrafficBasis)

#: Element types and their size in bytes. Names are torch's without the ``torch.`` prefix.
DTYPE_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "float64": 8,
        "float32": 4,
        "tf32": 4,
        "float16": 2,
        "bfloat16": 2,
        "float8_e4m3fn": 1,
        "float8_e5m2": 1,
        "complex64": 8,
        "complex128": 16,
        "int64": 8,
        "int32": 4,
        "int16": 2,
        "int8": 1,
        "uint8": 1,
        "bool": 1,
    }
)

#: Short names for coefficients: ``mac_fp32_j`` is the energy of one float32 MAC.
DTYPE_SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "float64": "fp64",
        "float32": "fp32",
        "tf32": "tf32",
        "float16": "fp16",
        "bfloat16": "bf16",
        "float8_e4m3fn": "fp8e4m3",
        "float8_e5m2": "fp8e5m2",
        "complex64": "c64",
        "complex128": "c128",
        "int64": "int64",
        "int32": "int32",
        "int16": "int16",
        "int8": "int8",
        "uint8": "uint8",
        "bool": "bool",
    }
)


@dataclass(frozen=True, slots=True)
class DtypeCounts:
    """The tallies of one element type; all non-negative integers."""

    macs: int = 0
    nominal_macs: int = 0
    tile_macs: int = 0
    adds: int = 0
    muls: int = 0
    divs: int = 0
    compares: int = 0
    specials: int = 0
    loads: int = 0
    stores: int = 0
    load_bytes: int = 0
    store_bytes: int = 0
    weight_load_bytes: int = 0

    def __post_init__(self) -> None:
        for name in COUNT_FIELDS:
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise CountingError(f"{name}={value!r} is not a non-negative integer; counts are exact tallies")

    @property
    def other_flops(self) -> int:
        """Floating-point operations outside MACs."""
        return self.adds + self.muls + self.divs + self.compares + self.specials

    @property
    def flops(self) -> int:
        """All operations, a MAC as two."""
        return 2 * self.macs + self.other_flops

    @property
    def accesses(self) -> int:
        """Elements loaded and stored."""
        return self.loads + self.stores

    def __add__(self, other: DtypeCounts) -> DtypeCounts:
        return DtypeCounts(*(getattr(self, n) + getattr(other, n) for n in COUNT_FIELDS))

    def scaled(self, times: int) -> DtypeCounts:
        """The tallies of `times` equal calls."""
        return DtypeCounts(*(getattr(self, n) * times for n in COUNT_FIELDS))

    def to_dict(self) -> dict[str, int]:
        """Fields that are not zero."""
        return {n: v for n in COUNT_FIELDS if (v := getattr(self, n))}


COUNT_FIELDS: Final[tuple[str, ...]] = tuple(f.name for f in fields(DtypeCounts))


@dataclass(frozen=True)
class OpCounts:
    """Tallies by element type, with the launches and the basis of the traffic."""

    by_dtype: Mapping[str, DtypeCounts] = field(default_factory=dict)
    launches: int = 0
    traffic_basis: TrafficBasis = "compulsory"

    def __post_init__(self) -> None:
        if self.traffic_basis not in TRAFFIC_BASES:
            raise CountingError(
                f"traffic basis {self.traffic_basis!r} is unknown; use one of {', '.join(TRAFFIC_BASES)}"
            )
        if type(self.launches) is not int or self.launches < 0:
            raise CountingError(f"launches={self.launches!r} is not a non-negative integer; counts are exact tallies")
        for dtype in self.by_dtype:
            if dtype not in DTYPE_BYTES:
                raise CountingError(f"element type {dtype!r} is unknown; add it to DTYPE_BYTES in op_counts.py")
        object.__setattr__(self, "by_dtype", MappingProxyType(dict(sorted(self.by_dtype.items()))))

    @classmethod
    def single(
        cls, dtype: str, *, launches: int = 0, traffic_basis: TrafficBasis = "compulsory", **tallies: int
    ) -> OpCounts:
        """Counts of one element type: ``OpCounts.single("float32", macs=10, loads=20, load_bytes=80)``."""
        return cls({dtype: DtypeCounts(**tallies)}, launches, traffic_basis)

    @classmethod
    def sum(cls, counts: Iterable[OpCounts], *, traffic_basis: TrafficBasis = "compulsory") -> OpCounts:
        """The sum of all, empty counts of `traffic_basis` where there are none. Raises CountingError on mixed bases."""
        tallies: dict[str, list[int]] = {}
        launches = 0
        for item in counts:
            if item.traffic_basis != traffic_basis:
                raise CountingError(
                    f"counts with {item.traffic_basis} traffic cannot be added to {traffic_basis} traffic; "
                    "count both on the same basis"
                )
            launches += item.launches
            for dtype, one in item.by_dtype.items():
                row = tallies.setdefault(dtype, [0] * len(COUNT_FIELDS))
                for i, name in enumerate(COUNT_FIELDS):
                    row[i] += getattr(one, name)
        return cls({d: DtypeCounts(*row) for d, row in tallies.items()}, launches, traffic_basis)

    def _total(self, name: str) -> int:
        return sum(cast(int, getattr(c, name)) for c in self.by_dtype.values())

    @property
    def macs(self) -> int:
        return self._total("macs")

    @property
    def nominal_macs(self) -> int:
        return self._total("nominal_macs")

    @property
    def tile_macs(self) -> int:
        return self._total("tile_macs")

    @property
    def adds(self) -> int:
        return self._total("adds")

    @property
    def muls(self) -> int:
        return self._total("muls")

    @property
    def divs(self) -> int:
        return self._total("divs")

    @property
    def compares(self) -> int:
        return self._total("compares")

    @property
    def specials(self) -> int:
        return self._total("specials")

    @property
    def loads(self) -> int:
        return self._total("loads")

    @property
    def stores(self) -> int:
        return self._total("stores")

    @property
    def load_bytes(self) -> int:
        return self._total("load_bytes")

    @property
    def store_bytes(self) -> int:
        return self._total("store_bytes")

    @property
    def weight_load_bytes(self) -> int:
        return self._total("weight_load_bytes")

    @property
    def other_flops(self) -> int:
        """Operations outside MACs: adds + muls + divs + compares + specials."""
        return self._total("other_flops")

    @property
    def flops(self) -> int:
        """2·macs + other_flops."""
        return self._total("flops")

    @property
    def accesses(self) -> int:
        """loads + stores, in elements."""
        return self._total("accesses")

    @property
    def bytes(self) -> int:
        """load_bytes + store_bytes."""
        return self.load_bytes + self.store_bytes

    def __add__(self, other: OpCounts) -> OpCounts:
        return OpCounts.sum((self, other), traffic_basis=self.traffic_basis)

    def scaled(self, times: int) -> OpCounts:
        """The tallies of `times` equal calls."""
        return OpCounts(
            {d: c.scaled(times) for d, c in self.by_dtype.items()}, self.launches * times, self.traffic_basis
        )

    def totals(self) -> dict[str, int]:
        """Every tally and derived total as one flat mapping: the ``total`` of ``count --json``."""
        sums = dict.fromkeys(COUNT_FIELDS, 0)
        for tallies in self.by_dtype.values():  # one pass: a hundred thousand records are read through here
            for name in COUNT_FIELDS:
                sums[name] += getattr(tallies, name)
        other = sum(sums[name] for name in ("adds", "muls", "divs", "compares", "specials"))
        return {
            **sums,
            "other_flops": other,
            "flops": 2 * sums["macs"] + other,
            "accesses": sums["loads"] + sums["stores"],
            "bytes": sums["load_bytes"] + sums["store_bytes"],
            "launches": self.launches,
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; zero tallies are left out, so that a record stays slim."""
        return {
            "launches": self.launches,
            "traffic_basis": self.traffic_basis,
            "by_dtype": {d: c.to_dict() for d, c in self.by_dtype.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OpCounts:
        """The inverse of `to_dict`. Raises RecordError on anything that `to_dict` cannot have written."""
        try:
            by_dtype = {str(d): DtypeCounts(**c) for d, c in data["by_dtype"].items()}
            return cls(by_dtype, data["launches"], data["traffic_basis"])
        except (CountingError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"counts are malformed ({error}); write them with OpCounts.to_dict") from error
