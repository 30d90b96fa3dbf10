"""Closed-form counts of the native kernels, from the shape alone; tests hold them equal to the counting kernels.

Work (macs, adds …) is what the loops do. Traffic has two bases: ``compulsory`` charges each tensor once, ``issued``
every load and store that the naive loops make, scratch included. The derivations stand in ``docs/kernels/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from energybench.errors import CountingError
from energybench.kernels.shapes import (
    AttentionShape,
    ConvShape,
    FmaProbeShape,
    GruShape,
    LinearShape,
    PointwiseShape,
    PoolShape,
    RowShape,
    StreamProbeShape,
)
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


def linear(shape: LinearShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of one fully connected layer."""
    del device
    M, K, N = shape.M, shape.K, shape.N
    macs, outputs = M * K * N, M * N
    biases = outputs if shape.has_bias else 0
    weights = N * K + (N if shape.has_bias else 0)
    traffic = _choose(
        basis, Traffic(M * K + weights, outputs, weights), Traffic(2 * macs + biases, outputs, macs + biases)
    )
    return _counts(dtype, basis, traffic, 1, macs=macs, nominal_macs=macs, adds=biases)


def softmax(shape: RowShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of a softmax over the last dimension: three passes, the exponentials kept in y between two of them."""
    del device
    n = shape.rows * shape.n
    traffic = _choose(basis, Traffic(n, n), Traffic(3 * n, 2 * n))
    return _counts(dtype, basis, traffic, 1, adds=2 * n, divs=n, compares=n, specials=n)


def layer_norm(shape: RowShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of a layer normalisation: three passes, the differences from the mean kept in y between two of them."""
    del device
    elements, rows = shape.rows * shape.n, shape.rows
    weights = shape.n * (shape.has_weight + shape.has_bias)
    traffic = _choose(
        basis,
        Traffic(elements + weights, elements, weights),
        Traffic(3 * elements + rows * weights, 2 * elements, rows * weights),
    )
    return _counts(
        dtype,
        basis,
        traffic,
        1,
        adds=elements * (3 + shape.has_bias) + rows,
        muls=elements * (2 + shape.has_weight),
        divs=2 * rows,
        specials=rows,
    )


#: Work of one element, as the conventions of docs/counting.md have it.
_POINTWISE_WORK: Final[Mapping[str, Mapping[str, int]]] = {
    "relu": {"compares": 1},
    "sigmoid": {"adds": 1, "divs": 1, "specials": 1},
    "tanh": {"specials": 1},
    "gelu": {"adds": 1, "muls": 3, "specials": 1},
}


def _pointwise(
    function: str, shape: PointwiseShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu"
) -> OpCounts:
    del device
    traffic = Traffic(shape.n, shape.n)
    work = {name: times * shape.n for name, times in _POINTWISE_WORK[function].items()}
    return _counts(dtype, basis, _choose(basis, traffic, traffic), 1, **work)


#: Counts of a function of each element; both bases agree.
relu = partial(_pointwise, "relu")
sigmoid = partial(_pointwise, "sigmoid")
tanh = partial(_pointwise, "tanh")
gelu = partial(_pointwise, "gelu")


def _pool_taps(shape: PoolShape) -> int:
    rows = valid_taps(shape.H, shape.window[0], shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out)
    columns = valid_taps(shape.W, shape.window[1], shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out)
    return shape.N * shape.C * rows * columns


def _pool_traffic(shape: PoolShape, basis: Basis, taps: int) -> tuple[Traffic, int]:
    outputs = shape.N * shape.C * shape.H_out * shape.W_out
    compulsory = Traffic(shape.N * shape.C * shape.H * shape.W, outputs)
    return _choose(basis, compulsory, Traffic(taps, outputs)), outputs


def max_pool2d(shape: PoolShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of a maximum pool: a compare for each tap inside the image."""
    del device
    taps = _pool_taps(shape)
    traffic, _ = _pool_traffic(shape, basis, taps)
    return _counts(dtype, basis, traffic, 1, compares=taps)


def avg_pool2d(shape: PoolShape, dtype: str, basis: Basis = "compulsory", *, device: str = "cpu") -> OpCounts:
    """Counts of an average pool: an add for each tap inside the image, a division for each output."""
    del device
    taps = _pool_taps(shape)
    traffic, outputs = _pool_traffic(shape, basis, taps)
    return _counts(dtype, basis, traffic, 1, adds=taps, divs=outputs)


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
