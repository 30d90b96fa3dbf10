"""Sizes of a two-dimensional convolution (``N C_in H W C_out KH KW``), read from a call and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from energybench.errors import UsageError
from energybench.kernels.arrays import check_size, common_dtype, describe, expect_shape
from energybench.kernels.windows import Pair, pair, window_positions

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


Algorithm: TypeAlias = Literal["auto", "im2col", "direct"]
#: Output channels of a group up to which ``auto`` is direct: a packed patch would serve so few.
_FEW_CHANNELS: Final = 4


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
    (N, C_in, H, W), (C_out, _, KH, KW) = operands[0].shape, operands[1].shape
    if type(groups) is not int or groups < 1:
        raise UsageError(f"groups={groups!r} is not valid; give a positive integer")
    if C_in % groups or C_out % groups:
        raise UsageError(f"groups={groups} divides not both C_in={C_in} and C_out={C_out}; choose one that does")
    if algorithm not in get_args(Algorithm):
        raise UsageError(f"algorithm={algorithm!r} is unknown; choose one of {', '.join(get_args(Algorithm))}")
    expect_shape(operands[1], (C_out, C_in // groups, KH, KW), "[C_out, C_in/groups, KH, KW]")
    if bias is not None:
        operands.append(describe("bias", bias, "C_out"))
        expect_shape(operands[-1], (C_out,), "[C_out]")
    shape = ConvShape(
        *(N, C_in, H, W, C_out, KH, KW),
        pair("stride", stride, 1),
        pair("padding", padding, 0),
        pair("dilation", dilation, 1),
        groups,
        bias is not None,
        algorithm == "direct" or (algorithm == "auto" and C_out // groups <= _FEW_CHANNELS),
    )
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(
            f"a {KH}x{KW} kernel with dilation {shape.dilation} does not fit in {H}x{W} with padding {shape.padding}; "
            "pad more or use a smaller kernel"
        )
    check_size("y", shape.output_shape)
    return shape, common_dtype(operands)
