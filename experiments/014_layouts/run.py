"""NCHW against NHWC, and row-major against transposed weights: counts and times [D19]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

import energybench
from energybench import kernels
from energybench.app.experiment_energy import energy_figures, energy_verdict
from energybench.app.experiment_result import Answer, ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.report.paper_style import SERIES, dress, paper_figure

RESULTS = Path(__file__).parent / "results"
#: name → (image, layer)
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Conv2d]]] = {
    "3to64_7x7": ((1, 3, 224, 224), lambda: nn.Conv2d(3, 64, 7, stride=2, padding=3)),
    "64_3x3": ((1, 64, 56, 56), lambda: nn.Conv2d(64, 64, 3, padding=1)),
    "64_3x3_batch8": ((8, 64, 56, 56), lambda: nn.Conv2d(64, 64, 3, padding=1)),
    "256_3x3": ((1, 256, 14, 14), lambda: nn.Conv2d(256, 256, 3, padding=1)),
    "256_1x1": ((1, 256, 28, 28), lambda: nn.Conv2d(256, 256, 1)),
    "128_depthwise": ((1, 128, 28, 28), lambda: nn.Conv2d(128, 128, 3, padding=1, groups=128)),
}
#: Rows of the input of a fully connected layer of 1024 × 1024.
ROWS = (1, 8, 64, 512)


class Dense(nn.Module):
    """A fully connected layer whose weight lies in memory by rows or by columns; the product is the same."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        torch.manual_seed(19)
        w = torch.randn(1024, 1024)
        self.w = nn.Parameter(w.t().contiguous().t() if transposed else w, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.w)


def image_layers(name: str) -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """The layer and its image in both layouts, with the same numbers."""
    shape, make = CONVOLUTIONS[name]
    torch.manual_seed(20)
    layer, x = make(), torch.randn(shape)
    other = make()
    other.load_state_dict(layer.state_dict())
    return {
        "nchw": (layer, x),
        "nhwc": (other.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)),  # type: ignore[call-overload]
    }


def dense_layers(rows: int) -> dict[str, tuple[nn.Module, torch.Tensor]]:
    x = torch.randn(rows, 1024, generator=torch.Generator().manual_seed(rows))
    return {"row_major": (Dense(False), x), "transposed": (Dense(True), x)}


PAIRS: dict[str, Callable[[], dict[str, tuple[nn.Module, torch.Tensor]]]] = {
    **{name: (lambda n=name: image_layers(n)) for name in CONVOLUTIONS},
    **{f"dense_{rows}_rows": (lambda r=rows: dense_layers(r)) for rows in ROWS},
}


def native_calls(name: str) -> dict[str, tuple[str, tuple[torch.Tensor, ...], dict[str, object]]]:
    """The same pair by our own kernels: kernel, arrays, options; each array lies as its kernel reads it."""
    if name in CONVOLUTIONS:
        (layer, x), _ = image_layers(name).values()
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        w, bias = layer.weight.detach(), layer.bias.detach()
        options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
        inner = (x.permute(0, 2, 3, 1).contiguous(), w.permute(0, 2, 3, 1).contiguous(), bias)
        return {"nchw": ("conv2d", (x, w, bias), options), "nhwc": ("conv2d_nhwc", inner, options)}
    (layer, x), _ = dense_layers(int(name.split("_")[1])).values()
    assert isinstance(layer, Dense)
    w = layer.w.detach()
    return {
        "row_major": ("linear", (x, w), {"w_layout": "nk"}),
        "transposed": ("linear", (x, w.t().contiguous()), {"w_layout": "kn"}),
    }


def small() -> list[Figure]:
    """Counts of every pair: work and compulsory bytes do not know the layout."""
    figures = []
    for name, make in PAIRS.items():
        totals = [energybench.count(model, x).total for model, x in make().values()]
        figures.append(Figure(f"{name}.macs", totals[0].macs, "MAC"))
        figures.append(Figure(f"{name}.counts_equal", int(totals[0].to_dict() == totals[1].to_dict()), "1"))
    return figures


def native_ratio(name: str) -> float:
    """Time of our kernel in the other layout over the plain one; both give the same numbers."""
    runs = {
        layout: (lambda k=kernel, a=arrays, o=options: getattr(kernels, k)(*a, **o, threads=1))
        for layout, (kernel, arrays, options) in native_calls(name).items()
    }
    plain, other = runs
    first, second = (run() for run in runs.values())
    if name in CONVOLUTIONS:
        second = second.permute(0, 3, 1, 2)
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)
    return time_in_turns(runs).ratio(other, plain)


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    ratio: dict[str, float] = {}
    native: dict[str, float] = {}
    joules: list[Figure] = []
    with torch.no_grad():
        for name, make in PAIRS.items():
            layouts = make()
            (plain, _), (other, _) = layouts.items()
            outputs = [model(x) for model, x in layouts.values()]
            torch.testing.assert_close(outputs[0], outputs[1].contiguous(), rtol=1e-3, atol=1e-3)
            timings = time_in_turns({layout: (lambda m=m, x=x: m(x)) for layout, (m, x) in layouts.items()})
            ratio[name] = timings.ratio(other, plain)
            joules += energy_figures(
                {f"{name}.{layout}": (lambda m=m, x=x: m(x)) for layout, (m, x) in layouts.items()}
            )
            figures.append(Figure(f"{name}.{plain}.time", round(1e3 * timings.median_s(plain), 4), "ms", "timed"))
            figures.append(Figure(f"{name}.{other}_over_{plain}.time", round(ratio[name], 3), "1", "timed", 1.4))
            native[name] = native_ratio(name)
            figures.append(
                Figure(f"{name}.native.{other}_over_{plain}.time", round(native[name], 3), "1", "timed", 1.4)
            )

    with paper_figure(RESULTS, "layouts", height_in=3.0) as figure:
        axes = figure.add_subplot()
        names = list(PAIRS)[::-1]
        colours = [SERIES[0] if n in CONVOLUTIONS else SERIES[1] for n in names]
        axes.barh(range(len(names)), [ratio[n] - 1 for n in names], left=1, color=colours)
        axes.plot([native[n] for n in names], range(len(names)), "kD", markersize=4, fillstyle="none")
        axes.axvline(1, color="#444444", lw=0.8)
        axes.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
        axes.set_xlabel(
            "time of NHWC over NCHW (blue), of transposed over row-major weights (red); diamonds: our kernels"
        )
        dress(axes)

    images, dense = ([ratio[n] for n in PAIRS if (n in CONVOLUTIONS) is wanted] for wanted in (True, False))
    ours_images, ours_dense = ([native[n] for n in PAIRS if (n in CONVOLUTIONS) is wanted] for wanted in (True, False))
    equal = sum(int(f.value) for f in figures if f.name.endswith("counts_equal"))
    better = min(images) > 1.05 and min(dense) > 1.05
    worse = max(*images, *dense) < 0.95
    figures += joules

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        over = [
            energy[f"{n}.nhwc.energy"] / energy[f"{n}.nchw.energy"]
            if n in CONVOLUTIONS
            else energy[f"{n}.transposed.energy"] / energy[f"{n}.row_major.energy"]
            for n in PAIRS
        ]
        answer: Answer = "holds" if min(over) > 1.05 else "does not hold" if max(over) < 0.95 else "holds in part"
        return answer, f"the other layout takes {min(over):.2f} to {max(over):.2f} times the joules"

    verdicts = (
        Verdict("D19", "counts", "does not hold", tuple(f"{n}.counts_equal" for n in PAIRS),
                f"{equal} of {len(PAIRS)} pairs have the same operations and compulsory bytes: counts know no layout"),
        Verdict("D19", "time", "holds" if better else "does not hold" if worse else "holds in part",
                tuple(f.name for f in figures if f.within is not None),
                f"NHWC takes {min(images):.2f} to {max(images):.2f} times the time of NCHW, transposed weights "
                f"{min(dense):.2f} to {max(dense):.2f} times that of row-major ones (torch, one thread; our own "
                f"{min(ours_images):.2f} to {max(ours_images):.2f}, {min(ours_dense):.2f} to {max(ours_dense):.2f})"),
        energy_verdict("D19", joules, of_energy, Verdict(
            "D19", "energy", "not decidable here", ("64_3x3.nhwc_over_nchw.time",),
            "what a layout saves in joules needs a meter")),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
