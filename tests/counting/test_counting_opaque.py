"""Sparse matrices and quantised layers: each with its count written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.counting import count_model
from energybench.errors import CountingError, UsageError

META = torch.device("meta")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*reduce_range will be deprecated:UserWarning"),
]
#: min and max; multiplication, add, round and two bounds. And (q − z)·s.
QUANTIZE, RANGE, DEQUANTIZE = 1 + 1 + 3, 2, 2


def meta(*shape):
    return torch.empty(*shape, device=META)


def dynamic(model, *kinds, dtype=torch.qint8):
    from torch.ao.quantization import quantize_dynamic

    return quantize_dynamic(nn.Sequential(model), set(kinds), dtype=dtype)


# ── quantised ────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("bias", [True, False])
def test_dynamically_quantised_linear(bias):
    rows, k, n = 6, 8, 5
    counts = count_model(dynamic(nn.Linear(k, n, bias=bias), nn.Linear), meta(2, 3, k), strict=True)
    assert counts.total.by_dtype["int8"].macs == counts.total.macs == rows * k * n
    assert counts.total.by_dtype["int8"].loads == n * k
    assert counts.total.other_flops == rows * k * (RANGE + QUANTIZE) + rows * n * (DEQUANTIZE + bias)
    assert counts.total.weight_load_bytes == n * k + 4 * n * bias
    assert counts.total.load_bytes == 4 * rows * k + n * k + 4 * n * bias
    assert counts.total.store_bytes == 4 * rows * n
    assert (counts.parameters, counts.parameter_bytes) == (n * k + n * bias, n * k + 4 * n * bias)
    assert counts.minimal_bytes == counts.total.bytes
    assert counts.coverage == 1


def test_half_precision_weights_multiply_floats():
    counts = count_model(dynamic(nn.Linear(8, 5), nn.Linear, dtype=torch.float16), meta(3, 8), strict=True)
    assert counts.total.by_dtype["float32"].macs == 3 * 8 * 5
    assert counts.total.weight_load_bytes == 2 * 8 * 5 + 4 * 5
    assert counts.total.other_flops == 3 * 5


def test_packed_weights_are_known_again():
    layer = dynamic(nn.Linear(8, 8), nn.Linear)
    counts = count_model(nn.Sequential(layer, layer), meta(3, 8), policy="cached-weights", strict=True)
    assert counts.total.macs == 2 * 3 * 8 * 8
    assert counts.total.weight_load_bytes == 8 * 8 + 4 * 8  # once
    assert counts.parameters == 8 * 8 + 8


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_dynamically_quantised_recurrent_layers(kind, layers):
    t, b, i, h = 5, 2, 4, 3
    gates, cell = (4, 19) if kind is nn.LSTM else (3, 14)
    model = dynamic(kind(i, h, layers, bidirectional=True), kind)
    counts = count_model(model, meta(t, b, i), strict=True)
    widths = [i] + [2 * h] * (layers - 1)
    assert counts.total.by_dtype["int8"].macs == 2 * t * b * sum(gates * h * (w + h) for w in widths)
    assert counts.total.other_flops == 2 * t * b * sum(
        (w + h) * (RANGE + QUANTIZE) + 2 * gates * h * (DEQUANTIZE + 1) + cell * h for w in widths
    )
    weights = 2 * sum(gates * h * (w + h) + 4 * 2 * gates * h for w in widths)
    assert counts.total.weight_load_bytes == weights


def test_dynamically_quantised_recurrent_layer_on_packed_sequences():
    from torch.nn.utils.rnn import pack_padded_sequence

    gru = dynamic(nn.GRU(4, 3), nn.GRU)[0]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = gru

        def forward(self, x, lengths):
            return self.gru(pack_padded_sequence(x, lengths))[0].data

    counts = count_model(Model(), meta(5, 2, 4), torch.tensor([5, 2]), strict=True)
    assert counts.total.macs == (5 + 2) * 3 * 3 * (4 + 3)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_dynamically_quantised_cells(kind, gates):
    counts = count_model(dynamic(kind(4, 3), kind), meta(5, 4), strict=True)
    assert counts.total.by_dtype["int8"].macs == 5 * gates * 3 * (4 + 3)


class Statically(nn.Module):
    def __init__(self):
        super().__init__()
        self.quantize = torch.ao.quantization.QuantStub()
        self.conv, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.sum = torch.ao.nn.quantized.FloatFunctional()
        self.linear = nn.Linear(8, 4)
        self.back = torch.ao.quantization.DeQuantStub()

    def forward(self, x):
        x = self.relu(self.conv(self.quantize(x)))
        x = self.depthwise(self.sum.add(x, x))
        return self.back(self.linear(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_statically_quantised_network():
    from torch.ao import quantization

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        model = Statically().eval()
        model.qconfig = quantization.get_default_qconfig("fbgemm")
        quantization.fuse_modules(model, [["conv", "relu"]], inplace=True)
        quantization.prepare(model, inplace=True)
        model(torch.randn(2, 3, 9, 9))
        quantization.convert(model, inplace=True)
        counts = count_model(model, meta(2, 3, 9, 9), strict=True)
    finally:
        torch.backends.quantized.engine = before
    rows = counts.by_operator()
    inside = sum(0 <= o + k < 9 for o in range(9) for k in (-1, 0, 1)) ** 2
    assert rows["quantized.conv2d_relu"].macs == 2 * 8 * 3 * inside
    assert rows["quantized.conv2d_relu"].nominal_macs == 2 * 8 * 3 * 81 * 9
    assert rows["quantized.conv2d"].macs == 2 * 8 * 16 * 9
    assert rows["quantized.linear"].macs == 2 * 8 * 4
    assert counts.total.by_dtype["int8"].macs == counts.total.macs
    assert counts.by_kernel_class()["depthwise"].macs == 2 * 8 * 16 * 9
    assert rows["quantized.conv2d_relu"].load_bytes == 2 * 3 * 81 + 8 * 3 * 9 + 4 * 8  # one byte a number, float bias
    assert rows["aten.quantize_per_tensor"].store_bytes == 2 * 3 * 81
    assert rows["aten.quantize_per_tensor"].other_flops == 2 * 3 * 81 * QUANTIZE
    assert rows["aten.dequantize"].other_flops == 2 * 4 * DEQUANTIZE
    assert rows["quantized.add"].other_flops == 2 * 8 * 81 * (2 * DEQUANTIZE + 1 + QUANTIZE)


def test_weights_in_few_bits():
    x, weight, scales = meta(3, 32), torch.ones(16, 32, dtype=torch.int8), meta(16)
    counts = count_model(torch.ops.aten._weight_int8pack_mm, x, weight, scales, strict=True)
    assert counts.total.by_dtype["float32"].macs == 3 * 16 * 32
    assert counts.total.muls == 3 * 16
    assert counts.total.load_bytes == 4 * 3 * 32 + 16 * 32 + 4 * 16


def test_scaled_product_scales_in_single_precision():
    def product(a, b, s):
        return torch._scaled_mm(a, b, s, s, out_dtype=torch.bfloat16)

    a = torch.empty(32, 16, dtype=torch.float8_e4m3fn, device=META)
    b = torch.empty(48, 16, dtype=torch.float8_e4m3fn, device=META).t()
    counts = count_model(product, a, b, torch.empty((), device=META), strict=True)
    assert counts.total.by_dtype["float8_e4m3fn"].macs == 32 * 16 * 48
    assert counts.total.by_dtype["float32"].muls == 32 * 48
    assert counts.total.by_dtype["bfloat16"].store_bytes == 2 * 32 * 48


def test_a_quantised_layer_says_what_does_not_fit():
    with pytest.raises(UsageError, match="takes 8"):
        count_model(dynamic(nn.Linear(8, 5), nn.Linear), meta(3, 7))


# ── sparse ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def sparse(rows, columns, places):
    index = torch.tensor(sorted(places)).t().reshape(2, len(places))
    return torch.sparse_coo_tensor(index, torch.ones(len(places)), (rows, columns), check_invariants=True).coalesce()


@st.composite
def matrices(draw):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    place = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    return rows, columns, draw(st.sets(place, min_size=1, max_size=12)), draw(st.integers(1, 4))


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
@pytest.mark.parametrize("product", [torch.mm, torch.sparse.mm])
@given(case=matrices())
@settings(max_examples=15, deadline=None)
def test_one_product_per_stored_value_and_column(layout, product, case):
    rows, columns, places, width = case
    matrix = sparse(rows, columns, places)
    if layout != "coo":
        matrix = matrix.to_sparse_csr() if layout == "csr" else matrix.to_sparse_csc()
    dense = meta(columns, width).requires_grad_()
    backward = layout == "coo" or product is torch.mm
    counts = count_model(product, matrix, dense, backward=backward, strict=True)
    macs = sum((i, j) in places for i in range(rows) for j in range(columns) for _ in range(width))
    assert counts.forward.macs == macs
    assert counts.backward.macs == (macs if backward else 0)


def test_traffic_of_a_sparse_product():
    matrix = sparse(20, 20, [(0, 3), (1, 4), (7, 7)])
    counts = count_model(torch.mm, matrix, meta(20, 5), strict=True)
    (row,) = counts.rows
    assert row.counts.load_bytes == 3 * (2 * 8 + 4) + 4 * 3 * 5  # places and values; the rows that they name
    assert row.counts.store_bytes == 4 * 20 * 5
    vector = count_model(torch.mv, matrix, meta(20), strict=True)
    assert vector.total.macs == 3


def test_sparse_product_with_addend():
    matrix = sparse(4, 4, [(0, 1), (1, 2)])
    counts = count_model(
        lambda c, a, b: torch.sparse.addmm(c, a, b, beta=2), meta(4, 3), matrix, meta(4, 3), strict=True
    )
    assert (counts.total.macs, counts.total.adds, counts.total.muls) == (2 * 3, 4 * 3, 4 * 3)


def test_graph_network_with_a_sparse_buffer():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 4)
            self.register_buffer("adjacency", sparse(9, 9, [(0, 1), (1, 2), (2, 0), (8, 8)]))

        def forward(self, x):
            return torch.sparse.mm(self.adjacency, self.linear(x))

    counts = count_model(Graph(), meta(9, 6), backward=True, strict=True)
    assert counts.forward.macs == 9 * 6 * 4 + 4 * 4
    assert counts.backward.macs == 9 * 6 * 4 + 4 * 4


def test_gradient_of_the_stored_values():
    matrix = sparse(5, 6, [(0, 1), (4, 2)]).requires_grad_()
    counts = count_model(torch.sparse.mm, matrix, meta(6, 3), backward=True, strict=True)
    assert counts.backward.macs == 5 * 3 * 6  # torch makes the dense gradient and picks from it


def test_a_sparse_operator_without_a_rule_is_refused():
    matrix = sparse(5, 5, [(0, 1)])
    with pytest.raises(CountingError, match="sparse tensor"):
        count_model(torch.sparse.mm, matrix, matrix)
    with pytest.raises(CountingError, match="sparse tensor"):
        count_model(lambda a: torch.sparse.softmax(a, 1), matrix)
    with pytest.raises(CountingError, match="sparse tensor"):
        count_model(lambda a: a.transpose(0, 1).unsqueeze(0), matrix)
