"""The optimiser's step beside forward and backward, in counts [D30]."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from energybench.app.experiment_networks import count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.counting import count_optimizer_step
from energybench.workloads.zoo_rows import published_network

figures: list[Figure] = []
share: dict[tuple[str, int, str], float] = {}
work = 0.0
for network, length in (("resnet50", 224), ("vit_b16", 224), ("t5_small", 128), ("gru_lm", 64)):
    with torch.device("meta"):
        model: nn.Module = published_network(network, 1, length).recipe.factory()  # type: ignore[union-attr]
    for batch in (1, 32):
        step = count_published(network, batch, length, training=True).total
        figures.append(Figure(f"{network}.n{batch}.training.bytes", step.bytes, "B"))
        for name in ("sgd", "momentum", "adam"):
            own = count_optimizer_step(model, name).total
            share[network, batch, name] = own.bytes / (own.bytes + step.bytes)
            work = max(work, own.flops / (own.flops + step.flops))
            label = f"{network}.n{batch}.{name}"
            figures.append(Figure(f"{label}.bytes", own.bytes, "B"))
            figures.append(Figure(f"{label}.share_of_bytes", round(share[network, batch, name], 5), "1"))
adam = {batch: [s for (_, n, name), s in share.items() if n == batch and name == "adam"] for batch in (1, 32)}
for batch, values in adam.items():
    figures.append(Figure(f"adam.n{batch}.lowest_share_of_bytes", round(min(values), 5), "1"))
    figures.append(Figure(f"adam.n{batch}.highest_share_of_bytes", round(max(values), 5), "1"))
figures.append(Figure("highest_share_of_flops", round(work, 5), "1"))
verdict = Verdict(
    "D30", "energy", "not decidable here", ("adam.n1.highest_share_of_bytes", "adam.n32.highest_share_of_bytes"),
    f"needs a meter; counted, Adam is {min(adam[1]):.0%}–{max(adam[1]):.0%} of the bytes of a training step "
    f"at batch 1, {min(adam[32]):.0%}–{max(adam[32]):.0%} at 32, and at most {work:.1%} of the FLOPs",
)  # fmt: skip
ExperimentResult(tuple(figures), (verdict,)).save(Path(__file__).parent / "results")
