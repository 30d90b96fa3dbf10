"""Weights of CNNs beside dense networks, and weight against activation traffic per family [D27, D28, D33]."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from energybench.app.experiment_networks import SIZES, count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.report.paper_style import dress, paper_figure

RESULTS = Path(__file__).parent / "results"


def of_network(name: str) -> list[Figure]:
    """Weights and activations in the traffic of one network."""
    counts = count_published(name)
    total = counts.total
    return [
        Figure(f"{name}.parameters", counts.parameters, "parameters"),
        Figure(f"{name}.weight_bytes", total.weight_load_bytes, "B"),
        Figure(f"{name}.activation_bytes", total.bytes - total.weight_load_bytes, "B"),
        Figure(f"{name}.weight_share", round(total.weight_load_bytes / total.bytes, 5), "share of bytes"),
        Figure(f"{name}.flop_per_byte", round(total.flops / total.bytes, 4), "FLOP/B"),
    ]


def small() -> list[Figure]:
    """Two networks."""
    return [f for name in ("gru_lm", "mobilenet_v2") for f in of_network(name)]


def main() -> None:
    figures = [f for name in SIZES for f in of_network(name)]
    by_name = {f.name: f.value for f in figures}
    weight_share, intensity, parameters = (
        {name: by_name[f"{name}.{column}"] for name in SIZES}
        for column in ("weight_share", "flop_per_byte", "parameters")
    )
    families = {family: [n for n in SIZES if SIZES[n][0] == family] for family in ("cnn", "transformer", "rnn")}
    for family, members in families.items():
        figures.append(Figure(f"median.{family}.weight_share", round(median(weight_share[n] for n in members), 5), "1"))
        figures.append(
            Figure(f"median.{family}.flop_per_byte", round(median(intensity[n] for n in members), 4), "FLOP/B")
        )

    # Every CNN beside the smallest dense network of the same image: one layer as wide as VGG's, and a classifier.
    smaller = 0
    for name in families["cnn"]:
        pixels = 3 * SIZES[name][1] ** 2
        dense = pixels * 4096 + 4096 + 4096 * 1000 + 1000
        figures.append(Figure(f"{name}.dense_parameters", dense, "parameters"))
        smaller += parameters[name] < dense
    figures.append(Figure("cnns_with_fewer_parameters_than_dense", smaller, "networks"))
    figures.append(Figure("cnns", len(families["cnn"]), "networks"))
    # the convolutions of VGG-16: channels in and out of each, 3 × 3, with a bias for each channel out
    channels = ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5)
    in_dense = 1 - sum(9 * a * b + b for a, b in channels) / parameters["vgg16"]
    figures.append(Figure("vgg16.share_of_parameters_in_dense_layers", round(in_dense, 5), "1"))

    names = {f.name: f.value for f in figures}
    shares = {family: names[f"median.{family}.weight_share"] for family in families}
    with paper_figure(RESULTS, "weights_in_the_traffic", height_in=3.0) as figure:
        axes = figure.add_subplot()
        ordered = sorted(SIZES, key=lambda n: weight_share[n])
        for family in ("cnn", "transformer", "rnn", "dense"):
            own = [n for n in ordered if SIZES[n][0] == family]
            axes.barh([ordered.index(n) for n in own], [100 * weight_share[n] for n in own], label=family)
        axes.set_yticks(range(len(ordered)), [n.replace("_", " ") for n in ordered])
        axes.set_xlabel("share of weights in the bytes, batch 1, counted [%]")
        dress(axes)

    verdicts = (
        Verdict("D27", "energy", "not decidable here", tuple(f"median.{f}.flop_per_byte" for f in families),
                "the share of memory in the energy needs a meter; counted, the median is "
                + ", ".join(f"{f} {names[f'median.{f}.flop_per_byte']:.3g} FLOP/B" for f in families)),
        Verdict("D28", "counts", "does not hold" if smaller == len(families["cnn"]) else "holds in part",
                ("cnns_with_fewer_parameters_than_dense", "vgg16.share_of_parameters_in_dense_layers"),
                f"{smaller} of {len(families['cnn'])} CNNs have fewer parameters than a dense network on the same "
                f"image; {in_dense:.0%} of those of VGG-16 are in its dense layers"),
        Verdict("D33", "counts", "holds", tuple(f"median.{f}.weight_share" for f in families),
                "median share of weights in the traffic: " + ", ".join(f"{f} {s:.0%}" for f, s in shares.items())),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
