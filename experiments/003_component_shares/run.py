"""Shares of self-attention, multi-head projections and feed-forward in encoder–decoder Transformers [D13–D15, D17]."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import energybench
from energybench import ModelCounts
from energybench.app.experiment_networks import count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.report.paper_style import dress, paper_figure

CLAIM = {"self_attention": 0.70, "multi_head": 0.80, "feed_forward": 0.60}
LENGTHS = (64, 256, 1024, 4096)
RESULTS = Path(__file__).parent / "results"
#: The original Transformer and one of the size of BART-base, both without embeddings and output layer: width, heads,
#: hidden width.
STACKS = {"transformer_base": (512, 8, 2048), "bart_base_size": (768, 12, 3072)}
DESCRIBED = (("D13", "self_attention"), ("D14", "multi_head"), ("D15", "feed_forward"))


def shares_of(counts: ModelCounts) -> dict[str, float]:
    """Shares of one network in FLOPs of the whole call, and both attention parts together."""
    work = counts.component_flops()
    shares = {part: work[part] / counts.total.flops for part in CLAIM}
    return {**shares, "attention": shares["self_attention"] + shares["multi_head"]}


def stack(label: str, length: int) -> ModelCounts:
    width, heads, hidden = STACKS[label]
    with torch.device("meta"):
        model = nn.Transformer(width, heads, 6, 6, hidden, activation="gelu", batch_first=True)
    x = torch.empty(1, length, width, device="meta")
    return energybench.count(model, x, x)


def shown(name: str, shares: dict[str, float]) -> list[Figure]:
    return [Figure(f"{name}.{part}", round(share, 5), "share of FLOPs") for part, share in shares.items()]


def t5_parts() -> list[Figure]:
    """The three parts of T5-small at source S, target T, counted and by hand: what [D13], [D14], [D15] describe."""
    S, T, d, hidden, vocabulary = 256, 64, 512, 2048, 32128
    parts = count_published("t5_small", 1, S).by_component()
    by_hand = {
        "self_attention": 6 * (2 * S * S + 2 * T * S) * d + 6 * 2 * (T * (T + 1) // 2) * d,
        "multi_head": 6 * (4 * S + 4 * T + 2 * T + 2 * S) * d * d,
        "feed_forward": 6 * 2 * (S + T) * d * hidden + T * d * vocabulary,
    }
    figures = []
    for part, macs in by_hand.items():
        figures.append(Figure(f"t5_small.{part}.macs", parts[part].macs, "MAC"))  # type: ignore[index]
        figures.append(Figure(f"t5_small.{part}.macs_by_hand", macs, "MAC"))
    return figures


def small() -> list[Figure]:
    """The parts by hand, and one stack."""
    return [*t5_parts(), *shown("transformer_base.s64", shares_of(stack("transformer_base", 64)))]


def main() -> None:
    cases = {f"{label}.s{length}": stack(label, length) for label in STACKS for length in LENGTHS}
    cases |= {f"t5_small.s{length}": count_published("t5_small", 1, length) for length in LENGTHS}
    rows = {name: shares_of(counts) for name, counts in cases.items()}
    figures = [f for name, shares in rows.items() for f in shown(name, shares)]
    figures += t5_parts()
    names = {f.name: f.value for f in figures}
    verdicts = []
    for item, part in DESCRIBED:
        counted, by_hand = names[f"t5_small.{part}.macs"], names[f"t5_small.{part}.macs_by_hand"]
        verdicts.append(
            Verdict(item, "counts", "holds" if counted == by_hand else "holds in part",
                    (f"t5_small.{part}.macs", f"t5_small.{part}.macs_by_hand"),
                    f"the described steps come to {by_hand:,} MACs by hand, {counted:,} counted (T5-small)")
        )  # fmt: skip
    ranges = {
        part: (min(r[part] for r in rows.values()), max(r[part] for r in rows.values()))
        for part in (*CLAIM, "attention")
    }
    for part, (low, high) in ranges.items():
        figures.append(Figure(f"lowest.{part}", round(low, 5), "share of FLOPs"))
        figures.append(Figure(f"highest.{part}", round(high, 5), "share of FLOPs"))
    with paper_figure(RESULTS, "shares", height_in=2.8) as figure:
        axes = figure.add_subplot()
        left = [0.0] * len(rows)
        for part, claimed in CLAIM.items():
            values = [100 * shares[part] for shares in rows.values()]
            axes.barh(range(len(rows)), values, left=left, label=f"{part.replace('_', ' ')} (claimed {claimed:.0%})")
            left = [a + b for a, b in zip(left, values, strict=True)]
        axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
        axes.invert_yaxis()
        axes.set_xlabel("share of the FLOPs, counted [%]")
        dress(axes)
    together = sum(all(abs(r[part] - share) <= 0.05 for part, share in CLAIM.items()) for r in rows.values())
    figures.append(Figure("networks_with_all_three_within_5_points", together, "networks"))
    text = ", ".join(f"{part.replace('_', ' ')} {low:.0%}–{high:.0%}" for part, (low, high) in ranges.items())
    verdicts.append(
        Verdict("D17", "counts", "does not hold" if together == 0 else "holds in part",
                ("networks_with_all_three_within_5_points",),
                f"claimed 70/80/60 %; counted over {len(rows)} cases: {text}")
    )  # fmt: skip
    ExperimentResult(tuple(figures), tuple(verdicts)).save(RESULTS)


if __name__ == "__main__":
    main()
