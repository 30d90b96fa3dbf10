"""Problem sizes of the native kernels, read from the arguments of a call and checked once.

Letters are the project's glossary: convolution ``N C_in H W C_out KH KW``, GRU ``T B I H``, attention ``B Hn S D``;
linear ``M K N``, rows ``rows n``, pooling ``N C H W``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from energybench.errors import UsageError
from energybench.kernels.arrays import check_size, common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array

Pair: TypeAlias = tuple[int, int]
#: Strides and paddings are far below this; beyond it a window's position could overflow 64 bits.
_LARGEST_STEP: Final = 2**31 - 1


def _pair(name: str, value: object, least: int) -> Pair:
    """An integer or two of them, for height and width."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2 or not all(type(v) is int and least <= v <= _LARGEST_STEP for v in values):
        raise UsageError(f"{name}={value!r} is not valid; give one or two integers of at least {least}")
    return values[0], values[1]


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

    @property
    def H_out(self) -> int:  # noqa: N802 - the glossary's letters
        """Output rows: floor((H + 2p − d(KH−1) − 1)/s) + 1 [D9, corrected]."""
        return (self.H + 2 * self.padding[0] - self.dilation[0] * (self.KH - 1) - 1) // self.stride[0] + 1

    @property
    def W_out(self) -> int:  # noqa: N802
        """Output columns."""
        return (self.W + 2 * self.padding[1] - self.dilation[1] * (self.KW - 1) - 1) // self.stride[1] + 1

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
) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv2d`. Raises UsageError."""
    operands = [describe("x", x, "N C_in H W"), describe("w", w, "C_out C_in/groups KH KW")]
    (N, C_in, H, W), (C_out, _, KH, KW) = operands[0].shape, operands[1].shape
    if type(groups) is not int or groups < 1:
        raise UsageError(f"groups={groups!r} is not valid; give a positive integer")
    if C_in % groups or C_out % groups:
        raise UsageError(f"groups={groups} divides not both C_in={C_in} and C_out={C_out}; choose one that does")
    expect_shape(operands[1], (C_out, C_in // groups, KH, KW), "[C_out, C_in/groups, KH, KW]")
    if bias is not None:
        operands.append(describe("bias", bias, "C_out"))
        expect_shape(operands[-1], (C_out,), "[C_out]")
    shape = ConvShape(
        *(N, C_in, H, W, C_out, KH, KW),
        _pair("stride", stride, 1),
        _pair("padding", padding, 0),
        _pair("dilation", dilation, 1),
        groups,
        bias is not None,
    )
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(
            f"a {KH}x{KW} kernel with dilation {shape.dilation} does not fit in {H}x{W} with padding {shape.padding}; "
            "pad more or use a smaller kernel"
        )
    check_size("y", shape.output_shape)
    return shape, common_dtype(operands)


@dataclass(frozen=True, slots=True)
class GruShape:
    """``x[T, B, I]``, ``h0[B, H]`` → ``y[T, B, H]``, ``h_n[B, H]``."""

    T: int
    B: int
    I: int  # noqa: E741 - the glossary's letter for the input size
    H: int
    has_bias: bool = True
    has_output_gate: bool = False


#: The extra weights of the document's variant: ``(w_io[H, I], w_ho[H, H], b_io[H] or None, b_ho[H] or None)``.
OutputGate: TypeAlias = "tuple[Array, Array, Array | None, Array | None]"


def gru_shape(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    output_gate: OutputGate | None = None,
) -> tuple[GruShape, str]:
    """Sizes and element type of a call of `gru`. Raises UsageError."""
    operands = [describe("x", x, "T B I"), describe("h0", h0, "B H")]
    (T, B, I), (_, H) = operands[0].shape, operands[1].shape  # noqa: E741
    expect_shape(operands[1], (B, H), "[B, H]")
    if (b_ih is None) != (b_hh is None):
        raise UsageError("one of b_ih and b_hh is missing; give both or neither")
    weights: list[tuple[str, Array | None, tuple[int, ...], str]] = [
        ("w_ih", w_ih, (3 * H, I), "3H I"),
        ("w_hh", w_hh, (3 * H, H), "3H H"),
        ("b_ih", b_ih, (3 * H,), "3H"),
        ("b_hh", b_hh, (3 * H,), "3H"),
    ]
    if output_gate is not None:
        given: object = output_gate
        if not isinstance(given, tuple) or len(given) != 4:
            raise UsageError("output_gate is not a tuple of four; give (w_io[H, I], w_ho[H, H], b_io[H], b_ho[H])")
        w_io, w_ho, b_io, b_ho = output_gate
        if (b_io is None) != (b_ih is None) or (b_ho is None) != (b_hh is None):
            raise UsageError(
                "the output gate needs biases exactly when the cell has them; give b_io and b_ho, or no bias"
            )
        weights += [("w_io", w_io, (H, I), "H I"), ("w_ho", w_ho, (H, H), "H H"), ("b_io", b_io, (H,), "H")]
        weights += [("b_ho", b_ho, (H,), "H")]
    for name, array, expected, axes in weights:
        if array is not None:
            operands.append(describe(name, array, axes))
            expect_shape(operands[-1], expected, f"[{', '.join(axes.split())}]")
    return GruShape(T, B, I, H, b_ih is not None, output_gate is not None), common_dtype(operands)


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """``q[B, Hn, S_q, D]``, ``k`` and ``v[B, Hn, S_k, D]`` → ``y[B, Hn, S_q, D]``."""

    B: int
    Hn: int
    S_q: int
    S_k: int
    D: int
    causal: bool = False

    @property
    def visible_pairs(self) -> int:
        """Pairs of query and key in one head: query i sees min(i + 1, S_k) keys under a causal mask, else all."""
        if not self.causal:
            return self.S_q * self.S_k
        ramp = min(self.S_q, self.S_k)
        return ramp * (ramp + 1) // 2 + (self.S_q - ramp) * self.S_k


def attention_shape(
    q: Array, k: Array, v: Array, *, causal: bool = False, scale: float | None = None
) -> tuple[AttentionShape, str]:
    """Sizes and element type of a call of `attention`. Raises UsageError."""
    operands = [describe("q", q, "B Hn S_q D"), describe("k", k, "B Hn S_k D"), describe("v", v, "B Hn S_k D")]
    (B, Hn, S_q, D), S_k = operands[0].shape, operands[1].shape[2]
    for operand in operands[1:]:
        expect_shape(operand, (B, Hn, S_k, D), "[B, Hn, S_k, D] of q and k")
    if type(causal) is not bool:
        raise UsageError(f"causal={causal!r} is not valid; give True or False")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float)):
        raise UsageError(f"scale={scale!r} is not a number; give a float, or None for 1/sqrt(D)")
    return AttentionShape(B, Hn, S_q, S_k, D, causal), common_dtype(operands)


@dataclass(frozen=True, slots=True)
class LinearShape:
    """``x[M, K]``, ``w[N, K]``, ``bias[N]`` → ``y[M, N]``."""

    M: int
    K: int
    N: int
    has_bias: bool = False


def linear_shape(x: Array, w: Array, bias: Array | None = None) -> tuple[LinearShape, str]:
    """Sizes and element type of a call of `linear`. Raises UsageError."""
    operands = [describe("x", x, "M K"), describe("w", w, "N K")]
    (M, K), N = operands[0].shape, operands[1].shape[0]
    expect_shape(operands[1], (N, K), "[N, K] with the K of x")
    if bias is not None:
        operands.append(describe("bias", bias, "N"))
        expect_shape(operands[-1], (N,), "[N]")
    check_size("y", (M, N))
    return LinearShape(M, K, N, bias is not None), common_dtype(operands)


@dataclass(frozen=True, slots=True)
class RowShape:
    """``x[..., n]``: `rows` rows that are worked on one by one; `shape` is the whole."""

    shape: tuple[int, ...]
    has_weight: bool = False
    has_bias: bool = False

    @property
    def n(self) -> int:
        return self.shape[-1]

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])


def softmax_shape(x: Array) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `softmax`. Raises UsageError."""
    operand = describe("x", x, "... n")
    return RowShape(operand.shape), common_dtype([operand])


def layer_norm_shape(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `layer_norm`. Raises UsageError."""
    operands = [describe("x", x, "... n")]
    n = operands[0].shape[-1]
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            operands.append(describe(name, array, "n"))
            expect_shape(operands[-1], (n,), "[n], the last dimension of x")
    given: object = eps
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise UsageError(f"eps={eps!r} is not valid; give a number that is not negative, such as 1e-5")
    return RowShape(operands[0].shape, weight is not None, bias is not None), common_dtype(operands)


@dataclass(frozen=True, slots=True)
class PointwiseShape:
    """A function of each element of ``x``."""

    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        return math.prod(self.shape)


def pointwise_shape(x: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `relu`, `sigmoid`, `tanh` or `gelu`. Raises UsageError."""
    operand = describe("x", x, "...")
    return PointwiseShape(operand.shape), common_dtype([operand])


@dataclass(frozen=True, slots=True)
class PoolShape:
    """``x[N, C, H, W]`` → ``y[N, C, H_out, W_out]``."""

    N: int
    C: int
    H: int
    W: int
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def H_out(self) -> int:  # noqa: N802 - the glossary's letters
        return (self.H + 2 * self.padding[0] - self.dilation[0] * (self.window[0] - 1) - 1) // self.stride[0] + 1

    @property
    def W_out(self) -> int:  # noqa: N802
        return (self.W + 2 * self.padding[1] - self.dilation[1] * (self.window[1] - 1) - 1) // self.stride[1] + 1

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H_out, self.W_out


def max_pool_shape(
    x: Array,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `max_pool2d`. Raises UsageError."""
    operand = describe("x", x, "N C H W")
    N, C, H, W = operand.shape
    window = _pair("kernel_size", kernel_size, 1)
    shape = PoolShape(
        *(N, C, H, W),
        window,
        window if stride is None else _pair("stride", stride, 1),
        _pair("padding", padding, 0),
        _pair("dilation", dilation, 1),
    )
    if any(2 * p > k for p, k in zip(shape.padding, window, strict=True)):
        raise UsageError(f"padding {shape.padding} exceeds half the window {window}; a window would hold no input")
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(f"a window of {window} does not fit in {shape.H}x{shape.W}; pad more or use a smaller one")
    check_size("y", shape.output_shape)
    return shape, common_dtype([operand])


def avg_pool_shape(
    x: Array,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `avg_pool2d`. Raises UsageError."""
    return max_pool_shape(x, kernel_size=kernel_size, stride=stride, padding=padding)


@dataclass(frozen=True, slots=True)
class FmaProbeShape:
    """`streams` independent streams of `steps` rounds of 14 MACs on each of `lanes` lanes (csrc/kernels/probes.h)."""

    streams: int
    steps: int
    lanes: int


@dataclass(frozen=True, slots=True)
class StreamProbeShape:
    """`n` elements copied `repeats` times."""

    n: int
    repeats: int
