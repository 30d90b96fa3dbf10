"""Norm distance of models' parameters against the difference of their cost, in counts and times [D4]."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

import energybench
from energybench.app.experiment_energy import energy_figures, energy_verdict
from energybench.app.experiment_result import Answer, ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.counting import parameter_distance, parameter_norms
from energybench.report.paper_style import dress, paper_figure
from energybench.workloads.networks import ConvNet

RESULTS = Path(__file__).parent / "results"
BATCH, SIDE = 8, 64


def original() -> nn.Module:
    torch.manual_seed(4)
    return ConvNet(16).eval()


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [w for w in model.parameters() if w.dim() > 1]


def fine_tuned(steps: int) -> nn.Module:
    """Some steps of SGD on noise; the running statistics of the norms stay as they are."""
    model = original()
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        x, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, 10, (BATCH,))
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return model


@torch.no_grad()
def changed(change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    model = original()
    for w in weights_of(model):
        w.copy_(change(w))
    return model


def pruned(w: torch.Tensor) -> torch.Tensor:
    """The smaller nine tenths set to zero."""
    return torch.where(w.abs() > w.abs().flatten().kthvalue(int(0.9 * w.numel())).values, w, 0.0)


def redrawn() -> nn.Module:
    torch.manual_seed(40)
    return ConvNet(16).eval()


COPIES: dict[str, Callable[[], nn.Module]] = {
    "original": original,
    "one_step": lambda: fine_tuned(1),
    "twenty_steps": lambda: fine_tuned(20),
    "pruned_to_a_tenth": lambda: changed(pruned),
    "doubled": lambda: changed(lambda w: 2 * w),
    "redrawn": redrawn,
    "subnormal": lambda: changed(lambda w: 1e-39 * w),
}


class Strided(nn.Module):
    """The same weights applied at every pixel or at every second one."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.layer = nn.Conv2d(32, 32, 3, padding=1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y


class Product(nn.Module):
    """w · x, w as given: dense or sparse."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w @ x


def products() -> dict[str, nn.Module]:
    torch.manual_seed(7)
    w = pruned(torch.randn(1024, 1024))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its sparse layout a beta
        return {"dense": Product(w), "sparse": Product(w.to_sparse_csr())}


def small() -> list[Figure]:
    """Equal weights at two strides, and zeros that are or are not skipped."""
    x = torch.zeros(1, 32, 33, 33)
    one, two = Strided(1), Strided(2)
    dense, sparse = (energybench.count(m, torch.zeros(1024, 64)).total for m in products().values())
    return [
        Figure("strides.l1_distance", parameter_distance(one, two).l1, "1"),
        Figure("strides.macs.stride_1", energybench.count(one, x).total.macs, "MAC"),
        Figure("strides.macs.stride_2", energybench.count(two, x).total.macs, "MAC"),
        Figure("pruned_layer.dense.macs", dense.macs, "MAC"),
        Figure("pruned_layer.sparse.macs", sparse.macs, "MAC"),
        Figure("pruned_layer.dense.bytes", dense.bytes, "B"),
        Figure("pruned_layer.sparse.bytes", sparse.bytes, "B"),
    ]


def main() -> None:
    figures = small()
    x = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))
    models = {name: make() for name, make in COPIES.items()}
    base = models["original"]
    norms = parameter_norms(base)
    counts = {name: energybench.count(m, x).total.to_dict() for name, m in models.items()}
    distance = {}
    for name, model in models.items():
        apart = parameter_distance(base, model)
        distance[name] = apart.l2 / norms.l2
        # trained weights round differently from one processor to the next
        digits = 2 if "step" in name else 5
        for norm, value in (("l1", apart.l1 / norms.l1), ("l2", apart.l2 / norms.l2)):
            figures.append(Figure(f"{name}.{norm}_distance_over_norm", float(f"{value:.{digits}g}"), "1"))
    same = sum(counts[name] == counts["original"] for name in COPIES) - 1
    far = [d for name, d in distance.items() if name != "original"]
    figures.append(Figure("copies", len(COPIES) - 1, "models"))
    figures.append(Figure("copies_with_the_same_counts", same, "models"))

    torch.set_num_threads(1)
    with torch.no_grad():
        timings = time_in_turns({name: (lambda m=m: m(x)) for name, m in models.items()})
        y = torch.randn(1024, 64)
        layers = time_in_turns({name: (lambda m=m: m(y)) for name, m in products().items()})
        joules = energy_figures({name: (lambda m=m: m(x)) for name, m in models.items()})
    figures += joules
    ratio = {name: timings.ratio(name, "original") for name in COPIES}
    for name in COPIES:
        figures.append(Figure(f"{name}.time_over_original", round(ratio[name], 3), "1", "timed", 1.25))
    figures.append(Figure("original.time", round(1e3 * timings.median_s("original"), 3), "ms", "timed"))
    sparse_time = round(layers.ratio("sparse", "dense"), 2)
    figures.append(Figure("pruned_layer.sparse.time_over_dense", sparse_time, "1", "timed", 2.0))
    normal = [ratio[n] for n in COPIES if n not in ("original", "subnormal")]
    furthest = max(abs(r - 1) for r in normal)

    with paper_figure(RESULTS, "distance_and_time", height_in=2.6) as figure:
        axes = figure.add_subplot()
        for name in COPIES:
            if name != "original":
                axes.plot(distance[name], ratio[name], "o", label=name.replace("_", " "))
        axes.axhline(1, color="#444444", lw=0.8, ls="--")
        axes.set(xscale="log", ylim=(0.5, 1.1 * max(1.4, *ratio.values())))
        axes.set(xlabel="L2 distance over the original's norm", ylabel="time over the original's")
        dress(axes)

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        apart = {n: abs(energy[f"{n}.energy"] / energy["original.energy"] - 1) for n in COPIES if n != "original"}
        near = max(apart["one_step"], apart["twenty_steps"]) <= 0.05
        told = max(apart.values()) > 0.05
        answer: Answer = "holds" if near and told else "holds in part" if near else "does not hold"
        return answer, "energy beside the original's: " + ", ".join(f"{n} {a:.1%}" for n, a in apart.items())

    names = {f.name: f.value for f in figures}
    strides = names["strides.macs.stride_1"] / names["strides.macs.stride_2"]
    verdicts = (
        Verdict("D4", "counts", "does not hold",
                ("copies_with_the_same_counts", "strides.l1_distance", "strides.macs.stride_1",
                 "strides.macs.stride_2", "pruned_layer.sparse.macs"),
                f"{same} of {len(COPIES) - 1} copies at distances that differ by a factor of {max(far) / min(far):.0f} "
                f"have the same counts, and equal weights (distance 0) at half the stride make {strides:.2f} times the "
                "MACs"),
        Verdict("D4", "time", "does not hold" if furthest <= 0.25 else "holds in part",
                tuple(f"{n}.time_over_original" for n in COPIES if n != "original"),
                f"the copies' times differ by at most {furthest:.0%} whatever the distance"),
        energy_verdict("D4", joules, of_energy, Verdict(
            "D4", "energy", "not decidable here", ("copies_with_the_same_counts",),
            "values alone move the energy of a matrix product on a GPU: that of the copies needs a meter")),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
