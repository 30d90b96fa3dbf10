"""Sizes of a gated recurrent unit (``T B I H``), read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


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
