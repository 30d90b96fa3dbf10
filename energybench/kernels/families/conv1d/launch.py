"""Launching temporal convolution: the kernel is `conv2d`'s."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.conv.launch import CONV2D, CONV2D_BACKWARD, run_conv2d, run_conv2d_backward
from energybench.kernels.families.conv.shape import Algorithm, ConvShape
from energybench.kernels.families.conv1d.shape import as_rows, conv1d_backward_shape, conv1d_shape
from energybench.kernels.ladder import AUTO
from energybench.kernels.operator import Operator


def _conv1d(begin: Begin, s: ConvShape, x: Any, w: Any, bias: Any = None, **_options: Any) -> Outcome:
    call = begin({"x": x, "w": w, "bias": bias})
    y = call.allocate("y", s.N, s.C_out, s.W_out)
    x, w, bias = map(call.dense, (x, w, bias))
    return call.finish(run_conv2d(call, s, as_rows(x), as_rows(w), bias, as_rows(y)), y)


def _conv1d_backward(begin: Begin, s: ConvShape, grad: Any, x: Any, w: Any, **_options: Any) -> Outcome:
    call = begin({"grad": grad, "x": x, "w": w})
    dx, dw = call.allocate("dx", s.N, s.C_in, s.W), call.allocate("dw", s.C_out, s.C_in // s.groups, s.KW)
    db = call.allocate("db", s.C_out) if s.has_bias else None
    rows = [as_rows(array) for array in (*map(call.dense, (grad, x, w)), dx, dw)]
    return call.finish(run_conv2d_backward(call, s, *rows, db), dx, dw, db)


CONV1D = Operator(
    *("conv1d", "forward", "conv", CONV2D.ladders), conv1d_shape, CONV2D.closed_form, _conv1d, runs=CONV2D.name
)
CONV1D_BACKWARD = Operator(
    *("conv1d", "backward", "conv", CONV2D_BACKWARD.ladders),
    *(conv1d_backward_shape, CONV2D_BACKWARD.closed_form, _conv1d_backward),
    runs=CONV2D_BACKWARD.name,
)


def conv1d(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Temporal convolution [D8], as `torch.nn.functional.conv1d` defines it.

    Args:
        x: ``[N, C_in, L]``, float32 or float64.
        w: ``[C_out, C_in/groups, K]``.
        bias: ``[C_out]`` or None.
        stride: Steps between two outputs.
        padding: Zeros on each side; the taps that fall on them are skipped. `causal_conv1d` pads the past alone.
        dilation: Distance between taps.
        groups: As `conv2d`'s.
        algorithm: As `conv2d`'s.
        variant: As `conv2d`'s.
        threads: As `conv2d`'s.

    Returns:
        ``y[N, C_out, L_out]`` of the caller's kind. Errors as `conv2d`'s.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options["algorithm"] = algorithm
    (y,) = CONV1D.run(x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def conv1d_backward(
    grad: TensorT,
    x: TensorT,
    w: TensorT,
    *,
    has_bias: bool = False,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT | None]:
    """Gradients of `conv1d`, all that autograd makes of ``y.backward(grad)``: the kernel is `conv2d_backward`'s.

    Args:
        grad: ``[N, C_out, L_out]``, the gradient of y.
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
    dx, dw, db = CONV1D_BACKWARD.run(grad, x, w, **options, variant=variant, threads=threads)
    return dx, dw, db
