"""Operators of random shapes, spread over the sizes that networks use: what a time law is learnt from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from energybench.workloads.vendor import (
    avg_pool,
    layer_norm,
    matmul,
    matvec,
    max_pool,
    softmax,
    stream_add,
    stream_copy,
    stream_exp,
    stream_gelu,
    vendor_attention,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
    vendor_projection,
)
from energybench.workloads.workload import Workload

#: Sizes along each axis are multiplied by this on a GPU, where small operators show nothing but their launch.
_GPU_SCALE: Final = 4


class _Draw:
    """Whole numbers, uniform in their logarithm."""

    def __init__(self, seed: int, scale: int) -> None:
        self._random = random.Random(f"operators/{seed}")
        self._scale = scale

    def size(self, low: int, high: int, *, step: int = 1) -> int:
        """Between the two, the upper end scaled, rounded to a multiple of `step`."""
        value = math.exp(self._random.uniform(math.log(low), math.log(high * self._scale)))
        return max(step, round(value / step) * step)

    def fixed(self, *values: int) -> int:
        """One of these."""
        return self._random.choice(values)

    def of(self, makers: tuple[Callable[[], Workload], ...]) -> Workload:
        """What one of these makes."""
        return self._random.choice(makers)()


def random_operators(count: int, *, seed: int = 0, gpu: bool = False, dtype: str = "float32") -> list[Workload]:
    """That many vendor operators, each shape once."""
    draw = _Draw(seed, _GPU_SCALE if gpu else 1)

    def conv() -> Workload:
        kernel, channels = draw.fixed(1, 3, 5), draw.size(4, 256)
        height, stride = draw.size(7, 56), draw.fixed(1, 1, 2)
        padding = kernel // 2
        if draw.fixed(0, 0, 1):
            return vendor_conv2d(
                1, channels, height, channels, kernel, stride=stride, padding=padding, groups=channels, dtype=dtype
            )
        return vendor_conv2d(
            draw.fixed(1, 2, 4),
            channels,
            height,
            draw.size(8, 256),
            kernel,
            stride=stride,
            padding=padding,
            dtype=dtype,
        )

    makers: tuple[Callable[[], Workload], ...] = (
        conv,
        conv,
        lambda: matmul(draw.size(8, 512), draw.size(8, 1024), draw.size(8, 1024), dtype=dtype),
        lambda: matvec(draw.size(64, 4096), draw.size(64, 4096), dtype=dtype),
        lambda: vendor_linear(draw.size(1, 256), draw.size(16, 2048), draw.size(16, 2048), dtype=dtype),
        lambda: vendor_projection(draw.size(8, 256), draw.size(32, 512, step=8), draw.size(32, 1024), dtype=dtype),
        lambda: vendor_gru(draw.size(1, 48), draw.size(1, 16), draw.size(16, 128), draw.size(16, 256), dtype=dtype),
        lambda: vendor_attention(
            draw.fixed(1, 2, 4), draw.fixed(2, 4, 8), draw.size(8, 256), draw.fixed(16, 32, 64), dtype=dtype
        ),
        lambda: stream_add(draw.size(16, 2**22), dtype=dtype),
        lambda: stream_copy(draw.size(16, 2**22), dtype=dtype),
        lambda: stream_exp(draw.size(16, 2**20), dtype=dtype),
        lambda: stream_gelu(draw.size(16, 2**20), dtype=dtype),
        lambda: softmax(draw.size(2, 1024), draw.size(8, 2048), dtype=dtype),
        lambda: layer_norm(draw.size(2, 1024), draw.size(16, 2048), dtype=dtype),
        lambda: max_pool(draw.size(4, 128), draw.size(8, 56), draw.fixed(2, 3), dtype=dtype),
        lambda: avg_pool(draw.size(4, 128), draw.size(8, 56), draw.fixed(2, 3), dtype=dtype),
    )
    found: dict[str, Workload] = {}
    while len(found) < count:
        workload = draw.of(makers)
        found.setdefault(workload.name, workload)
    return list(found.values())
