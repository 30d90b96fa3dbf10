"""Preprocessing of images and texts as a share of the pipeline that ends in a network [D21]."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from energybench.app.experiment_networks import count_published, published_module
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.report.paper_style import SERIES, dress, paper_figure
from energybench.workloads import preprocessing as prepare

RESULTS = Path(__file__).parent / "results"
WIDTH, HEIGHT, SHORTER, SIDE = 500, 375, 256, 224
NETWORKS = ("mobilenet_v2", "vit_b16", "vgg16")
TOKENS = 128
#: A text that does not change: the licence of this project.
TEXT = Path(__file__).parents[2] / "LICENSE"


def photograph() -> bytes:
    """A smooth random picture as a JPEG file, as a camera would bring it."""
    coarse = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(21))
    x = nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)[0]
    file = io.BytesIO()
    Image.fromarray((255 * x).byte().permute(1, 2, 0).numpy(), "RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def text_of(tokens: int) -> str:
    """The beginning of the text that keeps that many tokens without stop words."""
    words, kept, used = TEXT.read_text(encoding="utf-8").split(), 0, []
    for word in words:
        used.append(word)
        kept = len(prepare.drop_stop_words(prepare.tokenise(prepare.lower_case(" ".join(used)))))
        if kept >= tokens:
            break
    return " ".join(used)


def small() -> list[Figure]:
    """The counted work of the image steps beside the networks', and of the text."""
    figures = []
    work = prepare.image_work(WIDTH, HEIGHT, SHORTER, SIDE)
    for step, w in work.items():
        figures += [
            Figure(f"{step}.macs", w.macs, "MAC"),
            Figure(f"{step}.other_ops", w.other_ops, "operations"),
            Figure(f"{step}.bytes", w.moved_bytes, "B"),
        ]
    ops = sum(2 * w.macs + w.other_ops for w in work.values())
    moved = sum(w.moved_bytes for w in work.values())
    for name in NETWORKS:
        total = count_published(name).total
        figures.append(Figure(f"{name}.share_of_operations", round(ops / (ops + total.flops), 5), "1"))
        figures.append(Figure(f"{name}.share_of_bytes", round(moved / (moved + total.bytes), 5), "1"))
    text = text_of(TOKENS)
    tokens = prepare.tokenise(prepare.lower_case(text))
    figures.append(Figure("text.characters", len(text), "characters"))
    figures.append(Figure("text.tokens", len(tokens), "tokens"))
    figures.append(Figure("text.tokens_without_stop_words", len(prepare.drop_stop_words(tokens)), "tokens"))
    return figures


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    file = photograph()

    def decode() -> Image.Image:
        return Image.open(io.BytesIO(file)).convert("RGB")

    decoded = decode()
    resized = prepare.resize_image(decoded, SHORTER)
    cropped = prepare.crop_image(resized, SIDE)
    text = text_of(TOKENS)
    lower = prepare.lower_case(text)
    tokens = prepare.tokenise(lower)
    kept = prepare.drop_stop_words(tokens)
    vocabulary = prepare.vocabulary_of(kept)
    steps = time_in_turns(
        {
            "decode": decode,
            "resize": lambda: prepare.resize_image(decoded, SHORTER),
            "crop": lambda: prepare.crop_image(resized, SIDE),
            "normalise": lambda: prepare.normalise_image(cropped),
            "lower_case": lambda: prepare.lower_case(text),
            "tokenise": lambda: prepare.tokenise(lower),
            "stop_words": lambda: prepare.drop_stop_words(tokens),
            "numbers": lambda: prepare.token_numbers(kept, vocabulary),
        }
    )
    ms = {name: 1e3 * steps.median_s(name) for name in steps.rounds_s}
    figures += [Figure(f"{name}.time", round(t, 4), "ms", "timed", 2.0) for name, t in ms.items()]
    image_ms = ms["resize"] + ms["crop"] + ms["normalise"]
    text_ms = ms["lower_case"] + ms["tokenise"] + ms["stop_words"] + ms["numbers"]

    x = prepare.normalise_image(cropped)[None]
    inputs = {**dict.fromkeys(NETWORKS, x), "gpt2_prefill": prepare.token_numbers(kept, vocabulary)[None, :TOKENS]}
    share: dict[str, float] = {}
    network_ms: dict[str, float] = {}
    with torch.inference_mode():
        for name, given in inputs.items():
            model = published_module(name, 1, TOKENS if name == "gpt2_prefill" else None)
            taken = time_in_turns({"network": lambda m=model, g=given: m(g)}, rounds=3)
            network_ms[name] = 1e3 * taken.median_s("network")
            before = text_ms if name == "gpt2_prefill" else image_ms
            share[name] = before / (before + network_ms[name])
            figures.append(Figure(f"{name}.time", round(network_ms[name], 2), "ms", "timed"))
            figures.append(Figure(f"{name}.share_of_time", float(f"{share[name]:.3g}"), "1", "timed", 1.8))
    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "preprocessing", height_in=2.4) as figure:
        left, right = figure.subplots(1, 2)
        shown = [n for n in ms if n not in ("lower_case", "tokenise", "stop_words", "numbers")][::-1]
        left.barh(range(len(shown)), [ms[n] for n in shown], color=SERIES[0])
        left.set_yticks(range(len(shown)), shown)
        left.set_xlabel("time of one image [ms]")
        dress(left)
        right.barh(range(len(share)), [100 * share[n] for n in share][::-1], color=SERIES[1])
        right.set_yticks(range(len(share)), [n.replace("_", " ") for n in share][::-1])
        right.set_xlabel("share of the pipeline's time, decoding apart [%]")
        dress(right)

    images = {share[n]: n.replace("_", " ") for n in NETWORKS}
    least, most = min(images), max(images)
    largest = names["mobilenet_v2.share_of_operations"]
    verdicts = (
        Verdict("D21", "counts", "holds", tuple(f"{n}.share_of_operations" for n in NETWORKS),
                f"resizing, cropping and normalising make {names['vgg16.share_of_operations']:.3%} to {largest:.2%} of "
                "the pipeline's operations: not nothing, and little"),
        Verdict("D21", "time", "holds" if most > 0.01 else "does not hold",
                tuple(f"{n}.share_of_time" for n in inputs),
                f"images: {least:.2%} ({images[least]}) to {most:.1%} ({images[most]}) of the pipeline's time, "
                f"decoding the JPEG apart; texts: {share['gpt2_prefill']:.2%} beside GPT-2"),
        Verdict("D21", "energy", "not decidable here", ("mobilenet_v2.share_of_time",),
                "what preprocessing costs in joules needs a meter"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
