"""The optimiser's step beside forward and backward, in counts [D30]."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from energybench.app.experiment_networks import count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.counting import count_optimizer_step
from energybench.report.paper_style import dress, paper_figure
from energybench.workloads.zoo_rows import published_network

RESULTS = Path(__file__).parent / "results"
NETWORKS = (("resnet50", 224), ("vit_b16", 224), ("t5_small", 128), ("gru_lm", 64))
OPTIMISERS = ("sgd", "momentum", "adam")


def of_network(network: str, length: int) -> tuple[list[Figure], dict[tuple[int, str], float], float]:
    """Bytes of the steps beside a training step, their share of the bytes, and the largest share of the FLOPs."""
    figures, share, work = [], {}, 0.0
    with torch.device("meta"):
        model: nn.Module = published_network(network, 1, length).recipe.factory()  # type: ignore[union-attr]
    for batch in (1, 32):
        step = count_published(network, batch, length, training=True).total
        figures.append(Figure(f"{network}.n{batch}.training.bytes", step.bytes, "B"))
        for name in OPTIMISERS:
            own = count_optimizer_step(model, name).total
            share[batch, name] = own.bytes / (own.bytes + step.bytes)
            work = max(work, own.flops / (own.flops + step.flops))
            label = f"{network}.n{batch}.{name}"
            figures.append(Figure(f"{label}.bytes", own.bytes, "B"))
            figures.append(Figure(f"{label}.share_of_bytes", round(share[batch, name], 5), "1"))
    return figures, share, work


def small() -> list[Figure]:
    """One network."""
    return of_network("gru_lm", 64)[0]


def main() -> None:
    found = {network: of_network(network, length) for network, length in NETWORKS}
    figures = [f for own, _, _ in found.values() for f in own]
    share = {(network, *key): value for network, (_, own, _) in found.items() for key, value in own.items()}
    work = max(largest for _, _, largest in found.values())
    adam = {batch: [s for (_, n, name), s in share.items() if n == batch and name == "adam"] for batch in (1, 32)}
    for batch, values in adam.items():
        figures.append(Figure(f"adam.n{batch}.lowest_share_of_bytes", round(min(values), 5), "1"))
        figures.append(Figure(f"adam.n{batch}.highest_share_of_bytes", round(max(values), 5), "1"))
    figures.append(Figure("highest_share_of_flops", round(work, 5), "1"))
    with paper_figure(RESULTS, "share_of_the_step", height_in=2.2) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, batch in zip(panels, (1, 32), strict=True):
            for i, name in enumerate(OPTIMISERS):
                values = [100 * share[network, batch, name] for network, _ in NETWORKS]
                axes.bar([x + 0.25 * (i - 1) for x in range(len(NETWORKS))], values, 0.25, label=name)
            axes.set_xticks(range(len(NETWORKS)), [network.replace("_", " ") for network, _ in NETWORKS])
            axes.set_xlabel(f"batch {batch}")
            dress(axes)
        panels[0].set_ylabel("share of the bytes [%]")

    verdict = Verdict(
        "D30", "energy", "not decidable here", ("adam.n1.highest_share_of_bytes", "adam.n32.highest_share_of_bytes"),
        f"needs a meter; counted, Adam is {min(adam[1]):.0%}–{max(adam[1]):.0%} of the bytes of a training step "
        f"at batch 1, {min(adam[32]):.0%}–{max(adam[32]):.0%} at 32, and at most {work:.1%} of the FLOPs",
    )  # fmt: skip
    ExperimentResult(tuple(figures), (verdict,)).save(RESULTS)


if __name__ == "__main__":
    main()
