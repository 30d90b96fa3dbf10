from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from energybench.errors import UsageError
from energybench.records.vocabulary import FAMILIES
from energybench.workloads import DESIGN_NAMES, Design, named_design
from energybench.workloads.idle import idle_workload

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
