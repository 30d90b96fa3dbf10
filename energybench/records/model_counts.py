"""`ModelCounts`: the exact counts of one model call, operator by operator.

The rows are written by `energybench.counting`; everything here is arithmetic on them, without torch, so that an
estimate can be made from a saved file on a machine that has no torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from energybench.errors import RecordError
from energybench.notebook import html_lines, html_table
from energybench.records.op_counts import OpCounts, TrafficBasis
from energybench.records.vocabulary import Component, Direction, KernelClass

if TYPE_CHECKING:
    import pandas as pd

#: Operators a notebook shows; `to_frame` has all of them.
_NOTEBOOK_ROWS = 12

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class OperatorCounts:
    """One operator at one place of a model: all of its calls in one direction together.

    `operator`   the operator's name, ``aten.convolution`` or ``gru``
    `module`     dotted path of the module that called it, ``""`` for the model itself
    `calls`      how often it ran [D3]
    `counts`     tallies of all calls together
    `covered`    False where no formula exists; its traffic is then the size of its tensors and its work unknown
    `component`  the part of a Transformer it belongs to [D18], None outside
    """

    operator: str
    module: str
    direction: Direction
    kernel_class: KernelClass
    calls: int
    counts: OpCounts
    covered: bool = True
    component: Component | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        row: dict[str, Any] = {
            "operator": self.operator,
            "module": self.module,
            "direction": self.direction,
            "kernel_class": self.kernel_class,
            "calls": self.calls,
            "counts": self.counts.to_dict(),
        }
        if not self.covered:
            row["covered"] = False
        if self.component is not None:
            row["component"] = self.component
        return row

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperatorCounts:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            return cls(**{**data, "counts": OpCounts.from_dict(data["counts"])})
        except (KeyError, TypeError) as error:
            raise RecordError(f"operator row is malformed ({error}); write it with OperatorCounts.to_dict") from error


@dataclass(frozen=True)
class ModelCounts:
    """Counts of one call of a model.

    `rows`             one `OperatorCounts` per operator, module and direction
    `parameters`       number of parameters, M of the document's equations [D1, D10]
    `parameter_bytes`  their size
    `traffic_basis`    what bytes mean in every row
    `policy`           the execution policy the traffic assumes (`eager` unless said otherwise)
    `minimal_bytes`    traffic that no policy can go below: what is read of parameters, buffers and inputs, and the
                       outputs, each once; None where it was not counted
    `eager_bytes`      traffic of the same operators where each is a kernel of its own; None likewise
    `issued_bytes`     what kernels without reuse would ask their memory for, two operands a MAC; None likewise
    `module_calls`     how often each module was called, by path; a module shared by several paths under its first
    """

    rows: tuple[OperatorCounts, ...]
    parameters: int
    parameter_bytes: int
    traffic_basis: TrafficBasis = "compulsory"
    policy: str = "eager"
    notes: tuple[str, ...] = field(default=())
    minimal_bytes: int | None = None
    eager_bytes: int | None = None
    issued_bytes: int | None = None
    module_calls: Mapping[str, int] = field(default_factory=dict)

    def _sum(self, rows: Iterable[OperatorCounts]) -> OpCounts:
        return OpCounts.sum((r.counts for r in rows), traffic_basis=self.traffic_basis)

    def _group(self, key: Callable[[OperatorCounts], _Key | None]) -> dict[_Key, OpCounts]:
        groups: dict[_Key, list[OperatorCounts]] = defaultdict(list)
        for row in self.rows:
            value = key(row)
            if value is not None:
                groups[value].append(row)
        return {value: self._sum(rows) for value, rows in groups.items()}

    @property
    def total(self) -> OpCounts:
        """Everything, all directions."""
        return self._sum(self.rows)

    @property
    def forward(self) -> OpCounts:
        """The forward pass alone."""
        return self._sum(r for r in self.rows if r.direction == "forward")

    @property
    def backward(self) -> OpCounts:
        """The backward pass alone."""
        return self._sum(r for r in self.rows if r.direction == "backward")

    @property
    def calls(self) -> int:
        """Operators run [D3]."""
        return sum(r.calls for r in self.rows)

    @property
    def coverage(self) -> float:
        """Share of the traffic whose operators had a formula, 0…1; 1 means nothing was left uncounted."""
        everything = sum(r.counts.bytes for r in self.rows)
        if not self.uncovered:
            return 1.0
        covered = sum(r.counts.bytes for r in self.rows if r.covered)
        return covered / everything if everything else 0.0

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Operators without a formula, sorted by name."""
        return tuple(sorted({r.operator for r in self.rows if not r.covered}))

    @property
    def uncovered_shares(self) -> dict[str, float]:
        """Operators without a formula and their share of the traffic, largest first; together 1 − coverage."""
        everything = sum(r.counts.bytes for r in self.rows)
        bytes_of = {
            name: sum(r.counts.bytes for r in self.rows if r.operator == name and not r.covered)
            for name in self.uncovered
        }
        shares = {name: size / everything if everything else 0.0 for name, size in bytes_of.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def calls_by(self, key: Callable[[OperatorCounts], _Key | None]) -> dict[_Key, int]:
        """How often operators ran [D3], summed over rows with the same `key`: their name, their class and so on."""
        calls: dict[_Key, int] = defaultdict(int)
        for row in self.rows:
            value = key(row)
            if value is not None:
                calls[value] += row.calls
        return dict(calls)

    def by_operator(self) -> dict[str, OpCounts]:
        """Totals per operator name [D3]."""
        return self._group(lambda r: r.operator)

    def by_kernel_class(self) -> dict[KernelClass, OpCounts]:
        """Totals per kernel class."""
        return self._group(lambda r: r.kernel_class)

    def by_component(self) -> dict[Component, OpCounts]:
        """Totals of the parts that [D18] prices; operators outside them are left out."""
        return self._group(lambda r: r.component)

    def by_module(self, depth: int | None = None) -> dict[str, OpCounts]:
        """Totals per module *including its children*, ``""`` the whole model, down to `depth` dots."""
        groups: dict[str, list[OperatorCounts]] = defaultdict(list)
        for row in self.rows:
            parts = row.module.split(".") if row.module else []
            deepest = len(parts) if depth is None else min(depth, len(parts))
            for level in range(deepest + 1):
                groups[".".join(parts[:level])].append(row)
        return {name: self._sum(rows) for name, rows in groups.items()}

    def component_flops(self) -> dict[str, int]:
        """Counted work per component, in FLOPs: the W of [D18]."""
        return {name: counts.flops for name, counts in self.by_component().items()}

    def _repr_html_(self) -> str:
        """For a notebook: totals, then kernel classes and the operators with the most work."""
        total = self.total
        lines = [
            f"{total.macs:,} MACs · {total.flops:,} FLOPs · {total.bytes:,} bytes "
            f"({self.traffic_basis}, {self.policy}) · {self.calls:,} operators · {self.parameters:,} parameters",
            f"coverage {self.coverage:.1%} of the traffic",
            *self.notes,
        ]
        columns = ("operators", "calls", "MACs", "FLOPs", "bytes", "share of FLOPs")

        def rows(groups: Mapping[Any, OpCounts], calls: Mapping[Any, int]) -> list[tuple[object, ...]]:
            return [
                (
                    name,
                    f"{calls[name]:,}",
                    f"{c.macs:,}",
                    f"{c.flops:,}",
                    f"{c.bytes:,}",
                    f"{c.flops / total.flops:.1%}" if total.flops else "–",
                )
                for name, c in sorted(groups.items(), key=lambda item: -item[1].flops)[:_NOTEBOOK_ROWS]
            ]

        classes = rows(self.by_kernel_class(), self.calls_by(lambda r: r.kernel_class))
        operators = rows(self.by_operator(), self.calls_by(lambda r: r.operator))
        return (
            html_lines(lines)
            + html_table(("kernel class", *columns[1:]), classes)
            + html_table(("operator", *columns[1:]), operators)
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per operator row, the tallies as integer columns."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "module": r.module,
                    "operator": r.operator,
                    "direction": r.direction,
                    "kernel_class": r.kernel_class,
                    "component": r.component,
                    "calls": r.calls,
                    "covered": r.covered,
                    **r.counts.totals(),
                }
                for r in self.rows
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "rows": [r.to_dict() for r in self.rows],
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "traffic_basis": self.traffic_basis,
            "policy": self.policy,
            "notes": list(self.notes),
            "minimal_bytes": self.minimal_bytes,
            "eager_bytes": self.eager_bytes,
            "issued_bytes": self.issued_bytes,
            "module_calls": dict(self.module_calls),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelCounts:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            return cls(
                rows=tuple(OperatorCounts.from_dict(r) for r in data["rows"]),
                parameters=data["parameters"],
                parameter_bytes=data["parameter_bytes"],
                traffic_basis=data["traffic_basis"],
                policy=data["policy"],
                notes=tuple(data["notes"]),
                minimal_bytes=data.get("minimal_bytes"),
                eager_bytes=data.get("eager_bytes"),
                issued_bytes=data.get("issued_bytes"),
                module_calls=dict(data.get("module_calls", {})),
            )
        except (KeyError, TypeError) as error:
            raise RecordError(f"model counts are malformed ({error}); write them with ModelCounts.to_dict") from error
