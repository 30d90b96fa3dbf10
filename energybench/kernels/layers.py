"""Running the layers between the big operators: linear, softmax, layer normalisation, pointwise functions, pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from energybench.kernels import shapes
from energybench.kernels.call import Call, TensorT
from energybench.kernels.registry import AUTO
from energybench.records.op_counts import OpCounts

_Result: TypeAlias = tuple[tuple[Any, ...], OpCounts | None]


def _linear(
    counting: bool, x: Any, w: Any, bias: Any = None, *, variant: str = AUTO, threads: int | None = None
) -> _Result:
    s, dtype = shapes.linear_shape(x, w, bias)
    call = Call("linear", variant, threads, counting, dtype, {"x": x, "w": w, "bias": bias})
    y = call.allocate("y", s.M, s.N)
    arrays = [*map(call.dense, (x, w, bias)), y]
    counts = call.run_cuda([s.M, s.K, s.N], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return (call.workspace.result(y),), counts


def _softmax(counting: bool, x: Any, *, variant: str = AUTO, threads: int | None = None) -> _Result:
    s, dtype = shapes.softmax_shape(x)
    call = Call("softmax", variant, threads, counting, dtype, {"x": x})
    y = call.allocate("y", *s.shape)
    arrays = [a.reshape(s.rows, s.n) for a in (call.dense(x), y)]
    counts = call.run_cuda([s.rows, s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return (call.workspace.result(y),), counts


def _layer_norm(
    counting: bool,
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
    variant: str = AUTO,
    threads: int | None = None,
) -> _Result:
    s, dtype = shapes.layer_norm_shape(x, weight, bias, eps=eps)
    call = Call("layer_norm", variant, threads, counting, dtype, {"x": x, "weight": weight, "bias": bias})
    y = call.allocate("y", *s.shape)
    arrays = [call.dense(x).reshape(s.rows, s.n), call.dense(weight), call.dense(bias), y.reshape(s.rows, s.n)]
    counts = call.run_cuda([s.rows, s.n], arrays, eps) if call.on_cuda else call.run_cpu(*arrays, eps)
    return (call.workspace.result(y),), counts


def _pointwise(function: str, counting: bool, x: Any, *, variant: str = AUTO, threads: int | None = None) -> _Result:
    s, dtype = shapes.pointwise_shape(x)
    call = Call(function, variant, threads, counting, dtype, {"x": x})
    y = call.allocate("y", *s.shape)
    arrays = [a.reshape(s.n) for a in (call.dense(x), y)]
    counts = call.run_cuda([s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return (call.workspace.result(y),), counts


def _pool(
    operator: str, counting: bool, x: Any, *, variant: str = AUTO, threads: int | None = None, **options: Any
) -> _Result:
    read = shapes.max_pool_shape if operator == "max_pool2d" else shapes.avg_pool_shape
    s, dtype = read(x, **options)
    call = Call(operator, variant, threads, counting, dtype, {"x": x})
    y = call.allocate("y", *s.output_shape)
    windows = (s.window, s.stride, s.padding, s.dilation)
    arrays = [call.dense(x), y]
    if call.on_cuda:
        counts = call.run_cuda([s.N, s.C, s.H, s.W, *(size for pair in windows for size in pair)], arrays)
    else:
        counts = call.run_cpu(*arrays, *windows)
    return (call.workspace.result(y),), counts


def linear(
    x: TensorT, w: TensorT, bias: TensorT | None = None, *, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Fully connected layer ``x wᵀ + bias``, equal to `torch.nn.functional.linear`.

    Args:
        x: ``[M, K]``, float32 or float64.
        w: ``[N, K]``.
        bias: ``[N]`` or None.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[M, N]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    (y,), _ = _linear(False, x, w, bias, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def softmax(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Softmax of ``x[..., n]`` over its last dimension, equal to `torch.softmax` with ``dim=-1``.

    Arguments, result and errors otherwise as `linear`'s.
    """
    (y,), _ = _softmax(False, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def layer_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    *,
    eps: float = 1e-5,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Layer normalisation over the last dimension, equal to `torch.nn.functional.layer_norm`.

    Args:
        x: ``[..., n]``, float32 or float64.
        weight: ``[n]`` or None.
        bias: ``[n]`` or None.
        eps: Added to the variance; torch's default.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[..., n]`` of the caller's kind. Errors as `linear`'s.
    """
    (y,), _ = _layer_norm(False, x, weight, bias, eps=eps, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def relu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``max(x, 0)`` of each element; NaN stays NaN. Arguments, result and errors otherwise as `linear`'s."""
    (y,), _ = _pointwise("relu", False, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def sigmoid(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``1 / (1 + exp(−x))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,), _ = _pointwise("sigmoid", False, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def tanh(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``tanh(x)`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,), _ = _pointwise("tanh", False, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def gelu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``½x · (1 + erf(x/√2))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,), _ = _pointwise("gelu", False, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


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
    (y,), _ = _pool("max_pool2d", False, x, variant=variant, threads=threads, **options)
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
    (y,), _ = _pool("avg_pool2d", False, x, variant=variant, threads=threads, **options)
    return y  # type: ignore[no-any-return]


#: Operator → its launch: ``(counting, *arrays, **options) -> outputs, tallies``.
RUNNERS: Final[Mapping[str, Callable[..., _Result]]] = {
    "linear": _linear,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    **{name: partial(_pointwise, name) for name in ("relu", "sigmoid", "tanh", "gelu")},
    **{name: partial(_pool, name) for name in ("max_pool2d", "avg_pool2d")},
}
