"""Launching the gated recurrent unit, forward and backward."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, overload

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.gru import counts
from energybench.kernels.families.gru.shape import GruShape, gru_backward_shape, gru_shape
from energybench.kernels.ladder import AUTO, TUNED_ON_CPU
from energybench.kernels.operator import Operator


def _gru(
    begin: Begin,
    s: GruShape,
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    output_gate: tuple[Any, Any, Any, Any] | None = None,
    **_options: Any,
) -> Outcome:
    gate = dict(zip(("w_io", "w_ho", "b_io", "b_ho"), output_gate or (None,) * 4, strict=True))
    given = {"x": x, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **gate}
    call = begin(given)
    y = call.allocate("y", s.T, s.B, s.H)
    h_n = call.allocate("h_n", s.B, s.H)
    state = call.allocate("state", 2, s.B, s.H) if s.has_output_gate else None
    gates = call.allocate("gates", s.T, s.B, s.kept, s.H) if s.keep_gates else None
    arrays = [*map(call.dense, given.values()), y, h_n, state, gates]
    tallies = call.run_cuda([s.T, s.B, s.I, s.H], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, *((y, h_n, gates) if s.keep_gates else (y, h_n)))


def _gru_backward(
    begin: Begin,
    s: GruShape,
    grad: Any,
    grad_h: Any,
    x: Any,
    h0: Any,
    y: Any,
    gates: Any,
    w_ih: Any,
    w_hh: Any,
    *,
    output_gate: tuple[Any, Any, Any, Any] | None = None,
    **_options: Any,
) -> Outcome:
    gate = dict(zip(("w_io", "w_ho"), output_gate or (None,) * 2, strict=False))
    states = None if s.has_output_gate else y  # with an output gate y is not read
    given = {"grad": grad, "grad_h": grad_h, "x": x, "h0": h0, "y": states, "gates": gates}
    call = begin({**given, "w_ih": w_ih, "w_hh": w_hh, **gate})
    T, B, I, H = s.T, s.B, s.I, s.H  # noqa: E741
    shapes: dict[str, tuple[int, ...] | None] = {
        "dx": (T, B, I),
        "dh0": (B, H),
        "dw_ih": (3 * H, I),
        "dw_hh": (3 * H, H),
        "db_ih": (3 * H,) if s.has_bias else None,
        "db_hh": (3 * H,) if s.has_bias else None,
        "dw_io": (H, I) if s.has_output_gate else None,
        "dw_ho": (H, H) if s.has_output_gate else None,
        "db_io": (H,) if s.has_output_gate and s.has_bias else None,
        "db_ho": (H,) if s.has_output_gate and s.has_bias else None,
    }
    results = [None if shape is None else call.allocate(name, *shape) for name, shape in shapes.items()]
    inputs = [*given.values(), w_ih, w_hh, *gate.values()]
    arrays = [*map(call.dense, inputs), *results]
    if call.on_cuda:
        sums = call.allocate("scratch", B * H * (T * (s.gates + 1) + 1))
        return call.finish(call.run_cuda([T, B, I, H], [*arrays, sums]), *results)
    return call.finish(call.run_cpu(*arrays), *results)


GRU = Operator("gru", "forward", "rnn", TUNED_ON_CPU, gru_shape, counts.gru, _gru)
GRU_BACKWARD = Operator("gru", "backward", "rnn", TUNED_ON_CPU, gru_backward_shape, counts.gru_backward, _gru_backward)


@overload
def gru(
    x: TensorT,
    h0: TensorT,
    w_ih: TensorT,
    w_hh: TensorT,
    b_ih: TensorT | None = None,
    b_hh: TensorT | None = None,
    *,
    output_gate: tuple[TensorT, TensorT, TensorT | None, TensorT | None] | None = None,
    return_gates: Literal[False] = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT]: ...
@overload
def gru(
    x: TensorT,
    h0: TensorT,
    w_ih: TensorT,
    w_hh: TensorT,
    b_ih: TensorT | None = None,
    b_hh: TensorT | None = None,
    *,
    output_gate: tuple[TensorT, TensorT, TensorT | None, TensorT | None] | None = None,
    return_gates: Literal[True],
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT]: ...


def gru(
    x: TensorT,
    h0: TensorT,
    w_ih: TensorT,
    w_hh: TensorT,
    b_ih: TensorT | None = None,
    b_hh: TensorT | None = None,
    *,
    output_gate: tuple[TensorT, TensorT, TensorT | None, TensorT | None] | None = None,
    return_gates: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT] | tuple[TensorT, TensorT, TensorT]:
    """One layer of a gated recurrent unit over a sequence, equal to `torch.nn.GRU`.

    Args:
        x: ``[T, B, I]``, float32 or float64.
        h0: ``[B, H]``, the first state.
        w_ih: ``[3H, I]``, gates in the order reset, update, candidate.
        w_hh: ``[3H, H]``.
        b_ih: ``[3H]``, or None together with `b_hh`.
        b_hh: ``[3H]``; its candidate part is inside the product with the reset gate.
        output_gate: ``(w_io[H, I], w_ho[H, H], b_io[H], b_ho[H])`` for the document's variant [D11], whose output is
            ``σ(W_io x + b_io + W_ho h + b_ho) ⊙ tanh(h_t)``; its biases are None where the cell has none.
        return_gates: Also return what `gru_backward` needs: ``gates[T, B, 4, H]``, in the order r, z, n and ``W_hn h +
            b_hn``; with an output gate ``[T, B, 6, H]``, with o and h.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[T, B, H]`` and the last state ``h_n[B, H]``, or them and ``gates``.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    options: Any = {
        "output_gate": output_gate,
        "return_gates": return_gates,
        "variant": variant,
        "threads": threads,
    }
    results: Any = GRU.run(x, h0, w_ih, w_hh, b_ih, b_hh, **options)
    return results  # type: ignore[no-any-return]


class GruGradients(NamedTuple, Generic[TensorT]):
    """Gradients of `gru`, each of its argument's shape; None where there is no such argument."""

    x: TensorT
    h0: TensorT
    w_ih: TensorT
    w_hh: TensorT
    b_ih: TensorT | None
    b_hh: TensorT | None
    w_io: TensorT | None
    w_ho: TensorT | None
    b_io: TensorT | None
    b_ho: TensorT | None


def gru_backward(
    grad: TensorT,
    grad_h: TensorT | None,
    x: TensorT,
    h0: TensorT,
    y: TensorT | None,
    gates: TensorT,
    w_ih: TensorT,
    w_hh: TensorT,
    *,
    has_bias: bool = True,
    output_gate: tuple[TensorT, TensorT, TensorT | None, TensorT | None] | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> GruGradients[TensorT]:
    """Gradients of `gru` through time, equal to those of torch's autograd.

    Args:
        grad: ``[T, B, H]``, the gradient of y.
        grad_h: ``[B, H]``, the gradient of h_n; None where nothing but y is used.
        x: ``[T, B, I]``, as in the forward pass; likewise `h0`, `w_ih` and `w_hh`.
        h0: ``[B, H]``.
        y: ``[T, B, H]``, the forward pass's result; with an output gate it is not read and may be None.
        gates: ``[T, B, 4, H]``, or ``[T, B, 6, H]`` with an output gate: kept by ``gru(..., return_gates=True)``.
        w_ih: ``[3H, I]``.
        w_hh: ``[3H, H]``.
        has_bias: Whether the cell has biases. Their values are not needed.
        output_gate: As in the forward pass; its biases are not read.
        variant: As `gru`'s.
        threads: As `gru`'s.

    Returns:
        `GruGradients`. Errors as `gru`'s.
    """
    options: Any = {"has_bias": has_bias, "output_gate": output_gate, "variant": variant, "threads": threads}
    return GruGradients(*GRU_BACKWARD.run(grad, grad_h, x, h0, y, gates, w_ih, w_hh, **options))
