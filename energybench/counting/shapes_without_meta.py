"""Output shapes of operators that torch cannot run on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch

ShapeFunction: TypeAlias = Callable[[Any, Any], Any]


def _pack_padded(args: Any, kwargs: Any) -> Any:
    """(input (T, B, …) or (B, T, …), lengths, batch_first) → (rows, batch sizes): lengths must have values."""
    x, lengths = args[:2]
    lengths = [int(n) for n in lengths.tolist()]
    batch_sizes = torch.tensor([sum(n > t for n in lengths) for t in range(max(lengths))], dtype=torch.int64)
    return torch.empty((sum(lengths), *x.shape[2:]), dtype=x.dtype, device=x.device), batch_sizes


def _pack_padded_backward(args: Any, kwargs: Any) -> Any:
    grad, size = args[0], args[1]
    return torch.empty(tuple(size), dtype=grad.dtype, device=grad.device)


def _grouped_product(args: Any, kwargs: Any) -> Any:
    """(a, b, offsets, bias, out_dtype): torch's own rule knows bfloat16 alone. Raggedness is in M, N or K."""
    a, b = args[:2]
    out_dtype = (args[4] if len(args) > 4 else kwargs.get("out_dtype")) or a.dtype
    offsets = args[2] if len(args) > 2 else kwargs.get("offs")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"grouped product of {tuple(a.shape)} and {tuple(b.shape)}: inner sizes differ")
    if a.dim() == 2 and b.dim() == 2:
        shape: tuple[int, ...] = (offsets.shape[0], a.shape[0], b.shape[1])
    elif a.dim() == 3 and b.dim() == 3:
        shape = (a.shape[0], a.shape[1], b.shape[2])
    else:
        shape = (a.shape[-2], b.shape[-1])
    return torch.empty(shape, dtype=out_dtype, device="meta")


SHAPES: Final[dict[str, ShapeFunction]] = {
    "aten._pack_padded_sequence": _pack_padded,
    "aten._pack_padded_sequence_backward": _pack_padded_backward,
    "aten._grouped_mm": _grouped_product,
}


def shape_function(name: str) -> ShapeFunction | None:
    """Our own shape rule for ``aten.op``, None where torch's meta kernel is used."""
    return SHAPES.get(name)
