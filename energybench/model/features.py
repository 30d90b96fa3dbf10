"""The one function that turns counts into a feature row, and the table of such rows that every equation reads.

A row of a records frame and a row made from counts for an estimate carry the same columns, so that a coefficient is
applied to exactly what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from energybench.errors import RecordError
from energybench.records.environment import Fact
from energybench.records.hardware_facts import HARDWARE_COLUMNS, hardware_columns
from energybench.records.input_distribution import zero_share
from energybench.records.model_counts import ModelCounts
from energybench.records.op_counts import DTYPE_BYTES, OpCounts
from energybench.records.timed_operator import TimedOperator
from energybench.records.vocabulary import COMPONENTS, KERNEL_CLASSES, KernelClass
from energybench.units import Second, Watt

if TYPE_CHECKING:
    import pandas as pd

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: Tallies that every row has, summed over element types.
COUNT_COLUMNS: Final = (
    "macs",
    "nominal_macs",
    "other_flops",
    "flops",
    "loads",
    "stores",
    "accesses",
    "load_bytes",
    "store_bytes",
    "bytes",
    "launches",
    "weight_load_bytes",
)
#: MACs by element type; a column that is absent is zero.
MAC_COLUMNS: Final[Mapping[str, str]] = {dtype: f"macs_{dtype}" for dtype in DTYPE_BYTES}
#: MACs by element type and kernel class; made from `ModelCounts`, or from a row's own kernel class.
MAC_CLASS_COLUMNS: Final[Mapping[tuple[str, str], str]] = {
    (dtype, kernel_class): f"macs_{dtype}_{kernel_class}" for dtype in DTYPE_BYTES for kernel_class in KERNEL_CLASSES
}
#: Counted work of the parts that [D18] prices.
COMPONENT_COLUMNS: Final[Mapping[str, str]] = {name: f"flops_{name}" for name in COMPONENTS}
#: Share of that work in the whole model's FLOPs (η, θ, λ); derived unless given, as it is for a part of a model.
SHARE_COLUMNS: Final[Mapping[str, str]] = {name: f"share_{name}" for name in COMPONENTS}

#: What a window says of the device's state and of the kernels' grid, NaN where nobody told: the mean clock, and how
#: many units were busy, summed over the waves in which blocks or tiles came, and how many waves these were.
STATE_COLUMNS: Final = ("clock_mhz", "tiles", "waves")

_REQUIRED: Final = (*COUNT_COLUMNS, "parameters", "operators", "time_s")
_OPTIONAL_ZERO: Final = (*MAC_COLUMNS.values(), *MAC_CLASS_COLUMNS.values(), *COMPONENT_COLUMNS.values(), "tile_macs")
_OPTIONAL_NAN: Final = ("tdp_w", "idle_power_w", *STATE_COLUMNS, *HARDWARE_COLUMNS, *SHARE_COLUMNS.values())


def feature_row(
    counts: ModelCounts | OpCounts,
    *,
    time_s: Second,
    parameters: int | None = None,
    kernel_class: KernelClass | None = None,
    tdp_w: Watt | None = None,
    idle_power_w: Watt | None = None,
) -> dict[str, Any]:
    """The features of one call, as one row.

    Args:
        counts: tallies of the call; `ModelCounts` also gives M, the operators and the parts by kernel class.
        time_s: duration of the call, NaN where it is not known yet.
        parameters: M; taken from `ModelCounts` unless given, 0 for bare `OpCounts`.
        kernel_class: of bare `OpCounts`; ``network`` for `ModelCounts`.
        tdp_w: rated power, for the TDP null model.
        idle_power_w: idle power, for the net target.
    """
    total = counts.total if isinstance(counts, ModelCounts) else counts
    row: dict[str, Any] = {name: getattr(total, name) for name in COUNT_COLUMNS}
    for dtype, tallies in total.by_dtype.items():
        if tallies.macs:
            row[MAC_COLUMNS[dtype]] = tallies.macs
    row["tile_macs"] = total.tile_macs
    row["time_s"] = time_s
    row["tdp_w"] = np.nan if tdp_w is None else tdp_w
    row["idle_power_w"] = np.nan if idle_power_w is None else idle_power_w
    if isinstance(counts, ModelCounts):
        row["parameters"] = counts.parameters if parameters is None else parameters
        row["operators"] = counts.calls
        row["kernel_class"] = kernel_class or "network"
        for component, flops in counts.component_flops().items():
            row[COMPONENT_COLUMNS[component]] = flops
        for name, part in counts.by_kernel_class().items():
            for dtype, tallies in part.by_dtype.items():
                if tallies.macs:
                    row[MAC_CLASS_COLUMNS[dtype, name]] = tallies.macs
    else:
        row["parameters"] = parameters or 0
        row["operators"] = total.launches
        row["kernel_class"] = kernel_class or "probe"
    return row


def timed_table(timed: Iterable[TimedOperator]) -> FeatureTable:
    """Timed operators as a table, for a time law."""
    return FeatureTable.from_rows(
        feature_row(one.counts, time_s=one.time_s, kernel_class=one.kernel_class) for one in timed
    )


@dataclass(frozen=True)
class FeatureTable:
    """Columns of features, all of one length; what `Equation.features` reads.

    `numbers`       float64 columns by name, shape (n,)
    `kernel_class`  one kernel class a row, shape (n,)
    """

    numbers: Mapping[str, FloatArray]
    kernel_class: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.kernel_class)

    def __contains__(self, name: object) -> bool:
        return name in self.numbers

    def column(self, name: str) -> FloatArray:
        """One column, shape (n,): zeros for tallies that no row has, NaN for powers and shares that no row has."""
        if name in self.numbers:
            return self.numbers[name]
        return np.full(len(self), np.nan if name in _OPTIONAL_NAN else 0.0)

    def take(self, rows: BoolArray | NDArray[np.intp]) -> FeatureTable:
        """The rows that a mask or an index names."""
        return FeatureTable({k: v[rows] for k, v in self.numbers.items()}, self.kernel_class[rows])

    def with_column(self, name: str, values: FloatArray) -> FeatureTable:
        """The same table with one column replaced or added."""
        return FeatureTable({**self.numbers, name: np.asarray(values, dtype=np.float64)}, self.kernel_class)

    def with_facts(self, facts: Mapping[str, Fact]) -> FeatureTable:
        """The same table with what a device says of itself, where it says so and the table does not have it."""
        told = {name: value for name, value in hardware_columns(facts).items() if value is not None}
        absent = {name: np.full(len(self), value) for name, value in told.items() if name not in self.numbers}
        return FeatureTable({**self.numbers, **absent}, self.kernel_class)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Element types in which any row makes MACs."""
        return tuple(d for d, c in MAC_COLUMNS.items() if c in self.numbers and bool(np.any(self.numbers[c] > 0)))

    def macs_of_class(self, dtype: str, kernel_class: str) -> FloatArray:
        """MACs of one element type in one kernel class, shape (n,).

        A row without a break-down belongs to its own kernel class as a whole.
        """
        name = MAC_CLASS_COLUMNS[dtype, kernel_class]
        given = self.column(name)
        has_parts = np.zeros(len(self), dtype=np.bool_)
        for other in KERNEL_CLASSES:
            has_parts |= self.column(MAC_CLASS_COLUMNS[dtype, other]) > 0
        own = np.where(self.kernel_class == kernel_class, self.column(MAC_COLUMNS[dtype]), 0.0)
        return np.where(has_parts, given, own)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> FeatureTable:
        """A table from rows that `feature_row` made."""
        listed = list(rows)
        names = {name for row in listed for name in row} - {"kernel_class"}
        numbers = {
            name: np.array(
                [row.get(name, np.nan if name in _OPTIONAL_NAN else 0.0) for row in listed], dtype=np.float64
            )
            for name in sorted(names)
        }
        return cls(numbers, np.array([row["kernel_class"] for row in listed], dtype=object))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> FeatureTable:
        """A table from a records frame. Raises RecordError on a column that is absent or a tally that cannot be."""
        absent = [name for name in (*_REQUIRED, "kernel_class") if name not in frame.columns]
        if absent:
            raise RecordError(f"records lack the columns {', '.join(absent)}; load them with energybench.load_records")
        numbers: dict[str, FloatArray] = {}
        for name in (*_REQUIRED, *_OPTIONAL_ZERO, *_OPTIONAL_NAN):
            if name not in frame.columns:
                continue
            values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            if name in _OPTIONAL_ZERO:
                values = np.nan_to_num(values, nan=0.0, posinf=np.inf)
            if name not in _OPTIONAL_NAN:
                bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
                if bad.size:
                    raise RecordError(
                        f"row {bad[0]}: {name} is {values[bad[0]]:g}; counts and durations "
                        "are finite and not negative, remove or measure the row again"
                    )
            numbers[name] = values
        if "input_distribution" in frame.columns:
            shares = {text: zero_share(text) for text in frame["input_distribution"].unique()}
            numbers["zero_share"] = frame["input_distribution"].map(shares).to_numpy(dtype=np.float64)
        if "caches" in frame.columns:
            numbers["is_cold"] = np.asarray(frame["caches"].to_numpy(dtype=object) == "cold", dtype=np.float64)
        return cls(numbers, frame["kernel_class"].to_numpy(dtype=object))
