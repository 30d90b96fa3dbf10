"""What a model's parameters alone tell: their number [D1], norms and distances [D4]; and achieved rates [D2]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from energybench.errors import UsageError
from energybench.records.op_counts import OpCounts
from energybench.units import Second


@dataclass(frozen=True)
class ParameterNorms:
    """`count` parameters, Σ|w| and √Σw² over all of them, shared ones once."""

    count: int
    l1: float
    l2: float


def _with_values(model: nn.Module) -> list[torch.Tensor]:
    parameters = [p.detach() for p in model.parameters()]
    if any(p.is_meta for p in parameters):
        raise UsageError("parameters on the meta device have no values; load the model's weights first")
    return parameters


def _norms(tensors: list[torch.Tensor]) -> ParameterNorms:
    l1 = math.fsum(float(t.to(torch.float64).abs().sum()) for t in tensors)
    square = math.fsum(float(t.to(torch.float64).square().sum()) for t in tensors)
    return ParameterNorms(sum(t.numel() for t in tensors), l1, math.sqrt(square))


def parameter_norms(model: nn.Module) -> ParameterNorms:
    """Norms of a model's parameters [D4], summed in float64. Raises UsageError on the meta device."""
    return _norms(_with_values(model))


def parameter_distance(model: nn.Module, other: nn.Module) -> ParameterNorms:
    """Norms of the difference of two models' parameters [D4]. Raises UsageError where their shapes differ."""
    first, second = _with_values(model), _with_values(other)
    if [t.shape for t in first] != [t.shape for t in second]:
        raise UsageError("the models' parameters differ in number or shape; compare models of the same architecture")
    pairs = zip(first, second, strict=True)
    return _norms([a.to(torch.float64).cpu() - b.to(torch.float64).cpu() for a, b in pairs])


def achieved_flop_per_s(counts: OpCounts, time_s: Second) -> float:
    """FLOP/s [D2]: all counted operations, a MAC as two, over a measured time. Raises UsageError unless time_s > 0."""
    if not (time_s > 0 and math.isfinite(time_s)):
        raise UsageError(f"time_s={time_s!r} is not a positive time; pass the measured seconds")
    return counts.flops / time_s
