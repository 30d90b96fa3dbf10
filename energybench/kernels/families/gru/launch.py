"""Launching the gated recurrent unit."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.gru import counts
from energybench.kernels.families.gru.shape import GruShape, gru_shape
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
) -> Outcome:
    gate = dict(zip(("w_io", "w_ho", "b_io", "b_ho"), output_gate or (None,) * 4, strict=True))
    given = {"x": x, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **gate}
    call = begin(given)
    y = call.allocate("y", s.T, s.B, s.H)
    h_n = call.allocate("h_n", s.B, s.H)
    state = call.allocate("state", 2, s.B, s.H) if s.has_output_gate else None
    arrays = [*map(call.dense, given.values()), y, h_n, state]
    tallies = call.run_cuda([s.T, s.B, s.I, s.H], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, y, h_n)


GRU = Operator("gru", "forward", "rnn", TUNED_ON_CPU, gru_shape, counts.gru, _gru)


def gru(
    x: TensorT,
    h0: TensorT,
    w_ih: TensorT,
    w_hh: TensorT,
    b_ih: TensorT | None = None,
    b_hh: TensorT | None = None,
    *,
    output_gate: tuple[TensorT, TensorT, TensorT | None, TensorT | None] | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT]:
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
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[T, B, H]`` and the last state ``h_n[B, H]``.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    options: Any = {"output_gate": output_gate, "variant": variant, "threads": threads}
    y, h_n = run(GRU, x, h0, w_ih, w_hh, b_ih, b_hh, **options)
    return y, h_n
