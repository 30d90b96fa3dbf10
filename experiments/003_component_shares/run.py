"""Shares of self-attention, multi-head projections and feed-forward in encoder–decoder Transformers [D13–D15, D17]."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import energybench
from energybench import ModelCounts
from energybench.app.experiment_networks import count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict

CLAIM = {"self_attention": 0.70, "multi_head": 0.80, "feed_forward": 0.60}
LENGTHS = (64, 256, 1024, 4096)
figures: list[Figure] = []
rows: list[dict[str, float]] = []


def add(name: str, counts: ModelCounts) -> None:
    """Shares of one network in FLOPs of the whole call, and both attention parts together."""
    work = counts.component_flops()
    shares = {part: work[part] / counts.total.flops for part in CLAIM}
    shares["attention"] = shares["self_attention"] + shares["multi_head"]
    rows.append(shares)
    figures.extend(Figure(f"{name}.{part}", round(share, 5), "share of FLOPs") for part, share in shares.items())


# The original Transformer and one of the size of BART-base, both without embeddings and output layer.
for label, width, heads, hidden in (("transformer_base", 512, 8, 2048), ("bart_base_size", 768, 12, 3072)):
    with torch.device("meta"):
        model = nn.Transformer(width, heads, 6, 6, hidden, activation="gelu", batch_first=True)
    for length in LENGTHS:
        x = torch.empty(1, length, width, device="meta")
        add(f"{label}.s{length}", energybench.count(model, x, x))
for length in LENGTHS:
    t5 = count_published("t5_small", 1, length)
    add(f"t5_small.s{length}", t5)

# The three parts of T5-small at source S, target T by hand: what [D13], [D14] and [D15] describe, exactly.
S, T, d, hidden, vocabulary = 256, 64, 512, 2048, 32128
parts = count_published("t5_small", 1, S).by_component()
by_hand = {
    "self_attention": 6 * (2 * S * S + 2 * T * S) * d + 6 * 2 * (T * (T + 1) // 2) * d,
    "multi_head": 6 * (4 * S + 4 * T + 2 * T + 2 * S) * d * d,
    "feed_forward": 6 * 2 * (S + T) * d * hidden + T * d * vocabulary,
}
for part, macs in by_hand.items():
    figures.append(Figure(f"t5_small.{part}.macs", parts[part].macs, "MAC"))
    figures.append(Figure(f"t5_small.{part}.macs_by_hand", macs, "MAC"))

verdicts = []
for item, part in (("D13", "self_attention"), ("D14", "multi_head"), ("D15", "feed_forward")):
    counted = parts[part].macs
    verdicts.append(
        Verdict(item, "counts", "holds" if counted == by_hand[part] else "holds in part",
                (f"t5_small.{part}.macs", f"t5_small.{part}.macs_by_hand"),
                f"the described steps come to {by_hand[part]:,} MACs by hand, {counted:,} counted (T5-small)")
    )  # fmt: skip
ranges = {part: (min(r[part] for r in rows), max(r[part] for r in rows)) for part in (*CLAIM, "attention")}
for part, (low, high) in ranges.items():
    figures.append(Figure(f"lowest.{part}", round(low, 5), "share of FLOPs"))
    figures.append(Figure(f"highest.{part}", round(high, 5), "share of FLOPs"))
together = sum(all(abs(r[part] - share) <= 0.05 for part, share in CLAIM.items()) for r in rows)
figures.append(Figure("networks_with_all_three_within_5_points", together, "networks"))
text = ", ".join(f"{part.replace('_', ' ')} {low:.0%}–{high:.0%}" for part, (low, high) in ranges.items())
verdicts.append(
    Verdict("D17", "counts", "does not hold" if together == 0 else "holds in part",
            ("networks_with_all_three_within_5_points",), f"claimed 70/80/60 %; counted over {len(rows)} cases: {text}")
)  # fmt: skip
ExperimentResult(tuple(figures), tuple(verdicts)).save(Path(__file__).parent / "results")
