"""From the naive loop to vectors, from direct loops to matrix products, from many kernels to one [D22]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import energybench
from energybench import kernels
from energybench.app.experiment_energy import energy_figures, energy_verdict
from energybench.app.experiment_result import Answer, ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.kernels.ladder import runs_here
from energybench.report.paper_style import SERIES, dress, paper_figure

RESULTS = Path(__file__).parent / "results"
LADDER = ("naive", "blocked", "avx2", "avx512")
ALGORITHMS = ("im2col", "direct")
#: Channels of a 3 × 3 convolution on 28 × 28 pixels, and a depthwise one.
CHANNELS = (4, 8, 16, 64)
SIDE = 28


def layer(channels: int, groups: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(channels)
    x = torch.randn(1, channels, SIDE, SIDE, generator=generator)
    return x, torch.randn(channels, channels // groups, 3, 3, generator=generator)


class FiveSteps(nn.Module):
    """A softmax as five kernels: maximum, difference, exponential, sum, quotient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        e = (x - x.amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)


class Projections(nn.Module):
    """Query, key and value of one input: three products, or one whose output channels are theirs joined."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        torch.manual_seed(22)
        sizes = (3 * 512,) if joined else (512, 512, 512)
        self.layers = nn.ModuleList(nn.Linear(512, n, bias=False) for n in sizes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer(x) for layer in self.layers)


def small() -> list[Figure]:
    """Everything that is counted."""
    figures = []
    x, w = layer(64)
    for rung in ("naive", "avx2"):
        for algorithm in ALGORITHMS if rung != "naive" else ("auto",):
            issued = kernels.count("conv2d", x, w, padding=1, algorithm=algorithm, variant=rung, basis="issued")
            label = f"conv64.{rung}" + ("" if rung == "naive" else f".{algorithm}")
            figures.append(Figure(f"{label}.macs", issued.macs, "MAC"))
            figures.append(Figure(f"{label}.issued_bytes", issued.bytes, "B"))
    rows = torch.zeros(512, 768)
    figures.append(Figure("softmax.one_kernel.bytes", kernels.count("softmax", rows).bytes, "B"))
    figures.append(Figure("softmax.five_kernels.bytes", energybench.count(FiveSteps(), rows).total.bytes, "B"))
    for name, joined in (("three", False), ("joined", True)):
        total = energybench.count(Projections(joined), torch.zeros(128, 512)).total
        figures += [
            Figure(f"projections.{name}.macs", total.macs, "MAC"),
            Figure(f"projections.{name}.bytes", total.bytes, "B"),
            Figure(f"projections.{name}.launches", total.launches, "launches"),
        ]
    return figures


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    ladder = [rung for rung in LADDER if runs_here(rung, "cpu")]
    x, w = layer(64)
    timings = time_in_turns(
        {rung: (lambda r=rung: kernels.conv2d(x, w, padding=1, variant=r, threads=1)) for rung in ladder}, rounds=5
    )
    joules = energy_figures(
        {rung: (lambda r=rung: kernels.conv2d(x, w, padding=1, variant=r, threads=1)) for rung in ladder}
    )
    figures += joules
    speed = {rung: timings.ratio("naive", rung) for rung in ladder}
    figures += [Figure(f"conv64.{r}.times_faster", round(speed[r], 2), "1", "timed", 1.6) for r in ladder[1:]]
    figures.append(Figure("conv64.naive.time", round(1e3 * timings.median_s("naive"), 2), "ms", "timed"))

    crossing: dict[str, float] = {}
    for name, channels, groups in [(f"c{n}", n, 1) for n in CHANNELS] + [("depthwise64", 64, 64)]:
        x, w = layer(channels, groups)
        calls = {
            a: (lambda a=a, x=x, w=w, g=groups: kernels.conv2d(x, w, padding=1, groups=g, algorithm=a, threads=1))
            for a in ALGORITHMS
        }
        crossing[name] = time_in_turns(calls).ratio("direct", "im2col")
        figures.append(Figure(f"{name}.direct_over_im2col.time", round(crossing[name], 3), "1", "timed", 1.5))

    rows = torch.randn(512, 768)
    five, three, joined = FiveSteps(), Projections(False), Projections(True)
    tokens = torch.randn(128, 512)
    with torch.no_grad():
        softmax = time_in_turns(
            {"one": lambda: kernels.softmax(rows, threads=1), "torch": lambda: torch.softmax(rows, -1),
             "five": lambda: five(rows)}
        )  # fmt: skip
        projections = time_in_turns({"three": lambda: three(tokens), "joined": lambda: joined(tokens)})
    fused = {
        "softmax.five_over_one.time": softmax.ratio("five", "one"),
        "softmax.five_over_torch.time": softmax.ratio("five", "torch"),
        "projections.three_over_joined.time": projections.ratio("three", "joined"),
    }
    figures += [Figure(name, round(value, 3), "1", "timed", 1.5) for name, value in fused.items()]
    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "ladder_and_fusion", height_in=2.8) as figure:
        left, right = figure.subplots(1, 2)
        left.bar(range(len(ladder)), [speed[r] for r in ladder], color=SERIES[0])
        left.set_xticks(range(len(ladder)), ladder)
        left.set(ylabel="times faster than the naive loop", xlabel="rung (3 × 3, 64 channels, one thread)")
        dress(left)
        right.bar(range(len(crossing)), list(crossing.values()), color=SERIES[1])
        right.axhline(1, color="#444444", lw=0.8)
        right.set_xticks(range(len(crossing)), [n.replace("depthwise", "dw ") for n in crossing])
        right.set(ylabel="time of direct over im2col", xlabel="channels of a 3 × 3 convolution")
        dress(right)

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        saved = energy["naive.energy"] / energy[f"{ladder[-1]}.energy"]
        return "holds" if saved > 1.05 else "does not hold", f"the best rung takes {saved:.1f} times fewer joules"

    best = max(speed.values())
    issued = names["conv64.naive.issued_bytes"] / names["conv64.avx2.im2col.issued_bytes"]
    moved = names["softmax.five_kernels.bytes"] / names["softmax.one_kernel.bytes"]
    verdicts = (
        Verdict("D22", "counts", "holds",
                ("conv64.naive.issued_bytes", "conv64.avx2.im2col.issued_bytes", "softmax.five_kernels.bytes",
                 "softmax.one_kernel.bytes", "projections.joined.bytes"),
                f"with the same MACs, blocks and vectors issue {issued:.1f} times fewer bytes; one softmax kernel "
                f"moves {moved:.1f} times fewer than five"),
        Verdict("D22", "time", "holds" if best > 2 and fused["softmax.five_over_one.time"] > 1.1 else "holds in part",
                (*(f"conv64.{r}.times_faster" for r in ladder[1:]), *fused,
                 *(f"{n}.direct_over_im2col.time" for n in crossing)),
                f"the best rung is {best:.0f} times as fast as the naive loop, one softmax kernel "
                f"{fused['softmax.five_over_one.time']:.1f} times as fast as five, joined projections "
                f"{fused['projections.three_over_joined.time']:.2f} times; im2col beats direct at 64 channels "
                f"({crossing['c64']:.2f}) and loses depthwise ({crossing['depthwise64']:.2f})"),
        energy_verdict("D22", joules, of_energy, Verdict(
            "D22", "energy", "not decidable here", ("conv64.avx2.im2col.issued_bytes",),
            "whether a faster rung also takes fewer joules needs a meter")),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
