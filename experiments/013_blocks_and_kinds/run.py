"""The building blocks of a CNN and the kinds of convolution: counts of ours and torch's, shares, times [D7, D8]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import energybench
from energybench import OpCounts, kernels
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.counting import count_optimizer_step
from energybench.report.paper_style import SERIES, dress, paper_figure
from energybench.workloads.networks import ConvNet

RESULTS = Path(__file__).parent / "results"
#: One feature map that every block works on.
IMAGE = (1, 64, 56, 56)
#: What must agree between a native kernel and its torch twin.
TALLIES = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")


@dataclass(frozen=True)
class Block:
    """One building block: the native kernel's name, its arguments after the image, and torch's module."""

    kernel: str
    twin: nn.Module
    arrays: tuple[torch.Tensor, ...] = ()
    options: Any = None

    def run(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = getattr(kernels, self.kernel)(x, *self.arrays, **(self.options or {}), threads=1)
        return y

    def counts(self, x: torch.Tensor) -> tuple[OpCounts, OpCounts]:
        ours = kernels.count(self.kernel, x, *self.arrays, **(self.options or {}))
        return ours, energybench.count(self.twin, x).total


def blocks() -> dict[str, Block]:
    torch.manual_seed(7)
    conv = {k: nn.Conv2d(64, 64, k, padding=k // 2) for k in (1, 3, 5)}
    strided = nn.Conv2d(64, 64, 3, padding=1, stride=2)
    bare = nn.Conv2d(64, 64, 3)

    def weights(layer: nn.Conv2d) -> tuple[torch.Tensor, ...]:
        assert layer.bias is not None
        return layer.weight.detach(), layer.bias.detach()

    return {
        "kernel_1": Block("conv2d", conv[1], weights(conv[1])),
        "kernel_3": Block("conv2d", conv[3], weights(conv[3]), {"padding": 1}),
        "kernel_5": Block("conv2d", conv[5], weights(conv[5]), {"padding": 2}),
        "stride_2": Block("conv2d", strided, weights(strided), {"padding": 1, "stride": 2}),
        "no_padding": Block("conv2d", bare, weights(bare)),
        "max_pool": Block("max_pool2d", nn.MaxPool2d(2), (), {"kernel_size": 2}),
        "average_pool": Block("avg_pool2d", nn.AvgPool2d(2), (), {"kernel_size": 2}),
        "relu": Block("relu", nn.ReLU()),
        "leaky_relu": Block("leaky_relu", nn.LeakyReLU()),
        "sigmoid": Block("sigmoid", nn.Sigmoid()),
        "tanh": Block("tanh", nn.Tanh()),
        "softmax": Block("softmax", nn.Softmax(-1)),
        "log_softmax": Block("log_softmax", nn.LogSoftmax(-1)),
    }


class Separable(nn.Sequential):
    """A depthwise 3 × 3 and a pointwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
        )


class Inception(nn.Module):
    """The first Inception module of GoogLeNet: branches of different kernels, concatenated (Szegedy et al. 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(192, 64, 1, bias=False)
        self.three = nn.Sequential(nn.Conv2d(192, 96, 1, bias=False), nn.Conv2d(96, 128, 3, padding=1, bias=False))
        self.five = nn.Sequential(nn.Conv2d(192, 16, 1, bias=False), nn.Conv2d(16, 32, 5, padding=2, bias=False))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(192, 32, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


C, SIDE = 128, 28
PIXELS = SIDE * SIDE
#: kind → (module, input, MACs by hand with the taps on padding)
KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "spatial": (lambda: nn.Conv2d(C, C, 3, padding=1, bias=False), (1, C, SIDE, SIDE), 9 * C * C * PIXELS),
    "temporal": (lambda: nn.Conv1d(C, C, 3, padding=1, bias=False), (1, C, PIXELS), 3 * C * C * PIXELS),
    "depthwise_separable": (lambda: Separable(C), (1, C, SIDE, SIDE), (9 * C + C * C) * PIXELS),
    "inception": (
        Inception,
        (1, 192, SIDE, SIDE),
        (192 * 64 + 192 * 96 + 9 * 96 * 128 + 192 * 16 + 25 * 16 * 32 + 192 * 32) * PIXELS,
    ),
}


def small() -> list[Figure]:
    """All counts but the training step's."""
    figures = []
    x = torch.zeros(IMAGE)
    for name, block in blocks().items():
        ours, theirs = block.counts(x)
        equal = all(getattr(ours, t) == getattr(theirs, t) for t in TALLIES)
        figures += [
            Figure(f"{name}.macs", theirs.macs, "MAC"),
            Figure(f"{name}.other_flops", theirs.other_flops, "FLOP"),
            Figure(f"{name}.bytes", theirs.bytes, "B"),
            Figure(f"{name}.native_equals_torch", int(equal), "1"),
        ]
    for name, (make, shape, by_hand) in KINDS.items():
        total = energybench.count(make(), torch.zeros(shape)).total
        figures += [
            Figure(f"{name}.nominal_macs", total.nominal_macs, "MAC"),
            Figure(f"{name}.nominal_macs_by_hand", by_hand, "MAC"),
            Figure(f"{name}.flop_per_byte", round(total.flops / total.bytes, 3), "FLOP/B"),
        ]
    return figures


def training_step() -> list[Figure]:
    """Shares of a step of the small CNN with 32 images: by kind of operator, loss and SGD with them."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = ConvNet(16)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(x), labels)

    model = Step().train()
    counts = energybench.count(model, torch.zeros(32, 3, 64, 64), torch.zeros(32, dtype=torch.int64), backward=True)
    parts = {str(name): part for name, part in counts.by_kernel_class().items()}
    parts["gradient_descent"] = count_optimizer_step(model, "sgd").total
    flops, moved = (sum(getattr(p, tally) for p in parts.values()) for tally in ("flops", "bytes"))
    figures = []
    for name, part in parts.items():
        figures.append(Figure(f"training.{name}.share_of_flops", round(part.flops / flops, 6), "1"))
        figures.append(Figure(f"training.{name}.share_of_bytes", round(part.bytes / moved, 6), "1"))
    return figures


def main() -> None:
    figures = small() + training_step()
    torch.set_num_threads(1)
    x = torch.randn(IMAGE, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        for name, block in blocks().items():
            pair = {"ours": lambda b=block: b.run(x), "torch": lambda b=block: b.twin(x)}
            timings = time_in_turns(pair, rounds=5)
            ms = round(1e3 * timings.median_s("torch"), 4)
            figures.append(Figure(f"{name}.torch.time", ms, "ms", "timed"))
            figures.append(Figure(f"{name}.torch_over_ours.time", round(timings.ratio("torch", "ours"), 2), "1",
                                  "timed", 2.0))  # fmt: skip
        modules = {name: (make(), torch.randn(shape)) for name, (make, shape, _) in KINDS.items()}
        timings = time_in_turns({name: (lambda m=m, x=x: m(x)) for name, (m, x) in modules.items()})
        for name in KINDS:
            macs = next(f.value for f in figures if f.name == f"{name}.nominal_macs")
            rate = round(macs / timings.median_s(name) / 1e9, 2)
            figures.append(Figure(f"{name}.torch.rate", rate, "GMAC/s", "timed", 1.6))
        separable = round(timings.ratio("depthwise_separable", "spatial"), 3)
        figures.append(Figure("depthwise_separable_over_spatial.time", separable, "1", "timed", 1.5))
    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "blocks_and_kinds", height_in=3.2) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
        parts = [n.split(".")[1] for n in names if n.startswith("training.") and n.endswith("flops")]
        parts.sort(key=lambda p: names[f"training.{p}.share_of_bytes"])
        for offset, tally, colour in ((0.2, "flops", SERIES[0]), (-0.2, "bytes", SERIES[1])):
            values = [100 * names[f"training.{p}.share_of_{tally}"] for p in parts]
            left.barh([i + offset for i in range(len(parts))], values, 0.38, color=colour, label=f"share of {tally}")
        left.set_yticks(range(len(parts)), [p.replace("_", " ") for p in parts])
        left.set_xlabel("share of a training step, counted [%]")
        dress(left)
        rates = [names[f"{kind}.torch.rate"] for kind in KINDS]
        right.barh(range(len(KINDS)), rates, color=SERIES[2])
        right.set_yticks(range(len(KINDS)), [k.replace("_", "\n") for k in KINDS])
        right.set_xlabel("GMAC/s in torch, one thread, timed")
        dress(right)

    equal = [n for n in names if n.endswith("native_equals_torch")]
    conv = names["training.conv.share_of_flops"]
    rest = 1 - names["training.conv.share_of_bytes"]
    by_hand = sum(names[f"{k}.nominal_macs"] == names[f"{k}.nominal_macs_by_hand"] for k in KINDS)
    work = names["depthwise_separable.nominal_macs"] / names["spatial.nominal_macs"]
    verdicts = (
        Verdict("D7", "counts", "holds" if all(names[n] == 1 for n in equal) else "holds in part",
                (*equal, "training.conv.share_of_flops", "training.conv.share_of_bytes"),
                f"{sum(int(names[n]) for n in equal)} of {len(equal)} blocks count alike in our kernel and torch; of "
                f"a training step convolutions are {conv:.1%} of the FLOPs, everything else {rest:.0%} of the bytes"),
        Verdict("D8", "counts", "holds" if by_hand == len(KINDS) else "holds in part",
                tuple(f"{k}.{n}" for k in KINDS for n in ("nominal_macs", "nominal_macs_by_hand")),
                f"{by_hand} of {len(KINDS)} kinds come to the MACs by hand; depthwise separable makes {work:.3f} of "
                "those of the spatial one"),
        Verdict("D8", "time", "holds in part", ("depthwise_separable_over_spatial.time",),
                f"depthwise separable makes {work:.3f} of the MACs but takes {separable:.2f} of the time"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
