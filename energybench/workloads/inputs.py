"""Inputs of a workload: standard normal values from a seed, the same on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from energybench.errors import UsageError

if TYPE_CHECKING:
    import torch


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of an element type's name. Raises UsageError."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"element type {name!r} is unknown to torch; use float32, float16, bfloat16 or int64")
    return dtype


def normal_tensors(
    shapes: tuple[tuple[int, ...], ...], *, dtype: str, device: str, seed: int
) -> tuple[torch.Tensor, ...]:
    """One tensor of independent normal(0,1) values per shape.

    The values are drawn on the CPU, so that a seed means the same numbers on every device, and torch's own random
    state is left alone.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.randn(shape, generator=generator, dtype=torch.float32) for shape in shapes)
    return tuple(t.to(device=device, dtype=torch_dtype(dtype)) for t in drawn)


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
