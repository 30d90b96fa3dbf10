"""Sizes of a batch normalisation (``N C S``), read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_like, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array, Operand


@dataclass(frozen=True, slots=True)
class BatchNormShape:
    """``x[N, C, ...]``: the elements of a channel in all images share one mean and variance; `shape` is the whole."""

    shape: tuple[int, ...]
    has_weight: bool = False
    has_bias: bool = False
    has_running: bool = False
    training: bool = True
    keep_statistics: bool = False

    @property
    def N(self) -> int:  # noqa: N802 - the glossary's letter
        return self.shape[0]

    @property
    def C(self) -> int:  # noqa: N802
        return self.shape[1]

    @property
    def S(self) -> int:  # noqa: N802
        """Places in an image."""
        return math.prod(self.shape[2:])


def _channels(x: Operand, given: dict[str, Array | None]) -> list[Operand]:
    operands = [describe(name, array, "C") for name, array in given.items() if array is not None]
    for operand in operands:
        expect_shape(operand, x.shape[1:2], "[C], the channels of x")
    return operands


def _image(name: str, array: Array) -> Operand:
    operand = describe(name, array, "... C")
    if len(operand.shape) < 2:
        raise UsageError(f"{name} has 1 dimension; give at least 2: [N, C, ...]")
    return operand


def _checked_number(name: str, given: object, most: float, advice: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= most or math.isinf(given):
        raise UsageError(f"{name}={given!r} is not valid; give {advice}")


def batch_norm_shape(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    return_statistics: bool = False,
) -> tuple[BatchNormShape, str]:
    """Sizes and element type of a call of `batch_norm`. Raises UsageError."""
    image = _image("x", x)
    _checked_number("eps", eps, math.inf, "a number that is not negative, such as 1e-5")
    _checked_number("momentum", momentum, 1.0, "a number from 0 to 1, such as 0.1")
    if (running_mean is None) != (running_var is None):
        raise UsageError("one of running_mean and running_var is missing; give both or neither")
    if not training and running_mean is None:
        raise UsageError("inference needs running_mean and running_var; give them, or training=True")
    if not training and return_statistics:
        raise UsageError("inference makes no statistics; leave return_statistics out")
    if training and math.prod(image.shape) == image.shape[1]:
        raise UsageError(f"x has one element per channel, shape {list(image.shape)}; training needs more than one")
    given = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    shape = BatchNormShape(
        image.shape,
        weight is not None,
        bias is not None,
        running_mean is not None,
        bool(training),
        bool(return_statistics),
    )
    return shape, common_dtype([image, *_channels(image, given)])


def batch_norm_backward_shape(
    grad: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None = None,
    *,
    training: bool = True,
    eps: float = 1e-5,
    has_bias: bool | None = None,
) -> tuple[BatchNormShape, str]:
    """Sizes and element type of a call of `batch_norm_backward`. Raises UsageError."""
    operands = [_image("grad", grad), _image("x", x)]
    expect_like(*operands)
    _checked_number("eps", eps, math.inf, "a number that is not negative, such as 1e-5")
    with_bias = weight is not None if has_bias is None else bool(has_bias)
    channels = _channels(operands[1], {"mean": mean, "rstd": rstd, "weight": weight})
    shape = BatchNormShape(operands[0].shape, weight is not None, with_bias, training=bool(training))
    return shape, common_dtype([*operands, *channels])
