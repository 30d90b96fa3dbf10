"""Attention as the document writes it and as the field knows it: what depends on the query, and what it costs [D32]."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

import energybench
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.report.paper_style import dress, paper_figure

RESULTS = Path(__file__).parent / "results"
HEADS, WIDTH = 8, 64
LENGTHS = (64, 256, 1024)


class Standard(nn.Module):
    """softmax(QKᵀ/√d)V, step by step, over q, k, v[B, Hn, S, D]."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return torch.softmax(scores, -1) @ v


class SquaredWeights(nn.Module):
    """§3.4.2 at its word: the sum of squares of each position's Q, K and V, over √d, a softmax, the weighted values.

    The step leaves one weight per position and none per pair, so every query gets the same weighted sum.
    """

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        squares = (q * q + k * k + v * v).sum(-1) / math.sqrt(q.shape[-1])
        weights = torch.softmax(squares, -1)
        return (weights[..., None, :] @ v).expand_as(q)


class KeysAndValues(nn.Module):
    """§3.4.1 at its word: the softmax of K and V, whose products are the weights of the values; Q takes no part."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.softmax(k @ v.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1) @ v


FORMS: dict[str, nn.Module] = {
    "standard": Standard(),
    "squared_weights": SquaredWeights(),
    "keys_and_values": KeysAndValues(),
}


def inputs(length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(32)
    q, k, v = (torch.randn(1, HEADS, length, WIDTH) for _ in range(3))
    return q, k, v


def counts(length: int) -> list[Figure]:
    figures = []
    for name, form in FORMS.items():
        total = energybench.count(form, *inputs(length)).total
        for tally in ("macs", "flops", "specials", "bytes"):
            figures.append(Figure(f"s{length}.{name}.{tally}", getattr(total, tally), tally))
    return figures


def small() -> list[Figure]:
    """Counts at one length, and what each form's output depends on."""
    q, k, v = inputs(64)
    figures = counts(64)
    reference = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    equal = bool(torch.allclose(Standard()(q, k, v).double(), reference, rtol=1e-5, atol=1e-6))
    figures.append(Figure("standard_equals_torch", int(equal), "1"))
    for name, form in FORMS.items():
        y, other = form(q, k, v), form(q.flip(-2).contiguous(), k, v)
        figures.append(Figure(f"{name}.queries_differ", int(not torch.equal(y, y[..., :1, :].expand_as(y))), "1"))
        figures.append(Figure(f"{name}.depends_on_q", int(not torch.allclose(y, other)), "1"))
    return figures


def main() -> None:
    figures = small()
    for length in LENGTHS[1:]:
        figures += counts(length)
    torch.set_num_threads(1)
    with torch.no_grad():
        for length in LENGTHS:
            data = inputs(length)
            timings = time_in_turns({name: (lambda f=form, d=data: f(*d)) for name, form in FORMS.items()})
            for name in list(FORMS)[1:]:
                ratio = round(timings.ratio("standard", name), 2)
                figures.append(Figure(f"s{length}.standard_over_{name}.time", ratio, "1", "timed", 2.5))
    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "flops", height_in=2.6) as figure:
        axes = figure.add_subplot()
        for name, marker in zip(FORMS, ("o-", "s-", "x--"), strict=True):
            flops = [names[f"s{length}.{name}.flops"] for length in LENGTHS]
            axes.loglog(LENGTHS, flops, marker, label=name.replace("_", " "))
        axes.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
        axes.set(xlabel="length of the sequence", ylabel="FLOPs (counted)")
        dress(axes)

    ratio = names["s1024.standard.flops"] / names["s1024.squared_weights.flops"]
    verdicts = (
        Verdict("D32", "counts", "does not hold",
                ("squared_weights.queries_differ", "keys_and_values.depends_on_q", "standard_equals_torch",
                 "s1024.standard.flops", "s1024.squared_weights.flops"),
                "as written every query gets the same output, or the weights do not depend on Q: it is no attention; "
                f"the sum of squares makes {ratio:.0f} times fewer FLOPs than softmax(QKᵀ/√d)V at 1,024 positions"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
