"""Inputs of a workload: standard normal values from a seed, the same on every device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError

if TYPE_CHECKING:
    import torch


#: Distributions of inputs by the name that a record gives. The values alone move the energy of a large matrix product
#: by 40–67 % (constant against random), so each is a choice and is recorded.
DISTRIBUTIONS: Final = ("normal(0,1)", "normal(0,1), half zero", "relu(normal(0,1))", "constant 1")

#: Values drawn for one tensor at most, 16 MB in float32.
MOST_DRAWN: Final = 2**22


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of an element type's name. Raises UsageError."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"element type {name!r} is unknown to torch; use float32, float16, bfloat16 or int64")
    return dtype


def normal_tensors(
    shapes: tuple[tuple[int, ...], ...],
    *,
    dtype: str,
    device: str,
    seed: int,
    distribution: str = DISTRIBUTIONS[0],
) -> tuple[torch.Tensor, ...]:
    """One tensor of independent values per shape: normal(0,1), or another of `DISTRIBUTIONS`.

    The values are drawn on the CPU, so that a seed means the same numbers on every device, and torch's own random
    state is left alone. A tensor of more than `MOST_DRAWN` elements repeats that many: drawing gigabytes would take
    longer than a row. Raises UsageError on an unknown distribution.
    """
    import torch

    if distribution not in DISTRIBUTIONS:
        raise UsageError(f"distribution {distribution!r} is unknown; use one of {'; '.join(DISTRIBUTIONS)}")
    generator = torch.Generator().manual_seed(seed)

    def draw(elements: int) -> torch.Tensor:
        if distribution == "constant 1":
            return torch.ones(elements)
        values = torch.randn(elements, generator=generator, dtype=torch.float32)
        if distribution == "normal(0,1), half zero":
            return values * (torch.rand(elements, generator=generator) < 0.5)
        return values.relu() if distribution == "relu(normal(0,1))" else values

    def tensor(shape: tuple[int, ...]) -> torch.Tensor:
        elements = math.prod(shape)
        values = draw(min(elements, MOST_DRAWN)).to(device=device, dtype=torch_dtype(dtype))
        if elements > MOST_DRAWN:
            values = values.repeat(-(-elements // MOST_DRAWN))[:elements]
        return values.view(shape)

    return tuple(map(tensor, shapes))


def token_tensors(
    shapes: tuple[tuple[int, ...], ...], *, below: int, device: str, seed: int
) -> tuple[torch.Tensor, ...]:
    """One tensor of independent whole numbers, uniform over 0 … below − 1, per shape; drawn as `normal_tensors`."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(below, shape, generator=generator).to(device=device) for shape in shapes)


def all_finite(value: object) -> bool:
    """Whether every element of a tensor, or of tensors in tuples, lists and mappings, is finite."""
    import torch

    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    if isinstance(value, tuple | list):
        return all(all_finite(item) for item in value)
    if isinstance(value, dict):
        return all(all_finite(item) for item in value.values())
    return True
