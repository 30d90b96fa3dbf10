"""Launching temporal convolution: the kernel is `conv2d`'s."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.conv.launch import CONV2D
from energybench.kernels.families.conv.shape import Algorithm, ConvShape
from energybench.kernels.families.conv1d.shape import as_rows, conv1d_shape
from energybench.kernels.ladder import AUTO
from energybench.kernels.operator import Operator


def _conv1d(begin: Begin, s: ConvShape, x: Any, w: Any, bias: Any = None, **options: Any) -> Outcome:
    outcome = CONV2D.launch(begin, s, as_rows(x), as_rows(w), bias, **options)
    return replace(outcome, outputs=tuple(y[:, :, 0] for y in outcome.outputs))


CONV1D = Operator(
    *("conv1d", "forward", "conv", CONV2D.ladders), conv1d_shape, CONV2D.closed_form, _conv1d, runs=CONV2D.name
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
    (y,) = run(CONV1D, x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
