"""Sizes of copies, read from a call and checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from energybench.errors import UsageError
from energybench.kernels.arrays import PLACE_DTYPES, check_size, common_dtype, describe, expect_shape
from energybench.kernels.windows import LARGEST_STEP, Pair

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array

#: As `torch.nn.Conv2d` names them.
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
#: One kernel joins so many arrays (csrc/common/c_api.h).
_MOST_PARTS: Final = 16


@dataclass(frozen=True, slots=True)
class PadShape:
    """``x[N, C, H, W]`` → ``y[N, C, H_out, W_out]``: rows added above and below, columns left and right."""

    N: int
    C: int
    H: int
    W: int
    rows: Pair
    columns: Pair
    mode: PaddingMode

    @property
    def image(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def padded(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H + sum(self.rows), self.W + sum(self.columns)


@dataclass(frozen=True, slots=True)
class TransposeShape:
    """``x[batches, rows, columns, run]`` → ``y[batches, columns, rows, run]``; `result` is y as the caller sees it."""

    batches: int
    rows: int
    columns: int
    run: int
    result: tuple[int, ...]

    @property
    def view(self) -> tuple[int, int, int, int]:
        return self.batches, self.rows, self.columns, self.run

    @property
    def elements(self) -> int:
        return math.prod(self.view)


@dataclass(frozen=True, slots=True)
class ConcatShape:
    """Parts ``[N, C_i, …]`` → ``y[N, ΣC_i, …]``; `widths` are the elements of a part for each n."""

    N: int
    widths: tuple[int, ...]
    result: tuple[int, ...]

    @property
    def elements(self) -> int:
        return self.N * sum(self.widths)


@dataclass(frozen=True, slots=True)
class GatherShape:
    """``table[rows, n]`` and indices of any shape → ``y[…, n]``."""

    indices: tuple[int, ...]
    rows: int
    n: int

    @property
    def count(self) -> int:
        return math.prod(self.indices)


def four_sides(padding: object) -> tuple[Pair, Pair]:
    """Rows above and below, and columns left and right. Raises UsageError.

    `padding` is one number for all sides, two (height, width) as a convolution has them, or four (left, right, top,
    bottom) as `torch.nn.functional.pad` has them.
    """
    sides = tuple(padding) if isinstance(padding, Sequence) else (padding,) * 2
    if len(sides) not in (2, 4) or not all(type(p) is int and 0 <= p <= LARGEST_STEP for p in sides):
        raise UsageError(
            f"padding={padding!r} is not valid; give one integer, two (height, width) or four (left, right, top, "
            "bottom), none negative"
        )
    if len(sides) == 2:
        return (sides[0], sides[0]), (sides[1], sides[1])
    return (sides[2], sides[3]), (sides[0], sides[1])


def check_mode(mode: object) -> None:
    """Raise UsageError unless it is a padding mode."""
    if mode not in get_args(PaddingMode):
        raise UsageError(f"mode={mode!r} is unknown; choose one of {', '.join(get_args(PaddingMode))}")


def _padded(image: tuple[int, ...], sides: tuple[Pair, Pair], mode: PaddingMode) -> PadShape:
    for size, added, axis in zip(image[2:], sides, ("H", "W"), strict=True):
        most = {"reflect": size - 1, "circular": size}.get(mode)
        if most is not None and max(added) > most:
            raise UsageError(
                f"{mode} padding of {max(added)} goes further than {axis}={size} has pixels to give; pad at most {most}"
            )
    N, C, H, W = image
    shape = PadShape(N, C, H, W, *sides, mode)
    check_size("y", shape.padded)
    return shape


def pad_shape(x: Array, *, padding: int | Sequence[int], mode: PaddingMode = "zeros") -> tuple[PadShape, str]:
    """Sizes and element type of a call of `pad2d`. Raises UsageError."""
    operand = describe("x", x, "N C H W")
    check_mode(mode)
    return _padded(operand.shape, four_sides(padding), mode), common_dtype([operand])


def pad_backward_shape(
    grad: Array, *, padding: int | Sequence[int], mode: PaddingMode = "zeros"
) -> tuple[PadShape, str]:
    """Sizes and element type of a call of `pad2d_backward`. Raises UsageError."""
    operand = describe("grad", grad, "N C H_out W_out")
    check_mode(mode)
    sides = four_sides(padding)
    N, C, H_out, W_out = operand.shape
    image = (N, C, H_out - sum(sides[0]), W_out - sum(sides[1]))
    if min(image) < 1:
        raise UsageError(
            f"grad has shape {list(operand.shape)}, all of it padding; give the gradient of pad2d's result"
        )
    return _padded(image, sides, mode), common_dtype([operand])


def nchw_to_nhwc_shape(x: Array) -> tuple[TransposeShape, str]:
    """Sizes and element type of a call of `nchw_to_nhwc`. Raises UsageError."""
    operand = describe("x", x, "N C H W")
    N, C, H, W = operand.shape
    return TransposeShape(N, C, H * W, 1, (N, H, W, C)), common_dtype([operand])


def nhwc_to_nchw_shape(x: Array) -> tuple[TransposeShape, str]:
    """Sizes and element type of a call of `nhwc_to_nchw`. Raises UsageError."""
    operand = describe("x", x, "N H W C")
    N, H, W, C = operand.shape
    return TransposeShape(N, H * W, C, 1, (N, C, H, W)), common_dtype([operand])


def split_heads_shape(x: Array, *, heads: int) -> tuple[TransposeShape, str]:
    """Sizes and element type of a call of `split_heads`. Raises UsageError."""
    operand = describe("x", x, "B S E")
    B, S, E = operand.shape
    if type(heads) is not int or heads < 1 or E % heads:
        raise UsageError(f"heads={heads!r} is not valid; give a positive integer that divides E={E}")
    return TransposeShape(B, S, heads, E // heads, (B, heads, S, E // heads)), common_dtype([operand])


def merge_heads_shape(x: Array) -> tuple[TransposeShape, str]:
    """Sizes and element type of a call of `merge_heads`. Raises UsageError."""
    operand = describe("x", x, "B Hn S D")
    B, Hn, S, D = operand.shape
    return TransposeShape(B, Hn, S, D, (B, S, Hn * D)), common_dtype([operand])


def concat_shape(*parts: Array) -> tuple[ConcatShape, str]:
    """Sizes and element type of a call of `concat_channels`. Raises UsageError."""
    if not 1 <= len(parts) <= _MOST_PARTS:
        raise UsageError(f"{len(parts)} arrays were given to join; give 1 to {_MOST_PARTS}")
    operands = [describe(f"part {i}", part, "... N C") for i, part in enumerate(parts)]
    N, _, *rest = operands[0].shape
    for operand in operands[1:]:
        expect_shape(operand, (N, *operand.shape[1:2], *rest), "[N, C, …], equal to part 0 but for C")
    result = (N, sum(operand.shape[1] for operand in operands), *rest)
    check_size("y", result)
    return ConcatShape(N, tuple(math.prod(o.shape[1:]) for o in operands), result), common_dtype(operands)


def embedding_shape(indices: Array, table: Array) -> tuple[GatherShape, str]:
    """Sizes and element type of a call of `embedding`. Raises UsageError."""
    places, operand = describe("indices", indices, "...", PLACE_DTYPES), describe("table", table, "rows n")
    shape = GatherShape(places.shape, *operand.shape)
    check_size("y", (*places.shape, shape.n))
    return shape, common_dtype([operand])
