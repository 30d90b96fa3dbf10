"""Launching pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from energybench.errors import UsageError
from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.pool import counts
from energybench.kernels.families.pool.shape import (
    PoolShape,
    avg_pool_backward_shape,
    avg_pool_shape,
    max_pool_backward_shape,
    max_pool_shape,
)
from energybench.kernels.ladder import AUTO, CPU_ALONE, TUNED_ON_CPU
from energybench.kernels.operator import Operator


def _pool(begin: Begin, s: PoolShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.output_shape)
    winners = call.allocate("indices", *s.output_shape, dtype="int64") if s.keep_winners else None
    windows = (s.window, s.stride, s.padding, s.dilation)
    if call.on_cuda:
        if s.keep_winners:
            raise UsageError("max_pool2d keeps no indices on cuda yet; move its tensors to cpu")
        sizes = [s.N, s.C, s.H, s.W, *(size for pair in windows for size in pair)]
        tallies = call.run_cuda(sizes, [call.dense(x), y])
    else:
        tallies = call.run_cpu(call.dense(x), y, winners, *windows)
    return call.finish(tallies, *((y, winners) if s.keep_winners else (y,)))


def _pool_backward(begin: Begin, s: PoolShape, grad: Any, indices: Any = None, **_options: Any) -> Outcome:
    call = begin({"grad": grad, "indices": indices})
    dx = call.allocate("dx", s.N, s.C, s.H, s.W)
    windows = (s.window, s.stride, s.padding, s.dilation)
    return call.finish(call.run_cpu(call.dense(grad), call.dense(indices), dx, *windows), dx)


MAX_POOL2D = Operator("max_pool2d", "forward", "pool", TUNED_ON_CPU, max_pool_shape, counts.max_pool2d, _pool)
AVG_POOL2D = Operator("avg_pool2d", "forward", "pool", TUNED_ON_CPU, avg_pool_shape, counts.avg_pool2d, _pool)
MAX_POOL2D_BACKWARD = Operator(
    *("max_pool2d", "backward", "pool", CPU_ALONE),
    max_pool_backward_shape,
    counts.max_pool2d_backward,
    _pool_backward,
)
AVG_POOL2D_BACKWARD = Operator(
    *("avg_pool2d", "backward", "pool", CPU_ALONE),
    avg_pool_backward_shape,
    counts.avg_pool2d_backward,
    _pool_backward,
)


@overload
def max_pool2d(
    x: TensorT,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    return_indices: Literal[False] = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT: ...
@overload
def max_pool2d(
    x: TensorT,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    return_indices: Literal[True],
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT]: ...
def max_pool2d(
    x: TensorT,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    return_indices: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT | tuple[TensorT, TensorT]:
    """Largest element of each window, equal to `torch.nn.functional.max_pool2d`.

    Args:
        x: ``[N, C, H, W]``, float32 or float64.
        kernel_size: The window; one integer, or two for height and width.
        stride: None is `kernel_size`.
        padding: At most half the window; padded taps are skipped.
        dilation: Distance between taps.
        return_indices: Also return where each largest element was met, ``h·W + w`` as int64, for the backward pass.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[N, C, H_out, W_out]`` of the caller's kind, or it and the indices. Errors as `linear`'s.
    """
    options: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    results = MAX_POOL2D.run(x, variant=variant, threads=threads, return_indices=return_indices, **options)
    return results if return_indices else results[0]


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
    (y,) = AVG_POOL2D.run(x, variant=variant, threads=threads, **options)
    return y  # type: ignore[no-any-return]


def max_pool2d_backward(
    grad: TensorT,
    indices: TensorT,
    *,
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Gradient of `max_pool2d`: each output's gradient is added to its winner.

    Args:
        grad: ``[N, C, H_out, W_out]``, the gradient of y.
        indices: Of the forward pass (``return_indices=True``).
        input_size: Height and width of x.
        kernel_size: As in the forward pass, like the options that follow.
        stride: As in the forward pass.
        padding: As in the forward pass.
        dilation: As in the forward pass.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``dx[N, C, H, W]``.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing, or an index lies outside the image.
    """
    options: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    (dx,) = MAX_POOL2D_BACKWARD.run(grad, indices, variant=variant, threads=threads, input_size=input_size, **options)
    return dx  # type: ignore[no-any-return]


def avg_pool2d_backward(
    grad: TensorT,
    *,
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Gradient of `avg_pool2d`: each output's gradient is shared among its taps; as `max_pool2d_backward`."""
    options: Any = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "input_size": input_size}
    (dx,) = AVG_POOL2D_BACKWARD.run(grad, variant=variant, threads=threads, **options)
    return dx  # type: ignore[no-any-return]
