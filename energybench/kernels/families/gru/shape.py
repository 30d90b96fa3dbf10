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
    keep_gates: bool = False
    has_grad_h: bool = False

    @property
    def gates(self) -> int:
        """Reset, update, candidate, and the output gate where there is one."""
        return 4 if self.has_output_gate else 3

    @property
    def kept(self) -> int:
        """Values that a training forward keeps of each element: r, z, n, ĥ; with an output gate also o and h."""
        return 6 if self.has_output_gate else 4


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
    return_gates: bool = False,
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
        w_io, w_ho, b_io, b_ho = _four_of(output_gate, "b_io[H], b_ho[H]")
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
    shape = GruShape(T, B, I, H, b_ih is not None, output_gate is not None, bool(return_gates))
    return shape, common_dtype(operands)


def _four_of(output_gate: OutputGate, biases: str) -> OutputGate:
    given: object = output_gate
    if not isinstance(given, tuple) or len(given) != 4:
        raise UsageError(f"output_gate is not a tuple of four; give (w_io[H, I], w_ho[H, H], {biases})")
    return output_gate


def gru_backward_shape(
    grad: Array,
    grad_h: Array | None,
    x: Array,
    h0: Array,
    y: Array | None,
    gates: Array,
    w_ih: Array,
    w_hh: Array,
    *,
    has_bias: bool = True,
    output_gate: OutputGate | None = None,
) -> tuple[GruShape, str]:
    """Sizes and element type of a call of `gru_backward`. Raises UsageError."""
    operands = [describe("grad", grad, "T B H"), describe("x", x, "T B I"), describe("h0", h0, "B H")]
    (T, B, I), H = operands[1].shape, operands[2].shape[1]  # noqa: E741
    shape = GruShape(T, B, I, H, bool(has_bias), output_gate is not None, has_grad_h=grad_h is not None)
    expect_shape(operands[0], (T, B, H), "[T, B, H]")
    expect_shape(operands[2], (B, H), "[B, H]")
    given: list[tuple[str, Array, tuple[int, ...], str]] = [
        ("gates", gates, (T, B, shape.kept, H), "T B kept H"),
        ("w_ih", w_ih, (3 * H, I), "3H I"),
        ("w_hh", w_hh, (3 * H, H), "3H H"),
    ]
    if output_gate is not None:
        w_io, w_ho, *_ = _four_of(output_gate, "None, None")
        given += [("w_io", w_io, (H, I), "H I"), ("w_ho", w_ho, (H, H), "H H")]
    elif y is None:
        raise UsageError("y is missing; give the result of the forward pass, which holds the states")
    else:
        given.append(("y", y, (T, B, H), "T B H"))
    if grad_h is not None:
        given.append(("grad_h", grad_h, (B, H), "B H"))
    for name, array, expected, axes in given:
        operands.append(describe(name, array, axes))
        expect_shape(operands[-1], expected, f"[{', '.join(axes.split())}]")
    return shape, common_dtype(operands)
