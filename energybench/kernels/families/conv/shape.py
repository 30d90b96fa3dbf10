"""Sizes of a two-dimensional convolution (``N C_in H W C_out KH KW``), read from a call and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from energybench.errors import UsageError
from energybench.kernels.arrays import check_size, common_dtype, describe, expect_shape
from energybench.kernels.windows import Pair, pair, window_positions

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array, Operand


Algorithm: TypeAlias = Literal["auto", "im2col", "direct"]
#: Output channels of a group up to which ``auto`` is direct: a packed patch would serve so few.
_FEW_CHANNELS: Final = 4
#: Elements of an image with its padding beyond which it is not copied: 1 GiB in float32.
_MOST_PADDED: Final = 2**28


@dataclass(frozen=True, slots=True)
class ConvShape:
    """``x[N, C_in, H, W]``, ``w[C_out, C_in/groups, KH, KW]`` → ``y[N, C_out, H_out, W_out]``."""

    N: int
    C_in: int
    H: int
    W: int
    C_out: int
    KH: int
    KW: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    has_bias: bool = False
    direct: bool = False

    @property
    def H_out(self) -> int:  # noqa: N802 - the glossary's letters
        """Output rows."""
        return window_positions(self.H, self.KH, self.stride[0], self.padding[0], self.dilation[0])

    @property
    def W_out(self) -> int:  # noqa: N802
        """Output columns."""
        return window_positions(self.W, self.KW, self.stride[1], self.padding[1], self.dilation[1])

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C_out, self.H_out, self.W_out

    @property
    def is_depthwise3(self) -> bool:
        """Whether the tuned rungs have a way of its own for it: csrc/kernels/depthwise.h."""
        small = (self.KH, self.KW) == (3, 3) and self.dilation == (1, 1) and self.stride in ((1, 1), (2, 2))
        return small and 1 < self.groups == self.C_in


def _with_algorithm(shape: ConvShape, algorithm: Algorithm) -> ConvShape:
    """The shape with the algorithm chosen. Raises UsageError where one that was asked for cannot work."""
    extents = [size + 2 * p for size, p in zip((shape.H, shape.W), shape.padding, strict=True)]
    too_large = max(shape.C_in, shape.C_out) * extents[0] * extents[1] > _MOST_PADDED and any(shape.padding)
    if algorithm == "im2col" and too_large:
        raise UsageError(f"padding {shape.padding} makes images too large to copy with it; choose algorithm='direct'")
    few = shape.C_out // shape.groups <= _FEW_CHANNELS
    return replace(shape, direct=algorithm == "direct" or (algorithm == "auto" and (few or too_large)))


def _shape(
    x: Operand,
    w: Operand,
    has_bias: bool,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
    algorithm: Algorithm,
) -> ConvShape:
    (N, C_in, H, W), (C_out, _, KH, KW) = x.shape, w.shape
    if type(groups) is not int or groups < 1:
        raise UsageError(f"groups={groups!r} is not valid; give a positive integer")
    if C_in % groups or C_out % groups:
        raise UsageError(f"groups={groups} divides not both C_in={C_in} and C_out={C_out}; choose one that does")
    if algorithm not in get_args(Algorithm):
        raise UsageError(f"algorithm={algorithm!r} is unknown; choose one of {', '.join(get_args(Algorithm))}")
    expect_shape(w, (C_out, C_in // groups, KH, KW), "[C_out, C_in/groups, KH, KW]")
    shape = ConvShape(
        *(N, C_in, H, W, C_out, KH, KW),
        pair("stride", stride, 1),
        pair("padding", padding, 0),
        pair("dilation", dilation, 1),
        groups,
        has_bias,
    )
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(
            f"a {KH}x{KW} kernel with dilation {shape.dilation} does not fit in {H}x{W} with padding {shape.padding}; "
            "pad more or use a smaller kernel"
        )
    check_size("y", shape.output_shape)
    return _with_algorithm(shape, algorithm)


def conv_shape(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv2d`. Raises UsageError."""
    operands = [describe("x", x, "N C_in H W"), describe("w", w, "C_out C_in/groups KH KW")]
    shape = _shape(operands[0], operands[1], bias is not None, stride, padding, dilation, groups, algorithm)
    if bias is not None:
        operands.append(describe("bias", bias, "C_out"))
        expect_shape(operands[-1], (shape.C_out,), "[C_out]")
    return shape, common_dtype(operands)


def conv_backward_shape(
    grad: Array,
    x: Array,
    w: Array,
    *,
    has_bias: bool = False,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: Algorithm = "auto",
) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv2d_backward`. Raises UsageError."""
    operands = [describe("x", x, "N C_in H W"), describe("w", w, "C_out C_in/groups KH KW")]
    shape = _shape(operands[0], operands[1], bool(has_bias), stride, padding, dilation, groups, algorithm)
    operands.append(describe("grad", grad, "N C_out H_out W_out"))
    expect_shape(operands[-1], shape.output_shape, "[N, C_out, H_out, W_out]")
    return shape, common_dtype(operands)
