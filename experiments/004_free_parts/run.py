"""What LayerNorm, dropout, positional encoding and stacking cost an encoder–decoder Transformer [D16, D31]."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import energybench
from energybench import ModelCounts
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.report.paper_style import dress, paper_figure

RESULTS = Path(__file__).parent / "results"
S, WIDTH = 256, 512


class Stack(nn.Module):
    """The original base Transformer, with or without the parts that are said to be free."""

    def __init__(self, layers: int = 6, *, norm: bool = True, dropout: bool = True, position: bool = True) -> None:
        super().__init__()
        self.body = nn.Transformer(WIDTH, 8, layers, layers, 2048, dropout=0.1 if dropout else 0.0, batch_first=True)
        self.table = nn.Parameter(torch.empty(S, WIDTH), requires_grad=False) if position else None
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if (isinstance(child, nn.LayerNorm) and not norm) or (isinstance(child, nn.Dropout) and not dropout):
                    setattr(parent, name, nn.Identity())

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.table is not None:
            x, y = x + self.table, y + self.table
        out: torch.Tensor = self.body(x, y)
        return out


def counted(layers: int = 6, **parts: bool) -> ModelCounts:
    """Forward and backward of one training step, one sentence of 256 tokens on both sides."""
    with torch.device("meta"):
        model = Stack(layers, **parts).train()
    # as behind an embedding: without a gradient of its own the first pair of layers would be cheaper than the others
    x = torch.empty(1, S, WIDTH, device="meta", requires_grad=True)
    return energybench.count(model, x, x, backward=True)


def small() -> list[Figure]:
    """What one more pair of layers makes."""
    each = counted(2).total.flops - counted(1).total.flops
    return [Figure("each_further_pair_of_layers.flops", each, "FLOP")]


def main() -> None:
    whole = counted()
    figures = [
        Figure("whole.flops", whole.total.flops, "FLOP"),
        Figure("whole.bytes", whole.total.bytes, "B"),
        Figure("whole.launches", whole.total.launches, "launches"),
    ]
    share: dict[tuple[str, str], float] = {}
    for part in ("norm", "dropout", "position"):
        without = counted(**{part: False})
        for tally in ("flops", "bytes", "launches"):
            full, rest = getattr(whole.total, tally), getattr(without.total, tally)
            share[part, tally] = (full - rest) / full
            figures.append(Figure(f"{part}.{tally}", full - rest, tally))
            figures.append(Figure(f"{part}.share_of_{tally}", round(share[part, tally], 6), "1"))
    for tally in ("flops", "bytes", "launches"):
        together = sum(share[part, tally] for part in ("norm", "dropout", "position"))
        figures.append(Figure(f"all_three.share_of_{tally}", round(together, 6), "1"))

    one, two = counted(1), counted(2)
    each = two.total.flops - one.total.flops
    glue = 1 - 6 * each / whole.total.flops
    figures.append(Figure("each_further_pair_of_layers.flops", each, "FLOP"))
    figures.append(Figure("outside_the_layers.share_of_flops", round(glue, 6), "1"))
    figures.append(Figure("six_pairs_over_one", round(whole.total.flops / one.total.flops, 4), "1"))

    names = {f.name: f.value for f in figures}
    work, traffic, calls = (names[f"all_three.share_of_{t}"] for t in ("flops", "bytes", "launches"))
    with paper_figure(RESULTS, "free_parts", height_in=2.2) as figure:
        axes = figure.add_subplot()
        for i, part in enumerate(("norm", "dropout", "position")):
            heights = [100 * share[part, tally] for tally in ("flops", "bytes", "launches")]
            axes.bar([x + 0.25 * (i - 1) for x in range(3)], heights, 0.25, label=part)
        axes.set_xticks(range(3), ["FLOPs", "bytes", "launches"])
        axes.set_ylabel("share of a training step [%]")
        dress(axes)

    verdicts = (
        Verdict("D16", "counts", "does not hold" if work > 0.05 else "holds in part",
                ("all_three.share_of_flops", "all_three.share_of_bytes", "all_three.share_of_launches"),
                f"the three take {work:.2%} of the FLOPs, but {traffic:.1%} of the bytes and {calls:.1%} of the "
                "launches"),
        Verdict("D16", "energy", "not decidable here", ("all_three.share_of_bytes",),
                f"what {traffic:.1%} of the bytes costs in joules needs a meter"),
        Verdict("D31", "counts", "holds in part", ("outside_the_layers.share_of_flops", "six_pairs_over_one"),
                f"what joins the layers is {glue:.3%} of the FLOPs, but six pairs cost "
                f"{names['six_pairs_over_one']:.2f} times one"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
