"""Fused attention kernels by name, windows, and operators that run functions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.counting import count_model, load_target
from energybench.counting.formulas.attention import visible_pairs
from energybench.errors import CountingError

META = torch.device("meta")
aten = torch.ops.aten


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=META)


side = st.integers(-1, 6)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.tuples(side, side), st.booleans())
def test_visible_pairs(queries, keys, causal, window, last_aligned):
    before, after = window
    shift = keys - queries if last_aligned else 0
    pairs = sum(
        (not causal or j <= i + shift)
        and (before < 0 or j >= i + shift - before)
        and (after < 0 or j <= i + shift + after)
        for i in range(queries)
        for j in range(keys)
    )
    assert visible_pairs(queries, keys, causal=causal, window=window, last_aligned=last_aligned) == pairs


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (
            lambda q, k, v, c: aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, c),
            lambda g, q, k, v, o, s, c: aten._scaled_dot_product_flash_attention_for_cpu_backward(
                g, q, k, v, o, s, 0.0, c
            ),
        ),
        (
            lambda q, k, v, c: aten._scaled_dot_product_efficient_attention(q, k, v, None, True, 0.0, c),
            None,
        ),
        (
            lambda q, k, v, c: aten._scaled_dot_product_cudnn_attention(q, k, v, None, True, 0.0, c),
            None,
        ),
    ],
    ids=["cpu", "efficient", "cudnn"],
)
def test_kernels_of_scaled_dot_product_attention(forward, backward, causal):
    b, heads, s, d = 2, 3, 6, 8
    q, k, v = (meta(b, heads, s, d) for _ in range(3))
    counts = count_model(lambda *t: forward(*t, causal)[0], q, k, v, strict=True)
    pairs = b * heads * (s * (s + 1) // 2 if causal else s * s)
    assert counts.total.macs == 2 * pairs * d
    assert counts.total.nominal_macs == 2 * b * heads * s * s * d
    assert (counts.total.loads, counts.total.stores) == (3 * q.numel(), q.numel())
    if backward is not None:
        counts = count_model(
            lambda *t: backward(*t, causal), q, q.clone(), k, v, q.clone(), meta(b, heads, s), strict=True
        )
        assert counts.total.macs == 5 * pairs * d
        assert counts.total.loads == 5 * q.numel() + b * heads * s


def test_window_of_a_flash_kernel():
    b, s, heads, d = 2, 10, 3, 8
    q, k, v = (meta(b, s, heads, d, dtype=torch.float16) for _ in range(3))

    def attend(q, k, v):
        return aten._flash_attention_forward(
            q, k, v, None, None, s, s, 0.0, True, False, window_size_left=3, window_size_right=0
        )[0]

    counts = count_model(attend, q, k, v, strict=True)
    assert counts.total.macs == b * heads * sum(min(i, 3) + 1 for i in range(s)) * 2 * d
    assert counts.total.nominal_macs == b * heads * s * s * 2 * d


def test_packed_sequences_of_unknown_lengths_are_not_covered():
    lengths = torch.tensor([0, 4, 10], dtype=torch.int32)

    def attend(q):
        return aten._flash_attention_forward(q, q, q, lengths, lengths, 6, 6, 0.0, True, False)[0]

    counts = count_model(attend, meta(10, 3, 8, dtype=torch.float16))
    assert counts.uncovered == ("aten._flash_attention_forward",)
    assert counts.uncovered_shares == {"aten._flash_attention_forward": 1.0}


def test_condition_with_a_value():
    def model(x, flag):
        return torch.cond(flag, lambda y: y @ y, lambda y: y + 1, (x,))

    assert count_model(model, meta(4, 4), torch.tensor(True), strict=True).total.macs == 64
    assert count_model(model, meta(4, 4), torch.tensor(False), strict=True).total.macs == 0
    with pytest.raises(CountingError, match="cond"):
        count_model(lambda x: model(x, x.sum() > 0), meta(4, 4))


def test_exported_program_with_a_part_without_gradients(tmp_path):
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            with torch.no_grad():
                y = self.first(x)
            return self.second(y)

    path = tmp_path / "frozen.pt2"
    torch.export.save(torch.export.export(Frozen().eval(), (torch.randn(2, 4),)), path)
    model, args, _ = load_target(str(path))
    counts = count_model(model, *args, backward=True, strict=True)
    assert counts.forward.macs == 2 * 4 * 5 + 2 * 5 * 3
    assert counts.backward.macs == 2 * 5 * 3


def test_flex_attention_is_refused_with_its_name():
    from torch.nn.attention.flex_attention import flex_attention

    q = meta(1, 2, 16, 16)
    with pytest.raises(CountingError, match="flex_attention"):
        count_model(flex_attention, q, q, q)
