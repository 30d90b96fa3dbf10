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


SHAPES: Final[dict[str, ShapeFunction]] = {
    "aten._pack_padded_sequence": _pack_padded,
    "aten._pack_padded_sequence_backward": _pack_padded_backward,
}


def shape_function(name: str) -> ShapeFunction | None:
    """Our own shape rule for ``aten.op``, None where torch's meta kernel is used."""
    return SHAPES.get(name)
