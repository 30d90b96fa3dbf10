"""Launching two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import Begin, Call, Outcome, TensorT
from energybench.kernels.families.conv import counts
from energybench.kernels.families.conv.shape import Algorithm, ConvShape, conv_backward_shape, conv_shape
from energybench.kernels.ladder import AUTO, TILED_ON_CUDA, TUNED_ON_CPU
from energybench.kernels.operator import Operator
from energybench.records.op_counts import OpCounts


def _cuda_sizes(s: ConvShape) -> list[int]:
    return [s.N, s.C_in, s.H, s.W, s.C_out, s.KH, s.KW, *s.stride, *s.padding, *s.dilation, s.groups]


def run_conv2d(call: Call, s: ConvShape, *arrays: Any) -> OpCounts | None:
    """Convolve: `arrays` are x, w and bias, where the kernel can read them, and where y goes."""
    if call.on_cuda:
        return call.run_cuda(_cuda_sizes(s), arrays)
    return call.run_cpu(*arrays, s.stride, s.padding, s.dilation, s.groups, s.direct)


def run_conv2d_backward(call: Call, s: ConvShape, *arrays: Any) -> OpCounts | None:
    """Gradients of such a convolution: `arrays` are grad, x and w, where dx, dw and db go, and scratch."""
    if call.on_cuda:
        return call.run_cuda(_cuda_sizes(s), arrays)
    return call.run_cpu(*arrays, s.stride, s.padding, s.dilation, s.groups, s.direct)


def _conv2d(begin: Begin, s: ConvShape, x: Any, w: Any, bias: Any = None, **_options: Any) -> Outcome:
    call = begin({"x": x, "w": w, "bias": bias})
    y = call.allocate("y", *s.output_shape)
    return call.finish(run_conv2d(call, s, *map(call.dense, (x, w, bias)), y), y)


def _conv2d_backward(begin: Begin, s: ConvShape, grad: Any, x: Any, w: Any, **_options: Any) -> Outcome:
    call = begin({"grad": grad, "x": x, "w": w})
    dx, dw = call.allocate("dx", s.N, s.C_in, s.H, s.W), call.allocate("dw", s.C_out, s.C_in // s.groups, s.KH, s.KW)
    db = call.allocate("db", s.C_out) if s.has_bias else None
    return call.finish(run_conv2d_backward(call, s, *map(call.dense, (grad, x, w)), dx, dw, db), dx, dw, db)


CONV2D = Operator("conv2d", "forward", "conv", TILED_ON_CUDA, conv_shape, counts.conv2d, _conv2d)
CONV2D_BACKWARD = Operator(
    *("conv2d", "backward", "conv", TUNED_ON_CPU), conv_backward_shape, counts.conv2d_backward, _conv2d_backward
)


def conv2d(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Two-dimensional convolution, as `torch.nn.functional.conv2d` defines it.

    Args:
        x: ``[N, C_in, H, W]``, float32 or float64.
        w: ``[C_out, C_in/groups, KH, KW]``.
        bias: ``[C_out]`` or None.
        stride: One integer, or two for height and width.
        padding: Zeros on each side; the taps that fall on them are skipped.
        dilation: Distance between taps.
        groups: Groups of channels; ``groups == C_in`` is depthwise.
        algorithm: What a tuned rung does [D22]: ``im2col`` multiplies matrices, the patches read through a table of
            offsets and never laid out; ``direct`` reads the image where it lies; ``auto`` is direct where few output
            channels would share a patch. The naive rung has one way.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[N, C_out, H_out, W_out]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options["algorithm"] = algorithm
    (y,) = CONV2D.run(x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def conv2d_backward(
    grad: TensorT,
    x: TensorT,
    w: TensorT,
    *,
    has_bias: bool = False,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT | None]:
    """Gradients of `conv2d`, all that autograd makes of ``y.backward(grad)``.

    Args:
        grad: ``[N, C_out, H_out, W_out]``, the gradient of y.
        x: As in the forward pass, like `w` and the options that follow.
        w: As in the forward pass.
        has_bias: Whether there was a bias, whose gradient is asked for.
        stride: As in the forward pass.
        padding: As in the forward pass.
        dilation: As in the forward pass.
        groups: As in the forward pass.
        algorithm: As `conv2d`'s.
        variant: As `conv2d`'s.
        threads: As `conv2d`'s.

    Returns:
        ``dx`` as x, ``dw`` as w, and ``db[C_out]`` or None. Errors as `conv2d`'s.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options.update(algorithm=algorithm, has_bias=has_bias)
    dx, dw, db = CONV2D_BACKWARD.run(grad, x, w, **options, variant=variant, threads=threads)
    return dx, dw, db
