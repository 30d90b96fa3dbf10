"""What kernels there are: one `KernelSpec` for each operator, direction, rung and element type."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from energybench.errors import UsageError
from energybench.records.op_counts import DTYPE_SHORT
from energybench.records.vocabulary import Direction, KernelClass

#: `auto` takes the last of an operator's ladder.
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One native kernel. `kernel_id` joins its measurements (plain build) with its counts (counting build)."""

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

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"kernel_id": self.kernel_id, **asdict(self), "devices": list(self.devices)}


#: Operator → kernel class, ladder of variants, devices that run it.
_LADDERS: Final[dict[str, tuple[KernelClass, tuple[str, ...], tuple[str, ...]]]] = {
    "conv2d": ("conv", ("naive",), ("cpu", "cuda")),
    "gru": ("rnn", ("naive",), ("cpu", "cuda")),
    "attention": ("attention", ("naive",), ("cpu", "cuda")),
    "linear": ("gemm", ("naive",), ("cpu", "cuda")),
    "softmax": ("softmax", ("naive",), ("cpu", "cuda")),
    "layer_norm": ("norm", ("naive",), ("cpu", "cuda")),
    "relu": ("pointwise", ("naive",), ("cpu", "cuda")),
    "sigmoid": ("pointwise", ("naive",), ("cpu", "cuda")),
    "tanh": ("pointwise", ("naive",), ("cpu", "cuda")),
    "gelu": ("pointwise", ("naive",), ("cpu", "cuda")),
    "max_pool2d": ("pool", ("naive",), ("cpu", "cuda")),
    "avg_pool2d": ("pool", ("naive",), ("cpu", "cuda")),
    "probe_fma": ("probe", ("naive",), ("cpu",)),
    "probe_stream": ("probe", ("naive",), ("cpu",)),
}

OPERATORS: Final = tuple(_LADDERS)


def list_kernels() -> tuple[KernelSpec, ...]:
    """Every native kernel."""
    return tuple(
        KernelSpec(operator, "forward", variant, dtype, kernel_class, devices)
        for operator, (kernel_class, variants, devices) in _LADDERS.items()
        for variant in variants
        for dtype in ("float32", "float64")
    )


def resolve_operator(name: str) -> str:
    """The name itself. Raises UsageError when no kernel is called so."""
    if name not in _LADDERS:
        raise UsageError(f"there is no native kernel {name!r}; choose one of {', '.join(OPERATORS)}")
    return name


def resolve_variant(operator: str, variant: str) -> str:
    """The rung that `variant` names. Raises UsageError."""
    variants = _LADDERS[resolve_operator(operator)][1]
    if variant == AUTO:
        return variants[-1]
    if variant not in variants:
        raise UsageError(f"{operator} has no variant {variant!r}; choose auto or one of {', '.join(variants)}")
    return variant


def check_device(operator: str, device: str) -> None:
    """Raise UsageError unless the operator runs on ``cpu`` or ``cuda``."""
    devices = _LADDERS[resolve_operator(operator)][2]
    if device not in devices:
        raise UsageError(f"{operator} has no {device} kernel yet; move its tensors to {' or '.join(devices)}")
