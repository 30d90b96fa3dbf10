"""GPU against CPU: counts and published figures; times and joules of both where the machine has them [D20]."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import energybench
from energybench import ModelCounts
from energybench.app.experiment_networks import SIZES, count_published, published_module
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import time_in_turns
from energybench.errors import MeterUnavailable
from energybench.report.paper_style import SERIES, dress, paper_figure

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Part:
    """Published figures of one part; FLOP/s in float32, without tensor cores."""

    peak_flop_per_s: float
    memory_byte_per_s: float
    rated_power_w: float
    memory_bytes: float | None


PARTS = {
    # NVIDIA H100 Tensor Core GPU data sheet, SXM column
    "h100_sxm": Part(67e12, 3.35e12, 700.0, 80e9),
    # NVIDIA Ada GPU architecture white paper, GeForce RTX 4090
    "rtx_4090": Part(82.6e12, 1008e9, 450.0, 24e9),
    # AMD product page, EPYC 9654: 96 cores, 2.4 GHz base, 12 channels of DDR5-4800; Zen 4 makes two FMAs of 8 a cycle
    "epyc_9654": Part(96 * 2.4e9 * 32, 460.8e9, 360.0, None),
    # Intel ARK, Xeon Platinum 8480+: 56 cores, 2.0 GHz base, 8 channels of DDR5-4800; two FMAs of 16 a cycle
    "xeon_8480": Part(56 * 2.0e9 * 64, 307.2e9, 350.0, None),
}
GPUS, CPUS = ("h100_sxm", "rtx_4090"), ("epyc_9654", "xeon_8480")
#: What the host takes to hand an operator over in eager execution, on either device: an assumption, of the right order.
DISPATCH_S = 5e-6
BATCHES = (1, 64)
#: Run on both devices where there is a GPU.
RUN_NETWORKS = ("mobilenet_v2", "vit_b16", "gru_lm")
WINDOW_S = 5.0


def bound(counts: ModelCounts, part: Part) -> tuple[float, str]:
    """(seconds, what bounds them) of one call: each operator at the part's rates, or the host's dispatch."""
    compute = memory = kernels = 0.0
    for row in counts.rows:
        at_rate, moved = row.counts.flops / part.peak_flop_per_s, row.counts.bytes / part.memory_byte_per_s
        kernels += max(at_rate, moved)
        compute, memory = compute + at_rate * (at_rate >= moved), memory + moved * (moved > at_rate)
    host = counts.total.launches * DISPATCH_S
    if host > kernels:
        return host, "launches"
    return kernels, "compute" if compute >= memory else "bytes"


def largest_bytes(counts: ModelCounts) -> int:
    """Weights in float32 and the largest activations that one operator reads and writes."""
    weights = 4 * counts.parameters
    return weights + max(r.counts.bytes - r.counts.weight_load_bytes for r in counts.rows)


def published_figures() -> list[Figure]:
    """Joules per FLOP and per byte at rated power and full rate."""
    figures = []
    for name, part in PARTS.items():
        per_flop, per_byte = part.rated_power_w / part.peak_flop_per_s, part.rated_power_w / part.memory_byte_per_s
        figures.append(Figure(f"{name}.rated_energy_per_flop", round(1e12 * per_flop, 2), "pJ/FLOP", "modelled"))
        figures.append(Figure(f"{name}.rated_energy_per_byte", round(1e12 * per_byte, 1), "pJ/B", "modelled"))
    return figures


def of_network(name: str, batch: int) -> list[Figure]:
    """Bounds of one network on every part, and the memory that it needs."""
    counts = count_published(name, batch)
    figures = [Figure(f"{name}.n{batch}.memory", largest_bytes(counts), "B")]
    energy = {}
    for part_name, part in PARTS.items():
        taken_s, what = bound(counts, part)
        energy[part_name] = part.rated_power_w * taken_s
        figures.append(
            Figure(f"{name}.n{batch}.{part_name}.energy", float(f"{energy[part_name]:.3g}"), "J", "modelled")
        )
        figures.append(Figure(f"{name}.n{batch}.{part_name}.bound_by_{what}", 1, "1", "modelled"))
    ratio = energy["epyc_9654"] / energy["h100_sxm"]
    figures.append(Figure(f"{name}.n{batch}.epyc_over_h100.energy", float(f"{ratio:.3g}"), "1", "modelled"))
    return figures


def small() -> list[Figure]:
    """Memory of two networks."""
    return [f for name in ("mobilenet_v2", "gru_lm") for f in of_network(name, 1) if f.kind == "counted"]


def on_devices(devices: Sequence[str], *, window_s: float = WINDOW_S, **meter: Any) -> list[Figure]:
    """Time of one call on each device, and its joules where a meter reads them."""
    figures = []
    for name in RUN_NETWORKS:
        for device in devices:
            model = published_module(name).to(device)
            shape = (64, 1) if name == "gru_lm" else (1, 3, SIZES[name][1], SIZES[name][1])
            x = torch.randint(10_000, shape, device=device) if name == "gru_lm" else torch.randn(shape, device=device)
            fence = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
            with torch.inference_mode():
                taken = time_in_turns({"call": lambda m=model, x=x: m(x)}, rounds=5, fence=fence)
                one_s = taken.median_s("call")
                figures.append(Figure(f"{name}.{device}.time", round(1e3 * one_s, 4), "ms", "timed", 2.0))
                calls = max(1, round(window_s / one_s))
                with contextlib.suppress(MeterUnavailable):
                    with energybench.measure(f"{name} on {device}", **meter) as m:
                        for _ in range(calls):
                            model(x)
                        fence()
                    figures.append(Figure(f"{name}.{device}.energy", m.energy_j / calls, "J", m.kind))
    return figures


def main() -> None:
    figures = published_figures()
    for batch in BATCHES:
        for name in SIZES:
            figures += of_network(name, batch)
    # On a machine with a GPU the same script times both devices, and decides where a meter reads both.
    devices = ("cpu", "cuda:0") if torch.cuda.is_available() else ()
    ran = on_devices(devices)
    figures += ran
    figures.append(Figure("gpus_here", int(bool(devices)), "devices", "timed"))
    names = {f.name: f.value for f in figures}
    saved = {b: [names[f"{n}.n{b}.epyc_over_h100.energy"] for n in SIZES] for b in BATCHES}

    with paper_figure(RESULTS, "bounds", height_in=3.2) as figure:
        axes = figure.add_subplot()
        shown = sorted(SIZES, key=lambda n: names[f"{n}.n1.epyc_over_h100.energy"])
        for batch, marker, colour in zip(BATCHES, "os", SERIES, strict=False):
            values = [names[f"{n}.n{batch}.epyc_over_h100.energy"] for n in shown]
            axes.plot(values, range(len(shown)), marker, color=colour, label=f"batch {batch}")
        axes.axvline(1, color="#444444", lw=0.8)
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(shown)), [n.replace("_", " ") for n in shown])
        axes.set(xlabel="modelled energy on an EPYC 9654 over an H100, at rated power")
        dress(axes)

    flop = {p: names[f"{p}.rated_energy_per_flop"] for p in PARTS}
    byte = {p: names[f"{p}.rated_energy_per_byte"] for p in PARTS}
    launch_bound = sum(f"{n}.n1.h100_sxm.bound_by_launches" in names for n in SIZES)
    byte_bound = sum(f"{n}.n1.h100_sxm.bound_by_bytes" in names for n in SIZES)
    most = max(names[f"{n}.n1.memory"] for n in SIZES) / 1e9
    figures.append(Figure("bound_by_launches_on_h100", launch_bound, "networks", "modelled"))
    figures.append(Figure("bound_by_bytes_on_h100", byte_bound, "networks", "modelled"))
    figures.append(Figure("largest_memory_at_batch_1", round(most, 3), "GB"))
    measured = [f.name for f in ran if f.kind == "measured"]
    spread = {b: f"{min(saved[b]):.2g} to {max(saved[b]):.2g} times" for b in BATCHES}
    why = (
        f"by published figures an H100 spends {flop['h100_sxm']:.3g} pJ a FLOP and an EPYC 9654 "
        f"{flop['epyc_9654']:.3g} (per byte {byte['h100_sxm']:.3g} and {byte['epyc_9654']:.3g}); modelled from counts, "
        f"the networks take {spread[1]} the H100's energy on the CPU at batch 1, {spread[64]} at 64; joules need a GPU "
        "and a meter"
    )
    if len(measured) == 2 * len(RUN_NETWORKS):
        cheaper = [names[f"{n}.cuda:0.energy"] < names[f"{n}.cpu.energy"] for n in RUN_NETWORKS]
        answer: Any = "holds" if all(cheaper) else "holds in part" if any(cheaper) else "does not hold"
        energy = Verdict("D20", "energy", answer, tuple(measured),
                         f"{sum(cheaper)} of {len(cheaper)} networks take fewer joules on the GPU")  # fmt: skip
    else:
        energy = Verdict("D20", "energy", "not decidable here",
                         ("h100_sxm.rated_energy_per_flop", "epyc_9654.rated_energy_per_flop"), why)  # fmt: skip
    memory = Verdict(
        "D20", "counts", "holds" if most < 2 else "holds in part", ("largest_memory_at_batch_1",),
        f"weights and largest activations of every published network fit into {most:.2g} GB at batch 1 in float32",
    )  # fmt: skip
    ExperimentResult(tuple(figures), (energy, memory)).save(RESULTS)


if __name__ == "__main__":
    main()
