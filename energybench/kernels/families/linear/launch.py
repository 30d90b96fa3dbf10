"""Launching the fully connected layer and its gradients."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.linear import counts
from energybench.kernels.families.linear.shape import LinearShape, linear_backward_shape, linear_shape
from energybench.kernels.ladder import AUTO, TILED_ON_CUDA, TUNED_ON_CPU
from energybench.kernels.operator import Operator


def _linear(begin: Begin, s: LinearShape, x: Any, w: Any, bias: Any = None, **_layouts: Any) -> Outcome:
    call = begin({"x": x, "w": w, "bias": bias})
    y = call.allocate("y", s.M, s.N)
    arrays = [*map(call.dense, (x, w, bias)), y]
    if call.on_cuda:
        tallies = call.run_cuda([s.M, s.K, s.N, int(s.x_transposed), int(s.w_transposed)], arrays)
    else:
        tallies = call.run_cpu(*arrays, s.x_transposed, s.w_transposed)
    return call.finish(tallies, y)


def _linear_backward(begin: Begin, s: LinearShape, grad: Any, x: Any, w: Any, **_options: Any) -> Outcome:
    call = begin({"grad": grad, "x": x, "w": w})
    dx, dw = (call.allocate(f"d{name}", *array.shape) for name, array in (("x", x), ("w", w)))
    db = call.allocate("db", s.N) if s.has_bias else None
    arrays = [*map(call.dense, (grad, x, w)), dx, dw, db]
    if call.on_cuda:
        tallies = call.run_cuda([s.M, s.K, s.N, int(s.x_transposed), int(s.w_transposed)], arrays)
    else:
        tallies = call.run_cpu(*arrays, s.x_transposed, s.w_transposed)
    return call.finish(tallies, dx, dw, db)


LINEAR = Operator("linear", "forward", "gemm", TILED_ON_CUDA, linear_shape, counts.linear, _linear)
LINEAR_BACKWARD = Operator(
    "linear", "backward", "gemm", TUNED_ON_CPU, linear_backward_shape, counts.linear_backward, _linear_backward
)


def linear(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    x_layout: str = "mk",
    w_layout: str = "nk",
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Fully connected layer ``x wᵀ + bias``, equal to `torch.nn.functional.linear`.

    Args:
        x: ``[M, K]``, float32 or float64.
        w: ``[N, K]``.
        bias: ``[N]`` or None.
        x_layout: ``mk``, or ``km`` for an x that is stored transposed, ``[K, M]``; it is read where it lies.
        w_layout: ``nk``, or ``kn`` for a w that is stored transposed, ``[K, N]``.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[M, N]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    (y,) = LINEAR.run(x, w, bias, x_layout=x_layout, w_layout=w_layout, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def linear_backward(
    grad: TensorT,
    x: TensorT,
    w: TensorT,
    *,
    has_bias: bool = True,
    x_layout: str = "mk",
    w_layout: str = "nk",
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT | None]:
    """Gradients of `linear`, equal to those of torch's autograd.

    Args:
        grad: ``[M, N]``, the gradient of y.
        x: As in the forward pass.
        w: As in the forward pass.
        has_bias: Whether the layer has a bias.
        x_layout: As in the forward pass; dx lies as x does.
        w_layout: As in the forward pass; dw lies as w does.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        dx and dw, shaped as x and w, and ``db[N]`` (None without a bias). Errors as `linear`'s.
    """
    dx, dw, db = LINEAR_BACKWARD.run(
        grad, x, w, variant=variant, threads=threads, has_bias=has_bias, x_layout=x_layout, w_layout=w_layout
    )
    return dx, dw, db
