from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from energybench.errors import UsageError
from energybench.kernels import native as kernels
from energybench.records.vocabulary import FAMILIES, KERNEL_CLASSES
from energybench.workloads import DESIGN_NAMES, Design, named_design
from energybench.workloads.designs import candidate_workloads
from energybench.workloads.idle import idle_workload
from energybench.workloads.sweeps import cpu_sweeps, more_cpu_sweeps
from energybench.workloads.workload import Workload

DESIGNS = [(name, device) for name in DESIGN_NAMES for device in ("cpu", "cuda:0")]

#: Rates of a small CPU and of a large GPU, orders of magnitude apart in balance: (MAC/s, B/s, s per launch).
MACHINES = {"cpu": (5e10, 2e10, 3e-6), "gpu": (2e12, 1e11, 5e-6), "big": (3e13, 3e12, 4e-6)}
#: Joules per MAC, other FLOP, byte and launch, and static watts, of the same.
JOULES = {
    "cpu": (1e-10, 1e-10, 3e-10, 2e-5, 10.0),
    "gpu": (1.1e-11, 6e-12, 9e-11, 2e-6, 41.0),
    "big": (2e-12, 2e-12, 3e-11, 1e-5, 90.0),
}


@pytest.mark.parametrize(("name", "device"), DESIGNS)
def test_a_design_has_every_kind_of_row(name, device):
    workloads = named_design(name, device).workloads
    assert {w.family for w in workloads} == set(FAMILIES)
    assert {w.split for w in workloads} == {"fit", "heldout", "idle"}
    assert {w.implementation for w in workloads} == {"native", "vendor", "none"}
    for family in ("cnn", "rnn", "transformer"):
        assert any(w.family == family and w.split == "heldout" for w in workloads)
        assert any(w.family == family and w.implementation == "native" for w in workloads)
        assert any(w.family == family and w.implementation == "vendor" and w.split == "fit" for w in workloads)


@pytest.mark.parametrize(("name", "device"), DESIGNS)
def test_whole_networks_score_and_never_fit(name, device):
    for workload in named_design(name, device).workloads:
        assert (workload.network is not None) == (workload.split == "heldout") == (workload.kernel_class == "network")


def test_larger_designs_hold_the_smaller_ones():
    for device in ("cpu", "cuda"):
        quick, standard, thorough = ({w.name for w in named_design(n, device).workloads} for n in DESIGN_NAMES)
        assert quick < standard < thorough


def test_the_quick_design_fits_its_minute():
    """Windows and their idle quarter, on a meter that asks for no longer ones."""
    design = named_design("quick", "cpu")
    assert len(design.workloads) * design.max_repeats * design.window_s * 1.25 <= 60.0
    assert 35 <= sum(w.split == "fit" for w in design.workloads) <= 50


@pytest.mark.parametrize("name", ["standard", "thorough"])
def test_a_design_on_the_cpu_sweeps_what_may_vary_for_both_implementations(name):
    """Each variant stands beside a row that differs from it in that one thing."""
    rows = {w.name: w for w in named_design(name, "cpu").workloads}
    fit = [w for w in rows.values() if w.split == "fit"]

    def both(found: list[Workload]) -> bool:
        return {w.implementation for w in found} == {"native", "vendor"}

    cold = [w for w in fit if w.caches == "cold"]
    assert both(cold)
    assert len(cold) >= 4
    assert all(rows[w.name.removesuffix("/cold")].caches == "hot" for w in cold if name == "standard")
    threads = [w for w in fit if w.threads is not None]
    assert both(threads)
    assert all(w.name.rpartition("/")[0] in rows for w in threads if name == "standard")
    assert both([w for w in fit if w.dtype == "float64"])
    assert {w.dtype for w in fit} == {"float32", "float64", "bfloat16"}
    assert both([w for w in fit if "nhwc" in w.kernel_id])
    rungs = {w.kernel_id.split("_")[-2] for w in fit if w.implementation == "native"}
    assert {"naive", "blocked", "avx2", "avx512"} <= rungs
    assert both([w for w in fit if w.direction in ("backward", "training")])
    assert both([w for w in fit if w.kernel_class == "optimizer"])
    assert {w.kernel_class for w in fit} >= set(KERNEL_CLASSES) - {"idle", "network"}


def test_every_design_prices_a_step_of_an_optimiser():
    for design, device in DESIGNS:
        assert any(w.direction == "optimizer" for w in named_design(design, device).workloads)


def test_an_optimal_design_chooses_among_rows_that_share_their_coefficients():
    candidates = candidate_workloads("cpu")
    assert all(w.caches == "hot" and w.threads is None for w in candidates)
    assert len(candidates) > len(named_design("standard").workloads)


@pytest.mark.parametrize("row", [*cpu_sweeps(), *more_cpu_sweeps()], ids=lambda w: w.name)
def test_every_row_of_the_sweeps_builds_runs_and_is_counted(row):
    needed = row.recipe.variant if row.implementation == "native" else ""
    if needed == "avx512" and "avx512" not in kernels.instruction_sets():
        with pytest.raises(UsageError, match="avx512"):
            row.build("cpu", threads=1, seed=1)
        return
    runnable = row.build("cpu", threads=1, seed=1)
    runnable.run()
    assert runnable.is_finite()
    assert row.counts().bytes > 0


def test_unknown_design():
    with pytest.raises(UsageError, match="quick, standard, thorough"):
        named_design("huge")


def test_a_name_is_given_once():
    with pytest.raises(UsageError, match="idle/0 twice"):
        Design("twice", (idle_workload(), idle_workload()), 1, 1, 0.1, 1.0)
    with pytest.raises(UsageError, match="range"):
        Design("none", (idle_workload(),), 3, 2, 0.1, 1.0)


def test_designs_are_listed_without_torch():
    code = (
        "import sys\n"
        "from energybench.workloads import named_design\n"
        "named_design('thorough', 'cuda')\n"
        "print(any(m in sys.modules for m in ('torch', 'pandas', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@functools.cache
def _design(name: str, device: str) -> Design:
    """Built once: its workloads keep their counts."""
    return named_design(name, device)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "device"), [("quick", "cpu"), ("quick", "cuda"), ("standard", "cpu"), ("standard", "cuda")]
)
def test_the_columns_of_the_physical_equation_can_be_told_apart(name, device, machine):
    """Variance inflation below 10 for MACs, other operations, bytes, launches and time, rows weighted as the fit does.

    Uncentred, since the equation has no intercept: VIF_j = |x_j|² / |residual of x_j on the other columns|².
    """
    mac_rate, byte_rate, launch_s = MACHINES[machine]
    rows = []
    for workload in _design(name, device).workloads:
        if workload.split == "heldout":
            continue
        counts = workload.counts()
        time_s = max(counts.macs / mac_rate, counts.bytes / byte_rate) + counts.launches * launch_s
        # an idle row has nothing but time, any amount of it
        row = np.array([counts.macs, counts.other_flops, counts.bytes, counts.launches, time_s or 1.0], dtype=float)
        rows.append(row / (row @ np.array(JOULES[machine])))
    X = np.array(rows)
    X /= np.linalg.norm(X, axis=0)
    for j, column in enumerate(("macs", "other_flops", "bytes", "launches", "time")):
        others = np.delete(X, j, axis=1)
        residual = X[:, j] - others @ np.linalg.lstsq(others, X[:, j], rcond=None)[0]
        inflation = 1 / float(residual @ residual)
        assert inflation < 10, f"{column}: {inflation:.1f}"
