"""Memory that is kept against memory that is allocated at every call: page faults and time [D23]."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from energybench import kernels
from energybench.app.experiment_energy import energy_figures, energy_verdict
from energybench.app.experiment_networks import published_module
from energybench.app.experiment_result import Answer, ExperimentResult, Figure, Verdict
from energybench.app.experiment_timing import Timings, time_in_turns
from energybench.report.paper_style import SERIES, dress, paper_figure
from energybench.workloads.networks import ConvNet

RESULTS = Path(__file__).parent / "results"
SIZES_KIB = (64, 1024, 16384, 65536)
FAULT_CALLS = 8
#: Of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: The most that glibc keeps: half of its heaps' size on 64 bits.
KEPT_BYTES = 32 * 1024 * 1024


def faults_per_call(call: Callable[[], object]) -> float:
    """Pages that the kernel had to map, per call, once the first calls are over."""
    call()
    call()
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(FAULT_CALLS):
        call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin) / FAULT_CALLS


def allocator(how: str) -> None:
    """Have malloc map every block above 64 KiB anew, or keep what was freed. glibc alone has these switches."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 64 * 1024 if how == "fresh" else KEPT_BYTES)
    libc.mallopt(M_TRIM_THRESHOLD, 64 * 1024 if how == "fresh" else 2**31 - 1)


def small() -> list[Figure]:
    """What the runs' bytes are: pages of a result, and the workspace of a convolution, which the first call sizes."""
    x, w = torch.zeros(1, 64, 28, 28), torch.zeros(64, 64, 3, 3)
    kernels.release_workspace()
    kernels.conv2d(x, w, padding=1, algorithm="im2col", variant="blocked", threads=1)
    held = kernels.release_workspace()
    pages = [Figure(f"add_{kib}kib.result_pages", kib // 4, "pages") for kib in SIZES_KIB]
    return [*pages, Figure("conv64.workspace", held, "B")]


def compare(name: str, calls: dict[str, Callable[[], object]], figures: list[Figure]) -> Timings:
    """Faults and times of a call with fresh and with kept memory."""
    for how, call in calls.items():
        allocator(how)
        figures.append(Figure(f"{name}.{how}.faults", faults_per_call(call), "faults a call", "timed"))
    timings = time_in_turns(calls, prepare=allocator)
    for how, call in calls.items():
        figures += energy_figures({f"{name}.{how}": call}, prepare=lambda _, how=how: allocator(how))
    allocator("kept")
    figures.append(Figure(f"{name}.fresh_over_kept.time", round(timings.ratio("fresh", "kept"), 3), "1", "timed", 2.5))
    return timings


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    names = []
    for kib in SIZES_KIB:
        a = torch.ones(kib * 256)
        out = torch.empty_like(a)
        calls = {
            "fresh": lambda a=a: torch.add(a, 1.0),
            "kept": lambda a=a, out=out: torch.add(a, 1.0, out=out),
        }
        names.append(f"add_{kib}kib")
        compare(names[-1], calls, figures)

    x, w = torch.randn(1, 64, 28, 28), torch.randn(64, 64, 3, 3)

    def convolve() -> object:
        return kernels.conv2d(x, w, padding=1, algorithm="im2col", threads=1)

    def convolve_and_release() -> object:
        y = convolve()
        kernels.release_workspace()
        return y

    names.append("conv64")
    compare("conv64", {"fresh": convolve_and_release, "kept": convolve}, figures)

    with torch.inference_mode():
        nets = {
            "conv_net": (ConvNet(16).eval(), torch.randn(8, 3, 64, 64)),
            "mobilenet_v2": (published_module("mobilenet_v2").eval(), torch.randn(1, 3, 224, 224)),
        }
        for name, (net, image) in nets.items():
            calls = {how: (lambda net=net, image=image: net(image)) for how in ("fresh", "kept")}
            names.append(name)
            compare(name, calls, figures)

    value = {f.name: f.value for f in figures}
    with paper_figure(RESULTS, "memory_pool", height_in=2.6) as figure:
        left, right = figure.subplots(1, 2)
        ratios = [value[f"{n}.fresh_over_kept.time"] for n in names]
        labels = [n.replace("add_", "add ").replace("_", " ").replace("kib", " KiB") for n in names]
        left.barh(range(len(names)), ratios, color=SERIES[0])
        left.axvline(1, color="#444444", lw=0.8)
        left.set_yticks(range(len(names)), labels)
        left.set_xlabel("time with fresh over kept memory")
        dress(left)
        for offset, how, colour in ((0.2, "fresh", SERIES[1]), (-0.2, "kept", SERIES[2])):
            faults = [value[f"{n}.{how}.faults"] for n in names]
            right.barh([i + offset for i in range(len(names))], faults, 0.38, color=colour, label=how)
        right.set_yticks(range(len(names)), labels)
        right.set(xscale="symlog", xlabel="page faults a call")
        dress(right)

    joules = [f for f in figures if f.name.endswith(".energy")]

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        over = {n: energy[f"{n}.fresh.energy"] / energy[f"{n}.kept.energy"] for n in names}
        nets_over = min(over[n] for n in nets)
        answer: Answer = (
            "holds" if nets_over > 1.05 else "holds in part" if max(over.values()) > 1.05 else "does not hold"
        )
        return answer, "fresh memory takes " + ", ".join(
            f"{r:.2f} ({n})" for n, r in over.items()
        ) + " times the joules"

    large, nets_ = value["add_65536kib.fresh_over_kept.time"], [value[f"{n}.fresh_over_kept.time"] for n in nets]
    verdicts = (
        Verdict("D23", "time", "holds" if min(large, *nets_) > 1.05 else "holds in part",
                tuple(f"{n}.fresh_over_kept.time" for n in names),
                f"fresh memory takes {large:.2f} times the time of kept memory for a result of 64 MiB "
                f"({value['add_65536kib.fresh.faults']:.0f} page faults a call), "
                f"{min(nets_):.2f} to {max(nets_):.2f} times for whole networks, "
                f"{value['add_64kib.fresh_over_kept.time']:.2f} times at 64 KiB"),
        energy_verdict("D23", joules, of_energy, Verdict(
            "D23", "energy", "not decidable here", ("add_65536kib.fresh_over_kept.time",),
            "what page faults cost in joules needs a meter")),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
