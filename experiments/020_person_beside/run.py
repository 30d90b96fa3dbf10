"""A person's 20 W beside what networks use on the virtual device [D25]."""

from __future__ import annotations

from pathlib import Path

from energybench.app.experiment_networks import SIZES, count_published
from energybench.app.experiment_prediction import simulated_cost
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.estimation.amounts import BRAIN_POWER_W, brain_time_s
from energybench.report.paper_style import SERIES, dress, paper_figure

RESULTS = Path(__file__).parent / "results"
DEVICE = Path(__file__).parents[1] / "example_device.toml"
#: Training images of ImageNet (ILSVRC 2012; Russakovsky et al. 2015).
IMAGENET = 1_281_167
BATCH = 32


def inference(name: str) -> list[Figure]:
    """Joules of one call at batch 1 on the virtual device, and how long a brain runs on them."""
    energy_j, _ = simulated_cost(count_published(name), DEVICE)
    return [
        Figure(f"{name}.energy", float(f"{energy_j:.4g}"), "J", "simulated"),
        Figure(f"{name}.brain_time", float(f"{brain_time_s(energy_j):.4g}"), "s", "simulated"),
    ]


def small() -> list[Figure]:
    """Three networks."""
    return [figure for name in ("mobilenet_v2", "unet", "gru_lm") for figure in inference(name)]


def main() -> None:
    figures = [figure for name in SIZES for figure in inference(name)]
    tokens_j = 100 * simulated_cost(count_published("gpt2_decode", 1, 512), DEVICE)[0]
    step_j, _ = simulated_cost(count_published("resnet50", BATCH, training=True), DEVICE)
    epoch_j = step_j * IMAGENET / BATCH
    for name, energy_j in (("gpt2_100_tokens", tokens_j), ("resnet50_epoch", epoch_j)):
        figures.append(Figure(f"{name}.energy", float(f"{energy_j:.4g}"), "J", "simulated"))
        figures.append(Figure(f"{name}.brain_time", float(f"{brain_time_s(energy_j):.4g}"), "s", "simulated"))
    figures.append(Figure("brain_power", BRAIN_POWER_W, "W"))
    names = {f.name: f.value for f in figures}
    ms = {n: 1e3 * names[f"{n}.brain_time"] for n in SIZES}

    with paper_figure(RESULTS, "brain_time", height_in=3.0) as figure:
        axes = figure.add_subplot()
        shown = sorted(SIZES, key=lambda n: ms[n])
        axes.barh(range(len(shown)), [ms[n] for n in shown], color=SERIES[3])
        axes.set_yticks(range(len(shown)), [n.replace("_", " ") for n in shown])
        axes.set(xscale="log", xlabel="a brain of 20 W runs as long on one call [ms]; simulated energy, batch 1")
        dress(axes)

    verdict = Verdict(
        "D25", "energy", "not decidable here", tuple(f"{n}.brain_time" for n in (*SIZES, "resnet50_epoch")),
        f"on the virtual device (simulated) one call is {min(ms.values()):.2g} to {max(ms.values()):.3g} ms of a "
        f"brain, 100 tokens of GPT-2 {names['gpt2_100_tokens.brain_time']:.2g} s, an epoch of ImageNet with ResNet-50 "
        f"{names['resnet50_epoch.brain_time'] / 3600:.2g} h; a real comparison needs a meter",
    )  # fmt: skip
    ExperimentResult(tuple(figures), (verdict,)).save(RESULTS)


if __name__ == "__main__":
    main()
