"""Launching pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.pool import counts
from energybench.kernels.families.pool.shape import PoolShape, avg_pool_shape, max_pool_shape
from energybench.kernels.ladder import AUTO, NAIVE_ONLY
from energybench.kernels.operator import Operator


def _pool(begin: Begin, s: PoolShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.output_shape)
    windows = (s.window, s.stride, s.padding, s.dilation)
    arrays = [call.dense(x), y]
    if call.on_cuda:
        tallies = call.run_cuda([s.N, s.C, s.H, s.W, *(size for pair in windows for size in pair)], arrays)
    else:
        tallies = call.run_cpu(*arrays, *windows)
    return call.finish(tallies, y)


MAX_POOL2D = Operator("max_pool2d", "forward", "pool", NAIVE_ONLY, max_pool_shape, counts.max_pool2d, _pool)
AVG_POOL2D = Operator("avg_pool2d", "forward", "pool", NAIVE_ONLY, avg_pool_shape, counts.avg_pool2d, _pool)


def max_pool2d(
    x: TensorT,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Largest element of each window, equal to `torch.nn.functional.max_pool2d`.

    Args:
        x: ``[N, C, H, W]``, float32 or float64.
        kernel_size: The window; one integer, or two for height and width.
        stride: None is `kernel_size`.
        padding: At most half the window; padded taps are skipped.
        dilation: Distance between taps.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[N, C, H_out, W_out]`` of the caller's kind. Errors as `linear`'s.
    """
    options: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    (y,) = run(MAX_POOL2D, x, variant=variant, threads=threads, **options)
    return y  # type: ignore[no-any-return]


def avg_pool2d(
    x: TensorT,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Mean of each window, padding counted as zeros, equal to `torch.nn.functional.avg_pool2d`.

    Arguments, result and errors as `max_pool2d`'s.
    """
    options: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    (y,) = run(AVG_POOL2D, x, variant=variant, threads=threads, **options)
    return y  # type: ignore[no-any-return]
