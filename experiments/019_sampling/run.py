"""A whole model from a sample of its layers or of its weights: error against the size of the sample [D24]."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

import energybench
from energybench import DeviceProfile
from energybench.app.calibrate import calibrate
from energybench.app.experiment_networks import SIZES, count_published, published_module
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.estimation.estimate import estimate_counts
from energybench.estimation.layer_sample import METHODS, sampling_error
from energybench.report.paper_style import dress, paper_figure

RESULTS = Path(__file__).parent / "results"
DEVICE = Path(__file__).parents[1] / "example_device.toml"
NETWORKS = ("vgg16", "mobilenet_v2", "densenet121", "vit_b16", "gpt2_prefill", "lstm_lm")
SHARES = (0.1, 0.25, 0.5)
WEIGHT_SHARES = (0.001, 0.01, 0.1)
DRAWS = 50


def profiles() -> dict[str, DeviceProfile]:
    """MACs alone, so that the sampled quantity is the MAC count itself, and `physical`, on the virtual device."""
    with tempfile.TemporaryDirectory() as folder:
        run = calibrate(meter=f"simulated:{DEVICE}", out=Path(folder) / "run")
        records = energybench.load_records(run.path)
        return {
            label: DeviceProfile.from_fit(energybench.fit(records, equation=equation), name=label)
            for label, equation in (("macs", "macs-only"), ("energy", "physical"))
        }


def layers(name: str, label: str, profile: DeviceProfile) -> list[Figure]:
    """Root mean square error of samples of a network's layers, by method and size."""
    estimate = estimate_counts(count_published(name), profile)
    kind = "counted" if label == "macs" else "simulated"
    figures = []
    for method in METHODS:
        for share in SHARES:
            error = sampling_error(estimate, share=share, method=method)
            digits = float(f"{error.rms_rel:.3g}")
            figures.append(Figure(f"{name}.{label}.{method}.{share:g}.rms_error", digits, "1", kind))  # type: ignore[arg-type]
    return figures


def weights(name: str) -> list[Figure]:
    """Root mean square error of the L1 and L2 norm from a sample of the weights, scaled up."""
    every = torch.cat([p.detach().flatten() for p in published_module(name).parameters()]).double().numpy()
    rng = np.random.default_rng(24)
    whole = np.abs(every).mean(), np.sqrt((every**2).mean())
    figures = []
    for share in WEIGHT_SHARES:
        number = int(share * every.size)
        errors = []
        for _ in range(DRAWS):
            chosen = every[rng.integers(every.size, size=number)]
            l1 = np.abs(chosen).mean() / whole[0] - 1
            l2 = np.sqrt((chosen**2).mean()) / whole[1] - 1
            errors.append((l1, l2))
        for norm, rms in zip(("l1", "l2"), np.sqrt(np.mean(np.square(errors), axis=0)), strict=True):
            figures.append(Figure(f"{name}.weights.{norm}.{share:g}.rms_error", float(f"{rms:.2g}"), "1"))
    return figures


def small() -> list[Figure]:
    """The weights of a small network."""
    return weights("mobilenet_v2")


def main() -> None:
    figures = small()
    for label, profile in profiles().items():
        for name in NETWORKS:
            figures += layers(name, label, profile)
    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "sampling", height_in=2.8) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, name in ((left, "mobilenet_v2"), (right, "vit_b16")):
            for method, marker in zip(METHODS, "osD", strict=True):
                errors = [100 * names[f"{name}.macs.{method}.{share:g}.rms_error"] for share in SHARES]
                axes.plot([100 * s for s in SHARES], np.maximum(errors, 0.01), f"{marker}-", label=method)
            axes.set(yscale="log", xlabel=f"share of the layers of {name.replace('_', ' ')} [%]")
            dress(axes)
        left.set_ylabel("error of the MACs (rms) [%]")

    def worst(family: str, method: str, label: str = "macs") -> tuple[float, float]:
        errors = [names[f"{n}.{label}.{method}.0.25.rms_error"] for n in NETWORKS if SIZES[n][0] == family]
        return min(errors), max(errors)

    cnn = {method: worst("cnn", method) for method in METHODS}
    transformer, energy = worst("transformer", "stratified"), worst("cnn", "stratified", "energy")
    l1 = names["mobilenet_v2.weights.l1.0.01.rms_error"]
    deciding = tuple(f"{n}.macs.{m}.0.25.rms_error" for n in NETWORKS for m in METHODS)
    percent = {m: f"{low:.0%} to {high:.0%}" for m, (low, high) in cnn.items()}
    verdicts = (
        Verdict("D24", "counts", "holds in part", (*deciding, "mobilenet_v2.weights.l1.0.01.rms_error"),
                f"a quarter of a CNN's layers misses its MACs by {percent['simple']} drawn alike, {percent['weights']} "
                f"by weights, {percent['stratified']} drawn within kinds and sizes (Transformers "
                f"{transformer[0]:.1%} to {transformer[1]:.1%}); 1 % of the weights gives the L1 norm within {l1:.1%}"),
        Verdict("D24", "energy", "not decidable here", tuple(f"{n}.energy.stratified.0.25.rms_error" for n in NETWORKS),
                f"simulated energy of CNNs from a quarter of the layers, within kinds and sizes: {energy[0]:.0%} to "
                f"{energy[1]:.0%}; joules need a meter"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
