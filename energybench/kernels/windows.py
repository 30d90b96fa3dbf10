"""Windows that slide over an image, by dimension: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from energybench.errors import UsageError

#: Height and width.
Pair: TypeAlias = tuple[int, int]
#: Strides and paddings are far below this; beyond it a window's position could overflow 64 bits.
LARGEST_STEP: Final = 2**31 - 1


def pair(name: str, value: object, least: int) -> Pair:
    """An integer or two of them, for height and width."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2 or not all(type(v) is int and least <= v <= LARGEST_STEP for v in values):
        raise UsageError(f"{name}={value!r} is not valid; give one or two integers of at least {least}")
    return values[0], values[1]


def window_positions(size: int, window: int, stride: int, padding: int, dilation: int) -> int:
    """Places of a window along one dimension: floor((size + 2p − d(window − 1) − 1)/s) + 1 [D9, corrected]."""
    return (size + 2 * padding - dilation * (window - 1) - 1) // stride + 1


def valid_taps(size: int, kernel: int, stride: int, padding: int, dilation: int, outputs: int) -> int:
    """Pairs of output position and tap, along one dimension, whose input lies inside ``[0, size)``.

    Tap k of output o reads o·stride − padding + k·dilation. For each k the valid o are an interval.
    """
    pairs = 0
    for k in range(kernel):
        offset = k * dilation - padding
        first = max(0, -(offset // stride))  # smallest o with o·stride + offset ≥ 0
        last = min(outputs - 1, (size - 1 - offset) // stride)
        pairs += max(0, last - first + 1)
    return pairs
