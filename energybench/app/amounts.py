"""How many samples and tokens one call works through, read off its example inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from energybench.estimation.amounts import Amounts


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor inside nested tuples, lists and mappings, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def time_comes_first(model: Any) -> bool:
    """Whether the model holds a recurrent module over x[T, B, I], torch's default order."""
    return isinstance(model, nn.Module) and any(
        isinstance(m, nn.RNNBase) and not m.batch_first for m in model.modules()
    )


def batch_dimension(model: Any, first: torch.Tensor) -> int | None:
    """Where the first input counts its samples; None for a tensor without dimensions."""
    if first.ndim == 0:
        return None
    return 1 if first.ndim == 3 and time_comes_first(model) else 0


def amounts_of(
    model: Any,
    inputs: Any,
    *,
    samples: int | None = None,
    tokens: int | None = None,
    samples_per_epoch: int | None = None,
) -> Amounts:
    """Samples and tokens of a call with `inputs`; what is given wins.

    Samples are the first dimension of the first tensor (the second of x[T, B, I] where a recurrent module wants it so).
    Tokens are the elements of the first integer matrix, or T·B of x[T, B, I]; other inputs have none.
    """
    found = list(tensors(inputs))
    first = next(iter(found), None)
    dimension = None if first is None else batch_dimension(model, first)
    if samples is None and first is not None and dimension is not None:
        samples = first.shape[dimension] or None
    if tokens is None:
        ids = next((t for t in found if t.ndim == 2 and not t.is_floating_point() and not t.is_complex()), None)
        if ids is not None:
            tokens = ids.numel() or None
        elif first is not None and dimension == 1:
            tokens = first.shape[0] * first.shape[1] or None
    return Amounts(samples, tokens, samples_per_epoch)
