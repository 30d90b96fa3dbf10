"""What kernels there are: one `KernelSpec` for each operator, direction, rung and element type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from energybench.errors import UsageError
from energybench.kernels import compositions
from energybench.kernels.arrays import KERNEL_DTYPES
from energybench.kernels.families import (
    attention,
    batch_norm,
    conv,
    conv1d,
    conv_nhwc,
    copies,
    dropout,
    gru,
    linear,
    losses,
    optimisers,
    pointwise,
    pool,
    probes,
    rows,
)
from energybench.kernels.ladder import choose_rung, refuse_what_cannot_run, runs_here
from energybench.kernels.operator import Operator
from energybench.records.op_counts import DTYPE_SHORT
from energybench.records.vocabulary import Direction, KernelClass

_FAMILIES: Final = (
    conv,
    conv1d,
    conv_nhwc,
    gru,
    attention,
    linear,
    rows,
    batch_norm,
    losses,
    dropout,
    pointwise,
    pool,
    copies,
    optimisers,
    probes,
    compositions,
)
#: Name of the function → its operator.
OPERATORS: Final[Mapping[str, Operator]] = {o.name: o for family in _FAMILIES for o in family.OPERATORS}


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One native kernel. `kernel_id` joins its measurements (plain build) with its counts (counting build).

    `name`  the function in `energybench.kernels`, which `count` and `counted_run` know it by
    """

    name: str
    operator: str
    direction: Direction
    variant: str
    dtype: str
    kernel_class: KernelClass
    devices: tuple[str, ...]

    @property
    def kernel_id(self) -> str:
        """Such as ``conv2d_forward_naive_fp32``."""
        return f"{self.operator}_{self.direction}_{self.variant}_{DTYPE_SHORT[self.dtype]}"

    @property
    def runnable(self) -> bool:
        """Whether this machine can run it, on any of its devices."""
        return any(runs_here(self.variant, device) for device in self.devices)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"kernel_id": self.kernel_id, **asdict(self), "devices": list(self.devices), "runnable": self.runnable}


def list_kernels() -> tuple[KernelSpec, ...]:
    """Every native kernel."""
    return tuple(
        KernelSpec(
            operator.name,
            operator.operator,
            operator.direction,
            variant,
            dtype,
            operator.kernel_class,
            tuple(device for device, rungs in operator.ladders.items() if variant in rungs),
        )
        for operator in OPERATORS.values()
        for variant in operator.variants
        for dtype in KERNEL_DTYPES
    )


def resolve_operator(name: str) -> Operator:
    """The operator whose function is called so. Raises UsageError when there is none."""
    if name not in OPERATORS:
        raise UsageError(f"there is no native kernel {name!r}; choose one of {', '.join(OPERATORS)}")
    return OPERATORS[name]


def resolve_variant(operator: str, variant: str, device: str = "cpu") -> str:
    """The rung that a call with this `variant` runs on ``cpu`` or ``cuda``. Raises UsageError."""
    found = resolve_operator(operator)
    rung = choose_rung(found.name, found.ladders, variant, device)
    refuse_what_cannot_run(found.name, found.ladders, rung, device)
    return rung
