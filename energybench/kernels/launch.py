"""Running the native kernels: plain for measuring, counting for counts, on the CPU or a CUDA device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import layers, shapes
from energybench.kernels.arrays import common_dtype, describe, expect_shape
from energybench.kernels.call import Call, TensorT
from energybench.kernels.registry import AUTO, resolve_operator, resolve_variant
from energybench.records.op_counts import OpCounts

#: Elements of padding between two threads' scratch rows: 64 of float32 are four cache lines, so none is shared.
_ROW_PADDING: Final = 64


@dataclass(frozen=True, slots=True)
class CountedRun:
    """What a counting kernel returned: its outputs and its tallies, with ``issued`` traffic."""

    outputs: tuple[Any, ...]
    counts: OpCounts
    kernel: str
    variant: str
    counts_source: str = "counted"


def _conv2d(
    counting: bool,
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[tuple[Any, ...], OpCounts | None]:
    s, dtype = shapes.conv_shape(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    call = Call("conv2d", variant, threads, counting, dtype, {"x": x, "w": w, "bias": bias})
    y = call.allocate("y", *s.output_shape)
    arrays = [*map(call.dense, (x, w, bias)), y]
    if call.on_cuda:
        sizes = [s.N, s.C_in, s.H, s.W, s.C_out, s.KH, s.KW, *s.stride, *s.padding, *s.dilation, s.groups]
        counts = call.run_cuda(sizes, arrays)
    else:
        counts = call.run_cpu(*arrays, s.stride, s.padding, s.dilation, s.groups)
    return (call.workspace.result(y),), counts


def _gru(
    counting: bool,
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    output_gate: tuple[Any, Any, Any, Any] | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[tuple[Any, ...], OpCounts | None]:
    s, dtype = shapes.gru_shape(x, h0, w_ih, w_hh, b_ih, b_hh, output_gate=output_gate)
    gate = dict(zip(("w_io", "w_ho", "b_io", "b_ho"), output_gate or (None,) * 4, strict=True))
    given = {"x": x, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **gate}
    call = Call("gru", variant, threads, counting, dtype, given)
    y = call.allocate("y", s.T, s.B, s.H)
    h_n = call.allocate("h_n", s.B, s.H)
    state = call.allocate("state", 2, s.B, s.H) if s.has_output_gate else None
    arrays = [*map(call.dense, given.values()), y, h_n, state]
    counts = call.run_cuda([s.T, s.B, s.I, s.H], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return (call.workspace.result(y), call.workspace.result(h_n)), counts


def _attention(
    counting: bool,
    q: Any,
    k: Any,
    v: Any,
    *,
    causal: bool = False,
    scale: float | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[tuple[Any, ...], OpCounts | None]:
    s, dtype = shapes.attention_shape(q, k, v, causal=causal, scale=scale)
    call = Call("attention", variant, threads, counting, dtype, {"q": q, "k": k, "v": v})
    factor = 1 / math.sqrt(s.D) if scale is None else float(scale)
    y = call.allocate("y", s.B, s.Hn, s.S_q, s.D)
    rows, row_length = (s.B * s.Hn * s.S_q, s.S_k) if call.on_cuda else (call.threads, s.S_k + _ROW_PADDING)
    scratch = call.allocate("scratch", rows, row_length)
    arrays = [*map(call.dense, (q, k, v)), y, scratch]
    if call.on_cuda:
        counts = call.run_cuda([s.B, s.Hn, s.S_q, s.S_k, s.D, int(s.causal)], arrays, factor)
    else:
        counts = call.run_cpu(*arrays, factor, s.causal)
    return (call.workspace.result(y),), counts


def _probe_fma(
    counting: bool, x: Any, *, steps: int, variant: str = AUTO, threads: int | None = None
) -> tuple[tuple[Any, ...], OpCounts | None]:
    s, dtype = fma_probe_shape(x, steps=steps)
    call = Call("probe_fma", variant, threads, counting, dtype, {"x": x})
    y = call.allocate("y", s.streams)
    counts = call.run_cpu(call.dense(x), y, s.steps)
    return (call.workspace.result(y),), counts


def _probe_stream(
    counting: bool, x: Any, *, repeats: int = 1, variant: str = AUTO, threads: int | None = None
) -> tuple[tuple[Any, ...], OpCounts | None]:
    s, dtype = stream_probe_shape(x, repeats=repeats)
    call = Call("probe_stream", variant, threads, counting, dtype, {"x": x})
    y = call.allocate("y", s.n)
    counts = call.run_cpu(call.dense(x), y, s.repeats)
    return (call.workspace.result(y),), counts


def _positive(name: str, value: int) -> int:
    if type(value) is not int or not 1 <= value < 2**62:
        raise UsageError(f"{name}={value!r} is not valid; give a positive integer")
    return value


def fma_probe_shape(x: Any, *, steps: int) -> tuple[shapes.FmaProbeShape, str]:
    """Sizes and element type of a call of `probe_fma`. Raises UsageError."""
    operand = describe("x", x, "streams 14 lanes")
    lanes = 8 if operand.dtype == "float32" else 4  # one AVX2 register
    streams = operand.shape[0]
    expect_shape(operand, (streams, 14, lanes), f"[streams, 14, {lanes}] for {operand.dtype}")
    return shapes.FmaProbeShape(streams, _positive("steps", steps), lanes), common_dtype([operand])


def stream_probe_shape(x: Any, *, repeats: int = 1) -> tuple[shapes.StreamProbeShape, str]:
    """Sizes and element type of a call of `probe_stream`. Raises UsageError."""
    operand = describe("x", x, "n")
    return shapes.StreamProbeShape(operand.shape[0], _positive("repeats", repeats)), common_dtype([operand])


def conv2d(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Two-dimensional convolution, as `torch.nn.functional.conv2d` defines it.

    Args:
        x: ``[N, C_in, H, W]``, float32 or float64.
        w: ``[C_out, C_in/groups, KH, KW]``.
        bias: ``[C_out]`` or None.
        stride: One integer, or two for height and width.
        padding: Zeros on each side; the taps that fall on them are skipped.
        dilation: Distance between taps.
        groups: Groups of channels; ``groups == C_in`` is depthwise.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[N, C_out, H_out, W_out]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    (y,), _ = _conv2d(False, x, w, bias, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


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
    (y, h_n), _ = _gru(False, x, h0, w_ih, w_hh, b_ih, b_hh, **options)
    return y, h_n


def attention(
    q: TensorT,
    k: TensorT,
    v: TensorT,
    *,
    causal: bool = False,
    scale: float | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """The core of multi-head attention: ``softmax(scale · q kᵀ) v`` [D13, D14].

    Equal to `torch.nn.functional.scaled_dot_product_attention`.

    Args:
        q: ``[B, Hn, S_q, D]``, float32 or float64.
        k: ``[B, Hn, S_k, D]``.
        v: ``[B, Hn, S_k, D]``.
        causal: Query i sees keys 0…i (aligned at the top left); masked keys are skipped, not computed.
        scale: Factor of the scores; None is ``1/sqrt(D)``.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[B, Hn, S_q, D]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    (y,), _ = _attention(False, q, k, v, causal=causal, scale=scale, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_fma(x: TensorT, *, steps: int, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: MACs without memory traffic.

    Args:
        x: Starting points ``[streams, 14, 8]`` of float32 or ``[streams, 14, 4]`` of float64.
        steps: Rounds; each is 14 MACs on every lane of a stream.
        variant: ``auto``.
        threads: CPU threads; streams are shared among them.

    Returns:
        The sum of each stream's points, ``[streams]``.
    """
    (y,), _ = _probe_fma(False, x, steps=steps, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_stream(x: TensorT, *, repeats: int = 1, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: bytes without arithmetic; copies ``x[n]`` `repeats` times and returns the copy."""
    (y,), _ = _probe_stream(False, x, repeats=repeats, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


_RUNNERS: Final[Mapping[str, Callable[..., tuple[tuple[Any, ...], OpCounts | None]]]] = {
    "conv2d": _conv2d,
    "gru": _gru,
    "attention": _attention,
    **layers.RUNNERS,
    "probe_fma": _probe_fma,
    "probe_stream": _probe_stream,
}


def counted_run(kernel: str, *arrays: Any, **options: Any) -> CountedRun:
    """Run the counting instantiation of a kernel on real data: same arguments as the kernel, same outputs bit for bit.

    It is slow (every operation is tallied) and must not be measured. Raises what the kernel raises.
    """
    runner = _RUNNERS[resolve_operator(kernel)]
    outputs, counts = runner(True, *arrays, **options)
    if counts is None:
        raise NativeModuleError(f"{kernel} returned no counts; reinstall energybench")
    return CountedRun(outputs, counts, kernel, resolve_variant(kernel, options.get("variant", AUTO)))
