"""Launching the fully connected layer."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.linear import counts
from energybench.kernels.families.linear.shape import LinearShape, linear_shape
from energybench.kernels.ladder import AUTO, TUNED_ON_CPU
from energybench.kernels.operator import Operator


def _linear(begin: Begin, s: LinearShape, x: Any, w: Any, bias: Any = None) -> Outcome:
    call = begin({"x": x, "w": w, "bias": bias})
    y = call.allocate("y", s.M, s.N)
    arrays = [*map(call.dense, (x, w, bias)), y]
    tallies = call.run_cuda([s.M, s.K, s.N], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, y)


LINEAR = Operator("linear", "forward", "gemm", TUNED_ON_CPU, linear_shape, counts.linear, _linear)


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
    (y,) = run(LINEAR, x, w, bias, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
