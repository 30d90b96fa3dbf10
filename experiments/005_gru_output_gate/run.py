"""A GRU as torch has it and with the document's output gate, in counts of the native kernel [D11]."""

from __future__ import annotations

from pathlib import Path

import torch

from energybench import OpCounts, kernels
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict

RESULTS = Path(__file__).parent / "results"


def tensor(*shape: int, values: bool) -> torch.Tensor:
    """Normal values from a fixed seed, or only a shape."""
    return torch.randn(shape) if values else torch.empty(shape, device="meta")


def both(T: int, B: int, I: int, H: int, *, run: bool) -> list[OpCounts]:  # noqa: E741
    """Issued counts of the cell without and with the output gate: by closed form, or by the counting kernel."""
    arrays = [tensor(*s, values=run) for s in ((T, B, I), (B, H), (3 * H, I), (3 * H, H), (3 * H,), (3 * H,))]
    gate = tuple(tensor(*s, values=run) for s in ((H, I), (H, H), (H,), (H,)))
    if run:
        return [kernels.counted_run("gru", *arrays, output_gate=g, variant="naive").counts for g in (None, gate)]
    return [kernels.count("gru", *arrays, output_gate=g, basis="issued", variant="naive") for g in (None, gate)]


SMALL, SIZES = (5, 3, 17, 19), ((64, 16, 256, 1024), (64, 16, 1024, 1024))


def of_size(run: bool, sizes: tuple[int, int, int, int]) -> list[Figure]:
    """Counts of both cells and their ratios, by closed form or by the counting kernel, which must agree."""
    figures: list[Figure] = []
    plain, gated = both(*sizes, run=run)
    label = "x".join(str(n) for n in sizes)
    for name, counts in (("plain", plain), ("gated", gated)):
        for tally in ("macs", "other_flops", "specials", "accesses"):
            figures.append(Figure(f"{label}.{name}.{tally}", getattr(counts, tally), tally))
    for tally in ("macs", "other_flops", "accesses"):
        figures.append(Figure(f"{label}.ratio.{tally}", round(getattr(gated, tally) / getattr(plain, tally), 5), "1"))
    if run:
        closed = both(*sizes, run=False)
        agree = int([c.totals() for c in closed] == [plain.totals(), gated.totals()])
        figures.append(Figure("counting_kernel_equals_closed_form", agree, "1"))
    return figures


def small() -> list[Figure]:
    """The counting kernel on a ragged shape."""
    torch.manual_seed(10)
    return of_size(True, SMALL)


def main() -> None:
    figures = [*small(), *(f for sizes in SIZES for f in of_size(False, sizes))]
    names = {f.name: f.value for f in figures}
    ratios = tuple(f"64x16x1024x1024.ratio.{t}" for t in ("macs", "other_flops", "accesses"))
    macs, other, accesses = (names[r] for r in ratios)
    verdicts = (
        Verdict("D11", "counts", "holds in part", ratios,
                f"a GRU works without an output gate; the gate multiplies MACs by {macs:.3f}, "
                f"other operations by {other:.3f}, accesses by {accesses:.3f}"),
        Verdict("D12", "energy", "not decidable here", ratios, "the equation needs measured joules of both cells"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
