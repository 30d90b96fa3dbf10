"""`Observations`: a records frame, checked row by row, as features and energies.

What cannot be fitted or scored is refused here, naming the row; what is left out is counted and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from energybench.errors import FitError, RecordError
from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.records.op_counts import DTYPE_BYTES
from energybench.records.vocabulary import KINDS, Kind
from energybench.units import NS_PER_S

if TYPE_CHECKING:
    import pandas as pd

Target: TypeAlias = Literal["gross", "net"]
TARGETS: Final = ("gross", "net")
LabelArray: TypeAlias = NDArray[np.object_]

_LABELS: Final = (
    "run_id",
    "row_id",
    "workload",
    "network",
    "family",
    "split",
    "kernel_class",
    "implementation",
    "dtype",
)
#: Which unit of a model a row is of is there where several are pooled.
_OPTIONAL_LABELS: Final = ("input_distribution", "unit")
_ONE_VALUE: Final = {
    "kind": "energies of different kinds never mix in one fit",
    "device": "coefficients belong to one device",
    "meter": "meters differ in gain and in what they cover",
    "traffic_basis": "bytes of different bases are different quantities",
}


@dataclass(frozen=True)
class Observations:
    """Rows of one kind, device, meter and traffic basis.

    `table`            features, n rows
    `energy_j`         the target, gross or net of idle, per call, shape (n,)
    `uncertainty_rel`  the window's own standard uncertainty over the energy, NaN where unknown, shape (n,)
    `begin_s`          when the window began, on its run's own clock, NaN where the records do not say, shape (n,)
    `labels`           run_id, row_id, workload, network, family, split, kernel_class, implementation, dtype, and where
                       the records say it input_distribution and unit: (n,) each
    `left_out`         why rows of the frame are not here -> how many
    `sources`          hashes of the environments behind the rows
    """

    table: FeatureTable
    energy_j: FloatArray
    uncertainty_rel: FloatArray
    begin_s: FloatArray
    labels: Mapping[str, LabelArray]
    kind: Kind
    device: str
    meter: str
    traffic_basis: str
    target: Target
    left_out: Mapping[str, int]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.energy_j)

    @property
    def time_s(self) -> FloatArray:
        """Duration of a call, shape (n,)."""
        return self.table.column("time_s")

    @cached_property
    def idle(self) -> BoolArray:
        """Idle windows: they carry static power and are never scored."""
        return np.asarray((self.labels["split"] == "idle") | (self.labels["kernel_class"] == "idle"), dtype=np.bool_)

    @property
    def input_distributions(self) -> tuple[str, ...]:
        """What the inputs of the rows with work were drawn from, as far as the records say."""
        given = self.labels.get("input_distribution")
        if given is None:
            return ()
        return tuple(sorted({str(v) for v in given[~self.idle] if v not in (None, "none")}))

    def row_label(self, i: int) -> str:
        """How a row is named in a message: run, row and workload."""
        return f"{self.labels['run_id'][i]}/{self.labels['row_id'][i]} ({self.labels['workload'][i]})"

    @property
    def idle_energy_j(self) -> FloatArray:
        """Idle power times duration (n,), NaN where unknown."""
        return self.table.column("idle_power_w") * self.time_s

    def with_energy(self, energy_j: FloatArray) -> Observations:
        """The same rows with other energies (n,)."""
        return replace(self, energy_j=energy_j)

    def labels_at(self, index: NDArray[np.intp]) -> Callable[[int], str]:
        """Names of the rows that an index picks, each made when it is asked for: most never are."""
        return lambda i: self.row_label(int(index[i]))

    def take(self, rows: BoolArray) -> Observations:
        """The rows that a mask names."""
        return Observations(
            self.table.take(rows),
            self.energy_j[rows],
            self.uncertainty_rel[rows],
            self.begin_s[rows],
            {k: v[rows] for k, v in self.labels.items()},
            self.kind,
            self.device,
            self.meter,
            self.traffic_basis,
            self.target,
            self.left_out,
            self.sources,
        )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, target: Target = "gross") -> Observations:
        """Check a records frame and take its rows.

        Raises:
            RecordError: no rows, an absent column, a duplicated row, NaN, zero or negative energy or duration.
            FitError: rows of several kinds, devices, meters or traffic bases; a net target without idle power.
        """
        if target not in TARGETS:
            raise FitError(f"target {target!r} is unknown; use gross or net")
        if len(frame) == 0:
            raise RecordError("there are no records; calibrate first: energybench calibrate --design quick")
        needed = (*_LABELS, *_ONE_VALUE, "energy_j", "time_s")
        absent = [name for name in needed if name not in frame.columns]
        if absent:
            raise RecordError(f"records lack the columns {', '.join(absent)}; load them with energybench.load_records")
        labels = {name: _text(frame, name) for name in _LABELS}
        for name in _OPTIONAL_LABELS:
            if name in frame.columns:
                labels[name] = _text(frame, name)
        _refuse_duplicates(labels)
        left_out: dict[str, int] = {}
        if "valid" in frame.columns:
            valid = np.array([bool(v) for v in frame["valid"].to_numpy(dtype=object)], dtype=np.bool_)
            if not valid.all():
                left_out["window marked invalid"] = int((~valid).sum())
                if not valid.any():
                    raise RecordError("every window is marked invalid; see invalid_reason and measure again")
                frame = frame[valid]
                labels = {name: values[valid] for name, values in labels.items()}
        own = _on_the_usual_threads(frame)
        if not own.all():
            left_out["on other CPU threads than most rows"] = int((~own).sum())
            frame = frame[own]
            labels = {name: values[own] for name, values in labels.items()}
        one = {name: _single(frame, labels, name, why) for name, why in _ONE_VALUE.items()}
        if one["kind"] not in KINDS:
            raise RecordError(f"kind {one['kind']!r} is unknown; it is one of {', '.join(KINDS)}")
        gross = _numbers(frame, "energy_j")
        time_s = _numbers(frame, "time_s")
        for name, values in (("energy_j", gross), ("time_s", time_s)):
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if bad.size:
                i = int(bad[0])
                raise RecordError(
                    f"{_name(labels, i)}: {name} is {values[i]:g}; a measurement is finite and positive, "
                    "remove the row or measure it again with longer windows"
                )
        table = FeatureTable.from_frame(frame)
        energy = gross
        if target == "net":
            idle_w = table.column("idle_power_w")
            bad = np.flatnonzero(~np.isfinite(idle_w))
            if bad.size:
                raise FitError(
                    f"{_name(labels, int(bad[0]))}: no idle power beside it, so there is no net energy; "
                    "use target='gross' or calibrate with idle windows"
                )
            energy = gross - idle_w * time_s
        uncertainty = (
            _numbers(frame, "energy_uncertainty_j") if "energy_uncertainty_j" in frame.columns else gross * np.nan
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            uncertainty_rel = np.where(uncertainty > 0, uncertainty / energy, np.nan)
        begin_s = _numbers(frame, "begin_ns") / NS_PER_S if "begin_ns" in frame.columns else np.full(len(frame), np.nan)
        sources = (
            tuple(sorted(set(map(str, frame["environment_sha256"])))) if "environment_sha256" in frame.columns else ()
        )
        rows = cls(
            table,
            energy,
            uncertainty_rel,
            begin_s,
            labels,
            cast(Kind, one["kind"]),
            one["device"],
            one["meter"],
            one["traffic_basis"],
            target,
            left_out,
            sources,
        )
        return rows._positive_net() if target == "net" else rows

    def _positive_net(self) -> Observations:
        """Without idle windows, whose net energy is nothing but noise, and without rows that drew less than idle."""
        work = ~self.idle
        below = work & ~(self.energy_j > 0)
        if below.sum() > 0.2 * max(work.sum(), 1):
            i = int(np.flatnonzero(below)[0])
            raise FitError(
                f"{self.row_label(i)} and {int(below.sum()) - 1} more rows used no more than idle power; "
                "use target='gross' or measure idle power again"
            )
        left_out = dict(self.left_out)
        if below.any():
            left_out["net energy not positive"] = int(below.sum())
        if self.idle.any():
            left_out["idle windows (the target is net of idle)"] = int(self.idle.sum())
        kept = self.take(work & ~below)
        object.__setattr__(kept, "left_out", left_out)
        return kept

    def dtypes(self) -> tuple[str, ...]:
        """Element types in which the rows make MACs."""
        return tuple(d for d in DTYPE_BYTES if d in self.table.dtypes)


def _text(frame: pd.DataFrame, name: str) -> LabelArray:
    values = frame[name].to_numpy(dtype=object)
    # a missing text may arrive as None, NaN or pandas.NA
    if all(type(v) is str for v in values):
        return np.asarray(values, dtype=object)
    return np.array([v if isinstance(v, str) else None if _missing(v) else str(v) for v in values], dtype=object)


def _missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"


def usual_threads(frame: pd.DataFrame) -> float | None:
    """The number of CPU threads that most rows ran on, the smaller of two as frequent; None where no row has one."""
    if "threads" not in frame.columns:
        return None
    threads = frame["threads"].to_numpy(dtype=np.float64, na_value=np.nan)
    numbers, counts = np.unique(threads[np.isfinite(threads)], return_counts=True)
    return float(numbers[np.argmax(counts)]) if len(numbers) else None


def _on_the_usual_threads(frame: pd.DataFrame) -> BoolArray:
    """Rows on that number, or on none, (n,): coefficients and durations belong to one number of threads."""
    usual = usual_threads(frame)
    if usual is None:
        return np.ones(len(frame), dtype=np.bool_)
    threads = frame["threads"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(np.isnan(threads) | (threads == usual), dtype=np.bool_)


def _numbers(frame: pd.DataFrame, name: str) -> FloatArray:
    return np.asarray(frame[name].to_numpy(dtype=np.float64, na_value=np.nan))


def _name(labels: Mapping[str, LabelArray], i: int) -> str:
    return f"row {labels['run_id'][i]}/{labels['row_id'][i]} ({labels['workload'][i]})"


def _refuse_duplicates(labels: Mapping[str, LabelArray]) -> None:
    seen: set[tuple[object, object]] = set()
    for i, key in enumerate(zip(labels["run_id"], labels["row_id"], strict=True)):
        if key in seen:
            raise RecordError(f"{_name(labels, i)} is there twice; give each records file once")
        seen.add(key)


def _single(frame: pd.DataFrame, labels: Mapping[str, LabelArray], name: str, why: str) -> str:
    values = _text(frame, name)
    differs = np.flatnonzero(values != values[0])
    if differs.size:
        i = int(differs[0])
        raise FitError(
            f"{_name(labels, i)} has {name} {values[i]!r} and {_name(labels, 0)} has {values[0]!r}: {why}; "
            f"choose the rows of one {name}"
        )
    return str(values[0])
