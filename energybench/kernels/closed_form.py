"""Closed-form counts of the native kernels, from the shape alone; tests hold them equal to the counting kernels.

Work (macs, adds …) is what the loops do. Traffic has two bases: ``compulsory`` charges each tensor once, ``issued``
every load and store that the naive loops make, scratch included. The derivations stand in ``docs/kernels/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from energybench.errors import CountingError
from energybench.kernels.shapes import AttentionShape, ConvShape, FmaProbeShape, GruShape, StreamProbeShape
from energybench.records.op_counts import DTYPE_BYTES, OpCounts

Basis: TypeAlias = Literal["compulsory", "issued"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Elements moved; `weight_loads` is the part of `loads` that reads parameters."""

    loads: int
    stores: int
    weight_loads: int = 0


def _choose(basis: str, compulsory: Traffic, issued: Traffic) -> Traffic:
    if basis not in ("compulsory", "issued"):
        raise CountingError(f"native kernels count compulsory and issued traffic, not {basis!r}; choose one of the two")
    return compulsory if basis == "compulsory" else issued


def _counts(dtype: str, basis: Basis, traffic: Traffic, launches: int, **work: int) -> OpCounts:
    size = DTYPE_BYTES[dtype]
    return OpCounts.single(
        dtype,
        launches=launches,
        traffic_basis=basis,
        loads=traffic.loads,
        stores=traffic.stores,
        load_bytes=traffic.loads * size,
        store_bytes=traffic.stores * size,
        weight_load_bytes=traffic.weight_loads * size,
        **work,
    )


def valid_taps(size: int, kernel: int, stride: int, padding: int, dilation: int, outputs: int) -> int:
    """Pairs of output position and tap, along one dimension, whose input lies inside ``[0, size)``.

    Tap k of output o reads o·stride − padding + k·dilation. For each k the valid o are an interval.
    """
    pairs = 0
    for k in range(kernel):
        offset = k * dilation - padding
        first = max(0, -(offset // stride))  # smallest o with o·stride + offset ≥ 0
        last = min(outputs - 1, (size - 1 - offset) // stride)
        pairs += max(0, last - first + 1)
    return pairs


def conv2d(shape: ConvShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of one convolution. Taps separate by dimension, so executed MACs are a product of two sums."""
    del device
    channels = shape.C_in // shape.groups
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    rows = valid_taps(shape.H, shape.KH, shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out)
    columns = valid_taps(shape.W, shape.KW, shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out)
    macs = shape.N * shape.C_out * channels * rows * columns
    biases = outputs if shape.has_bias else 0
    weights = shape.C_out * channels * shape.KH * shape.KW + (shape.C_out if shape.has_bias else 0)
    traffic = _choose(
        basis,
        Traffic(shape.N * shape.C_in * shape.H * shape.W + weights, outputs, weights),
        Traffic(2 * macs + biases, outputs, macs + biases),
    )
    nominal_macs = outputs * channels * shape.KH * shape.KW
    return _counts(dtype, basis, traffic, 1, macs=macs, nominal_macs=nominal_macs, adds=biases)


def gru(shape: GruShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of one sequence. On the GPU each step is a launch of its own."""
    T, B, I, H = shape.T, shape.B, shape.I, shape.H  # noqa: E741
    gate = int(shape.has_output_gate)
    elements = T * B * H
    gates = 3 + gate
    macs = elements * gates * (I + H)
    biases = 2 * gates * H if shape.has_bias else 0
    weights = gates * H * (I + H) + biases
    bias_loads = elements * 2 * gates if shape.has_bias else 0
    traffic = _choose(
        basis,
        Traffic(T * B * I + B * H + weights, elements + B * H, weights),
        Traffic(
            loads=elements * ((gates + 1) * (I + H) + 1) + bias_loads,  # each x and h once for all gates; h to blend
            stores=elements * (1 + gate) + B * H,  # y, the state where it is not y, and h_n
            weight_loads=macs + bias_loads,
        ),
    )
    return _counts(
        dtype,
        basis,
        traffic,
        T if device == "cuda" else 1,
        macs=macs,
        nominal_macs=macs,
        adds=elements * (7 + 2 * gate),
        muls=elements * (2 + gate),
        divs=elements * (2 + gate),
        specials=elements * (3 + 2 * gate),
    )


def attention(shape: AttentionShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of one attention core; `pairs` are the visible (query, key) pairs of all heads."""
    del device
    heads = shape.B * shape.Hn
    pairs = heads * shape.visible_pairs
    outputs = heads * shape.S_q * shape.D
    traffic = _choose(
        basis,
        Traffic(outputs + 2 * heads * shape.S_k * shape.D, outputs),
        Traffic(loads=pairs * (4 * shape.D + 2), stores=pairs * 3 + outputs),
    )
    return _counts(
        dtype,
        basis,
        traffic,
        1,
        macs=2 * pairs * shape.D,
        nominal_macs=2 * heads * shape.S_q * shape.S_k * shape.D,
        adds=2 * pairs,
        muls=pairs,
        divs=pairs,
        compares=pairs,
        specials=pairs,
    )


def probe_fma(shape: FmaProbeShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of the pure-MAC probe; both bases agree."""
    del device
    macs = shape.streams * shape.steps * 14 * shape.lanes
    traffic = Traffic(shape.streams * 14 * shape.lanes, shape.streams)
    adds = shape.streams * (13 * shape.lanes + shape.lanes - 1)
    return _counts(dtype, basis, _choose(basis, traffic, traffic), 1, macs=macs, nominal_macs=macs, adds=adds)


def probe_stream(shape: StreamProbeShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of the copy probe: every repeat is an operator of its own, so both bases agree."""
    del device
    traffic = Traffic(shape.n * shape.repeats, shape.n * shape.repeats)
    return _counts(dtype, basis, _choose(basis, traffic, traffic), 1)
