"""Launching convolution with channels innermost, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.conv.launch import run_conv2d_backward
from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.families.conv_nhwc import counts
from energybench.kernels.families.conv_nhwc.shape import conv_nhwc_backward_shape, conv_nhwc_shape
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _conv2d_nhwc(begin: Begin, s: ConvShape, x: Any, w: Any, bias: Any = None, **_options: Any) -> Outcome:
    call = begin({"x": x, "w": w, "bias": bias})
    y = call.allocate("y", s.N, s.H_out, s.W_out, s.C_out)
    arrays = [*map(call.dense, (x, w, bias)), y]
    return call.finish(call.run_cpu(*arrays, s.stride, s.padding, s.dilation, s.groups), y)


def _conv2d_nhwc_backward(begin: Begin, s: ConvShape, grad: Any, x: Any, w: Any, **_options: Any) -> Outcome:
    call = begin({"grad": grad, "x": x, "w": w})
    dx, dw = call.allocate("dx", s.N, s.H, s.W, s.C_in), call.allocate("dw", s.C_out, s.KH, s.KW, s.C_in // s.groups)
    db = call.allocate("db", s.C_out) if s.has_bias else None
    moved = counts.copies(s).stores
    scratch = call.allocate("copies", moved) if moved else None
    arrays = [*map(call.dense, (grad, x, w)), dx, dw, db, scratch]
    return call.finish(run_conv2d_backward(call, s, *arrays), dx, dw, db)


CONV2D_NHWC = Operator(
    *("conv2d_nhwc", "forward", "conv", CPU_ALONE), conv_nhwc_shape, counts.conv2d_nhwc, _conv2d_nhwc
)
CONV2D_NHWC_BACKWARD = Operator(
    *("conv2d_nhwc", "backward", "conv", CPU_ALONE),
    *(conv_nhwc_backward_shape, counts.conv2d_nhwc_backward, _conv2d_nhwc_backward),
)


def conv2d_nhwc(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Two-dimensional convolution with channels innermost [D19]: the sums of `conv2d` in another layout.

    A torch tensor in ``channels_last`` memory format lies so already: ``t.permute(0, 2, 3, 1)`` is such an array and
    moves nothing.

    Args:
        x: ``[N, H, W, C_in]``, float32 or float64.
        w: ``[C_out, KH, KW, C_in/groups]``.
        bias: ``[C_out]`` or None.
        stride: As `conv2d`'s, like the options that follow.
        padding: As `conv2d`'s.
        dilation: As `conv2d`'s.
        groups: As `conv2d`'s. With an output channel for each input channel (depthwise) a tuned rung makes its sums
            directly, vectors of channels at a time; else it multiplies matrices, group by group.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[N, H_out, W_out, C_out]`` of the caller's kind. Errors as `conv2d`'s.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    (y,) = CONV2D_NHWC.run(x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def conv2d_nhwc_backward(
    grad: TensorT,
    x: TensorT,
    w: TensorT,
    *,
    has_bias: bool = False,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT | None]:
    """Gradients of `conv2d_nhwc`, all that autograd makes of ``y.backward(grad)``.

    x, grad and w are copied to a plane for each channel, the work is `conv2d_backward`'s, and dx and dw are copied
    back; the copies are counted with the traffic that is issued.

    Args:
        grad: ``[N, H_out, W_out, C_out]``, the gradient of y.
        x: As in the forward pass, like `w` and the options that follow.
        w: As in the forward pass.
        has_bias: Whether there was a bias, whose gradient is asked for.
        stride: As in the forward pass.
        padding: As in the forward pass.
        dilation: As in the forward pass.
        groups: As in the forward pass.
        variant: As `conv2d`'s.
        threads: As `conv2d`'s.

    Returns:
        ``dx`` as x, ``dw`` as w, and ``db[C_out]`` or None. Errors as `conv2d`'s.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "has_bias": has_bias}
    dx, dw, db = CONV2D_NHWC_BACKWARD.run(grad, x, w, **options, variant=variant, threads=threads)
    return dx, dw, db
