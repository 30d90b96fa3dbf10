"""What operations outside MACs cost: the table in the documentation, and each formula by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from energybench.counting import CONVENTIONS, count_model
from energybench.counting.conventions import as_markdown
from energybench.counting.formulas import registered_operators
from energybench.counting.formulas.pointwise import POINTWISE
from energybench.counting.formulas.reduction import REDUCTIONS

META = torch.device("meta")
DOCUMENT = Path(__file__).parents[2] / "docs" / "counting.md"


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=META)


def ops_of(model, *inputs, backward=False):
    counts = count_model(model, *inputs, backward=backward, strict=True)
    total = counts.backward if backward else counts.total
    return (total.adds, total.muls, total.divs, total.compares, total.specials)


def test_documented_table_is_the_code():
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("| name |") :].split("\n\n")[0].strip()
    assert table == as_markdown(), "regenerate: python -m energybench.counting.conventions"


def test_tables_name_conventions_that_exist():
    used = {*POINTWISE.values(), *(n for pair in REDUCTIONS.values() for n in pair if n is not None)}
    assert used <= CONVENTIONS.keys()


def test_registered_names_are_torch_operators():
    """A misspelt name would never be looked up: its operator would be uncovered for ever."""

    def exists(name):
        namespace, _, rest = name.partition("::")
        base = rest.partition(".")[0]
        if namespace != "aten":
            return True
        library = torch.ops.aten
        return any(hasattr(library, n) for n in (base, f"{base}_"))

    assert [n for n in registered_operators() if not exists(n)] == []


N = 24


@pytest.mark.parametrize(
    ("function", "per_element"),
    [
        (F.relu, (0, 0, 0, 1, 0)),
        (F.sigmoid, (1, 0, 1, 0, 1)),
        (F.tanh, (0, 0, 0, 0, 1)),
        (F.silu, (1, 1, 1, 0, 1)),
        (F.gelu, (1, 3, 0, 0, 1)),
        (lambda x: F.gelu(x, approximate="tanh"), (2, 6, 0, 0, 1)),
        (F.leaky_relu, (0, 1, 0, 1, 0)),
        (F.relu6, (0, 0, 0, 2, 0)),
        (F.hardswish, (1, 2, 0, 2, 0)),
        (lambda x: F.softmax(x, -1), (2, 0, 1, 1, 1)),
        (torch.exp, (0, 0, 0, 0, 1)),
        (torch.rsqrt, (0, 0, 0, 0, 1)),
        (lambda x: x + 1, (1, 0, 0, 0, 0)),
        (lambda x: torch.add(x, x, alpha=2), (1, 1, 0, 0, 0)),
        (lambda x: x - x, (1, 0, 0, 0, 0)),
        (lambda x: 1 - x, (1, 0, 0, 0, 0)),
        (lambda x: x * 2, (0, 1, 0, 0, 0)),
        (lambda x: x / 2, (0, 0, 1, 0, 0)),
        (lambda x: x**2, (0, 1, 0, 0, 0)),
        (lambda x: x**3, (0, 2, 0, 0, 0)),
        (lambda x: x**0.3, (0, 0, 0, 0, 1)),
        (lambda x: x.clamp(0, 1), (0, 0, 0, 2, 0)),
        (lambda x: x.clamp(min=0), (0, 0, 0, 1, 0)),
        (lambda x: torch.addcmul(x, x, x), (1, 1, 0, 0, 0)),
        (lambda x: torch.lerp(x, x, 0.5), (2, 1, 0, 0, 0)),
        (lambda x: x.clone(), (0, 0, 0, 0, 0)),
        (lambda x: torch.cat([x, x]), (0, 0, 0, 0, 0)),
        (lambda x: x.sum(), (1, 0, 0, 0, 0)),
        (lambda x: x.amax(), (0, 0, 0, 1, 0)),
        (lambda x: torch.maximum(x, x), (0, 0, 0, 1, 0)),
        (lambda x: torch.max(x, x), (0, 0, 0, 1, 0)),
        (lambda x: F.dropout(x, 0.5, True), (0, 1, 0, 1, 1)),
        (lambda x: F.dropout(x, 0.5, False), (0, 0, 0, 0, 0)),
        (lambda x: x.cumsum(0), (1, 0, 0, 0, 0)),
    ],
)
def test_per_element(function, per_element):
    assert ops_of(function, meta(4, 6)) == tuple(n * N for n in per_element)


@pytest.mark.parametrize(
    ("function", "per_element"),
    [
        (F.relu, (0, 0, 0, 1, 0)),
        (F.sigmoid, (1, 2, 0, 0, 0)),
        (F.tanh, (1, 2, 0, 0, 0)),
        (F.silu, (3, 3, 1, 0, 1)),
        (F.gelu, (2, 7, 0, 0, 2)),
        (lambda x: F.gelu(x, approximate="tanh"), (5, 12, 0, 0, 1)),
        (lambda x: F.softmax(x, -1), (2, 2, 0, 0, 0)),
        (lambda x: F.log_softmax(x, -1), (2, 1, 0, 0, 1)),
    ],
)
def test_per_element_backward(function, per_element):
    assert ops_of(function, meta(4, 6).requires_grad_(), backward=True) == tuple(n * N for n in per_element)


def test_mean_divides_once():
    assert ops_of(torch.mean, meta(4, 6)) == (N, 0, 1, 0, 0)
    assert ops_of(lambda x: x.mean(1), meta(4, 6)) == (N, 0, 4, 0, 0)


def test_layer_norm():
    rows, width = 4, 6
    n = rows * width
    expected = (3 * n + rows + n, 2 * n + n, 2 * rows, 0, rows)
    assert ops_of(nn.LayerNorm(width), meta(rows, width)) == expected
    assert ops_of(nn.LayerNorm(width, bias=False), meta(rows, width)) == (3 * n + rows, 3 * n, 2 * rows, 0, rows)
    assert ops_of(nn.LayerNorm(width, elementwise_affine=False), meta(rows, width))[1] == 2 * n
    counts = count_model(nn.LayerNorm(width), meta(rows, width), strict=True).total
    assert (counts.loads, counts.stores) == (n + 2 * width, n)  # no statistics where nobody needs them
    kept = count_model(nn.LayerNorm(width), meta(rows, width), backward=True, strict=True).forward
    assert kept.stores == n + 2 * rows


def test_group_norm():
    n, groups, batch = 2 * 6 * 5, 3, 2
    assert ops_of(nn.GroupNorm(groups, 6), meta(batch, 6, 5)) == (4 * n + 6, 3 * n, 12, 0, 6)


def test_rms_norm():
    rows, width = 4, 6
    n = rows * width
    adds, muls, divs, _, specials = ops_of(nn.RMSNorm(width), meta(rows, width))
    # torch writes it out on most devices (pow, mean, add, rsqrt, two muls): the same operations, as many launches
    assert (adds, muls, divs, specials) == (n + rows, 3 * n, rows, rows)


def test_batch_norm():
    n, channels = 2 * 3 * 5 * 5, 3
    layer, x = nn.BatchNorm2d(channels), meta(2, channels, 5, 5)
    assert ops_of(layer.eval(), x) == (n + 2 * channels, n + 2 * channels, 0, 0, channels)
    adds, muls, divs, compares, specials = ops_of(layer.train(), x)
    counter = 1  # num_batches_tracked += 1
    assert adds == 3 * n + channels + n + 2 * channels + counter
    assert (muls, divs, compares, specials) == (2 * n + n + 4 * channels, 2 * channels, 0, channels)
    rows = {r.operator: r.counts for r in count_model(layer.train(), x, strict=True).rows}
    assert rows["aten.native_batch_norm"].loads == n + 4 * channels
    assert rows["aten.native_batch_norm"].stores == n + 2 * channels  # running statistics are written
    plain = nn.BatchNorm2d(channels, track_running_stats=False)
    assert ops_of(plain, x) == (4 * n + channels, 3 * n, 2 * channels, 0, channels)


def test_cross_entropy():
    rows, classes = 4, 6
    n = rows * classes
    target = torch.zeros(rows, dtype=torch.long)
    assert ops_of(F.cross_entropy, meta(rows, classes), target) == (3 * n + rows, 0, 1, n, n + rows)
    counts = count_model(F.cross_entropy, meta(rows, classes), target, strict=True).by_operator()
    assert counts["aten.nll_loss_forward"].by_dtype["float32"].loads == rows


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (F.mse_loss, (2 * N, N, 1, 0, 0)),
        (F.smooth_l1_loss, (3 * N, 2 * N, 1, 2 * N, 0)),
        (F.binary_cross_entropy, (4 * N, 2 * N, 1, 0, 2 * N)),
        (F.binary_cross_entropy_with_logits, (4 * N, N, 1, N, 2 * N)),
    ],
)
def test_losses(loss, expected):
    assert ops_of(loss, meta(4, 6), meta(4, 6)) == expected


def test_gru_cell_by_hand():
    """Three sigmoid-like gates from their own rows: σ is special, add, div; the rest as written in the table."""
    per_unit = ops_of(nn.GRUCell(3, 1), meta(1, 3))
    sigmoid = CONVENTIONS["sigmoid"].ops
    assert per_unit[2] == 2 * sigmoid.divs
    assert per_unit[4] == 2 * sigmoid.specials + CONVENTIONS["tanh"].ops.specials
    assert per_unit[0] == 2 * sigmoid.adds + 2 + 1 + 2  # r and z sums, candidate sum, blend
    assert per_unit[1] == 1 + 1


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_optimiser_steps(kind, foreach):
    """A step is counted like anything else; every parameter element is touched."""
    from energybench.counting.mode import CountingMode, cost_of
    from energybench.counting.opaque import PackedWeights
    from energybench.counting.scope import ModuleScope

    parameters = [nn.Parameter(meta(5, 4)), nn.Parameter(meta(5))]
    for p in parameters:
        p.grad = torch.empty_like(p)
    optimizer = kind(parameters, lr=0.1, foreach=foreach)
    mode = CountingMode(ModuleScope(None), set(), PackedWeights(), gradient=False)
    mode.direction = "optimizer"
    with torch.no_grad(), mode:
        optimizer.step()
    costs = [cost_of(call) for call in mode.calls]
    assert all(covered for _, covered in costs), [c.call.name for c in mode.calls if not cost_of(c)[1]]
    assert {place.direction for _, place in mode.tally} == {"optimizer"}
