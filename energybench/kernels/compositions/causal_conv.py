"""Temporal convolution that sees no future [D8]."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.conv1d.launch import CONV1D
from energybench.kernels.families.conv1d.shape import as_rows, one
from energybench.kernels.families.copies.launch import PAD2D
from energybench.kernels.ladder import AUTO


def _causal_conv1d(part: Part, x: Any, w: Any, bias: Any = None, *, dilation: int = 1, **options: Any) -> Any:
    past = one("dilation", dilation, 1) * (w.shape[-1] - 1)
    padded = part(PAD2D, as_rows(x), padding=(past, 0, 0, 0))
    return part(CONV1D, padded[:, :, 0], w, bias, dilation=dilation, **options)


CAUSAL_CONV1D = composition(_causal_conv1d, "causal_conv1d")


def causal_conv1d(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Temporal convolution whose output at a step sees that step and earlier ones: `pad2d` of the past, then `conv1d`.

    Equal to ``conv1d(torch.nn.functional.pad(x, (dilation·(K − 1), 0)), w, bias)`` [D8]. Arguments, result and errors
    otherwise as `conv1d`'s.
    """
    options: Any = {"stride": stride, "dilation": dilation, "groups": groups}
    (y,) = CAUSAL_CONV1D.run(x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
