"""Tensors in, tensors out: numpy arrays and torch tensors behind one set of questions.

torch is never imported here: a torch tensor can only arrive when its owner has imported torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from energybench.errors import UsageError
from energybench.kernels import native

if TYPE_CHECKING:
    import torch

    Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]] | torch.Tensor"

#: Element types that the kernels are compiled for, as csrc/common/op_counts.h lists them.
KERNEL_DTYPES: Final = ("float32", "float64")
#: Element types of places (the winners of a maximum, the targets of a loss).
PLACE_DTYPES: Final = ("int64",)
#: Element types of masks.
MASK_DTYPES: Final = ("uint8",)
#: More elements than any 64-bit machine can address; beyond it index arithmetic would not be exact.
_MOST_ELEMENTS: Final = 2**60


@dataclass(frozen=True, slots=True)
class Operand:
    """Shape and element type of an argument; enough to count, and data is not looked at."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def is_torch(array: object) -> bool:
    """Whether `array` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def describe(name: str, array: object, dimensions: str, dtypes: Sequence[str] = KERNEL_DTYPES) -> Operand:
    """Shape and dtype of an argument, checked against named dimensions. Raises UsageError.

    Args:
        name: As the caller knows it.
        array: A torch tensor or a numpy array.
        dimensions: Such as ``"N C_in H W"``; a leading ``...`` stands for any number of them.
        dtypes: Element types that it may have.
    """
    if not (is_torch(array) or isinstance(array, np.ndarray)):
        raise UsageError(f"{name} is a {type(array).__name__}; give a torch tensor or a numpy array")
    shape = tuple(int(size) for size in array.shape)  # type: ignore[attr-defined]
    dtype = str(array.dtype).removeprefix("torch.")  # type: ignore[attr-defined]
    if dtype not in dtypes:
        raise UsageError(f"{name} has element type {dtype}; convert it to {' or '.join(dtypes)}")
    axes = dimensions.split()
    if axes[0] == "...":
        if len(shape) < len(axes) - 1:
            raise UsageError(f"{name} has {len(shape)} dimensions; give at least {len(axes) - 1}: [{', '.join(axes)}]")
    elif len(shape) != len(axes):
        raise UsageError(f"{name} has {len(shape)} dimensions {list(shape)}; give {len(axes)}: [{', '.join(axes)}]")
    if 0 in shape:
        raise UsageError(
            f"{name} is empty, shape {list(shape)}; every dimension of [{', '.join(axes)}] must be positive"
        )
    return Operand(name, shape, dtype)


def common_dtype(operands: Sequence[Operand]) -> str:
    """The element type that all share. Raises UsageError."""
    first = operands[0]
    for other in operands[1:]:
        if other.dtype != first.dtype:
            raise UsageError(f"{first.name} is {first.dtype} and {other.name} is {other.dtype}; convert one of them")
    return first.dtype


def expect_shape(operand: Operand, shape: tuple[int, ...], meaning: str) -> None:
    """Raise UsageError unless the operand has exactly this shape."""
    if operand.shape != shape:
        raise UsageError(f"{operand.name} has shape {list(operand.shape)}, expected {list(shape)} = {meaning}")


def expect_like(operand: Operand, other: Operand) -> None:
    """Raise UsageError unless both have one shape."""
    if operand.shape != other.shape:
        raise UsageError(
            f"{operand.name} has shape {list(operand.shape)} and {other.name} {list(other.shape)}; give equal ones"
        )


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Raise UsageError for a tensor whose element count no index could address."""
    elements = 1
    for size in shape:
        elements *= size
    if elements > _MOST_ELEMENTS:
        raise UsageError(f"{name} would have shape {list(shape)}, beyond what can be addressed; give smaller sizes")


def address_of(array: Any) -> int:
    """Where the data of a numpy array, or of a tensor that lies in memory, begins."""
    if is_torch(array):
        return int(array.data_ptr())
    return int(array.__array_interface__["data"][0])


class Workspace:
    """Where one call lives: numpy, torch on the CPU, or torch on a CUDA device; made from the call's tensors.

    Raises UsageError when they do not live in one place, or when they ask for gradients, which do not flow through
    native kernels.
    """

    def __init__(self, arrays: Mapping[str, object]) -> None:
        given = {name: array for name, array in arrays.items() if array is not None}
        first_name, self._like = next(iter(given.items()))
        self.is_torch = is_torch(self._like)
        for name, array in given.items():
            if is_torch(array) != self.is_torch:
                raise UsageError(f"{first_name} and {name} mix torch and numpy; convert one of them")
        self.cuda_index: int | None = None
        if self.is_torch:
            self._check_torch(given)

    def _check_torch(self, tensors: Mapping[str, Any]) -> None:
        torch = sys.modules["torch"]
        first_name, first = next(iter(tensors.items()))
        for name, tensor in tensors.items():
            if tensor.layout != torch.strided:
                raise UsageError(f"{name} has layout {tensor.layout}; give a dense tensor: {name}.to_dense()")
            if tensor.device != first.device:
                raise UsageError(f"{first_name} is on {first.device} and {name} on {tensor.device}; move one of them")
            if tensor.requires_grad and torch.is_grad_enabled():
                raise UsageError(f"{name} requires a gradient, which native kernels do not give; use torch.no_grad()")
        if first.device.type == "cuda":
            self.cuda_index = first.device.index
        elif first.device.type != "cpu":
            raise UsageError(f"{first_name} is on {first.device}; native kernels run on cpu and cuda")

    def dense(self, array: Any) -> Any:
        """The same values, contiguous and aligned: a copy only where needed. numpy on the CPU, torch on CUDA."""
        if array is None:
            return None
        if not self.is_torch:
            return np.require(array, requirements=["C", "A"])
        tensor = array.detach().resolve_neg().contiguous()
        return tensor if self.cuda_index is not None else np.require(tensor.numpy(), requirements=["A"])

    def allocate(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        """Memory for a result, not initialised. Raises UsageError when there is not enough."""
        check_size(name, shape)
        try:
            if self.cuda_index is not None:
                torch = sys.modules["torch"]
                return torch.empty(shape, dtype=getattr(torch, dtype), device=f"cuda:{self.cuda_index}")
            return native.cpu().empty(shape, np.dtype(dtype))
        except (MemoryError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"{name} of shape {list(shape)} cannot be allocated ({error}); give smaller sizes"
            ) from None

    def result(self, array: Any) -> Any:
        """A result as the caller's kind of tensor, without a copy."""
        if self.is_torch and self.cuda_index is None:
            return sys.modules["torch"].from_numpy(array)
        return array

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return "cpu" if self.cuda_index is None else "cuda"

    def stream(self) -> int:
        """The CUDA stream that torch would use now, as an address."""
        torch = sys.modules["torch"]
        return int(torch.cuda.current_stream(self.cuda_index).cuda_stream)
