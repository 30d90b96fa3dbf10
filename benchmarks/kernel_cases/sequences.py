"""GRU sequences and the core of attention at small batch, forward and backward; attention online."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from benchmarks.kernel_cases import Case
from energybench import kernels

#: Sequences and attention at small batch reach the vendor's.
_GOAL: Final = 1.0


def _gru(T: int, B: int, H: int) -> Case:
    torch.manual_seed(T + B + H)
    layer = torch.nn.GRU(H, H)
    x, h0 = torch.randn(T, B, H), torch.randn(B, H)
    weights = [getattr(layer, name).detach() for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
    return Case(
        "sequences",
        f"gru T={T} B={B} I=H={H}",
        lambda threads: lambda: kernels.gru(x, h0, *weights, threads=threads),
        lambda: lambda: layer(x, h0[None]),
        lambda: kernels.count("gru", x, h0, *weights),
        _GOAL,
    )


def _gru_backward(T: int, B: int, H: int) -> Case:
    """The backward pass alone: torch's graph is made once and kept."""
    torch.manual_seed(T + B + H)
    layer = torch.nn.GRU(H, H)
    x, h0 = torch.randn(T, B, H, requires_grad=True), torch.randn(1, B, H, requires_grad=True)
    grad = torch.randn(T, B, H)
    with torch.enable_grad():
        y, _ = layer(x, h0)
    wanted = (x, h0, *layer.parameters())
    weights = [p.detach() for p in layer.parameters()]
    arrays = x.detach(), h0.detach()[0]
    kept_y, _, gates = kernels.gru(*arrays, *weights, return_gates=True)
    given = (grad, None, *arrays, kept_y, gates, *weights[:2])
    return Case(
        "sequences",
        f"gru_backward T={T} B={B} I=H={H}",
        lambda threads: lambda: kernels.gru_backward(*given, threads=threads),
        lambda: lambda: torch.autograd.grad(y, wanted, grad, retain_graph=True),
        lambda: kernels.count("gru_backward", *given),
        _GOAL,
    )


def _attention(B: int, Hn: int, S: int, causal: bool) -> Case:
    torch.manual_seed(B + Hn + S)
    q, k, v = (torch.randn(B, Hn, S, 64) for _ in range(3))
    return Case(
        "sequences",
        f"attention B={B} Hn={Hn} S={S} D=64{' causal' if causal else ''}",
        lambda threads: lambda: kernels.attention(q, k, v, causal=causal, threads=threads),
        lambda: lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        lambda: kernels.count("attention", q, k, v, causal=causal),
        _GOAL,
    )


def _online_attention(B: int, Hn: int, S: int, causal: bool) -> Case:
    torch.manual_seed(B + Hn + S)
    q, k, v = (torch.randn(B, Hn, S, 64) for _ in range(3))
    return Case(
        "sequences",
        f"online attention B={B} Hn={Hn} S={S} D=64{' causal' if causal else ''}",
        lambda threads: lambda: kernels.online_attention(q, k, v, causal=causal, threads=threads),
        lambda: lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        lambda: kernels.count("online_attention", q, k, v, causal=causal),
        _GOAL,
    )


def _attention_backward(B: int, Hn: int, S: int, causal: bool) -> Case:
    torch.manual_seed(B + Hn + S)
    q, k, v, grad = (torch.randn(B, Hn, S, 64) for _ in range(4))
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    y, lse = flash(q, k, v, 0.0, causal)
    kept, of_torch = lse.contiguous(), torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    return Case(
        "sequences",
        f"attention backward B={B} Hn={Hn} S={S} D=64{' causal' if causal else ''}",
        lambda threads: lambda: kernels.attention_backward(grad, q, k, v, y, kept, causal=causal, threads=threads),
        lambda: lambda: of_torch(grad, q, k, v, y, lse, 0.0, causal),
        lambda: kernels.count("attention_backward", grad, q, k, v, y, lse, causal=causal),
        _GOAL,
    )


CASES: Final = (
    _gru(32, 1, 64),
    _gru(128, 1, 256),
    _gru(64, 4, 512),
    _gru(64, 16, 256),
    _gru_backward(32, 1, 64),
    _gru_backward(128, 1, 256),
    _gru_backward(64, 4, 512),
    _gru_backward(64, 16, 256),
    _attention(1, 8, 64, causal=False),
    _attention(1, 8, 256, causal=False),
    _attention(1, 8, 512, causal=True),
    _attention(2, 16, 512, causal=False),
    _online_attention(1, 8, 64, causal=False),
    _online_attention(1, 8, 512, causal=True),
    _online_attention(2, 16, 512, causal=False),
    _attention_backward(1, 8, 64, causal=False),
    _attention_backward(1, 8, 512, causal=True),
    _attention_backward(2, 16, 512, causal=False),
)
