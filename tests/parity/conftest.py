"""Poisoned results and float32 error bounds, shared by the parity tests."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from energybench.kernels import native
from energybench.kernels.arrays import Workspace

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


@pytest.fixture(autouse=True)
def poisoned_results(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every result and scratch buffer starts as NaN (a place as 111, or −1 in a repeated call): an element that a
    kernel leaves out is seen.
    """
    allocate = Workspace.allocate

    def poisoned(self: Workspace, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        memory = allocate(self, name, shape, dtype)
        memory[...] = float("nan") if dtype.startswith("float") else 111
        return memory

    monkeypatch.setattr(Workspace, "allocate", poisoned)
    native.cpu().poison_results(True)
    yield
    native.cpu().poison_results(False)


@pytest.fixture(scope="session")
def rungs_here() -> Callable[[str], list[str]]:
    """The CPU rungs of a kernel that this machine can run, ``naive`` first."""
    from energybench import kernels

    def of(kernel: str) -> list[str]:
        found = [s.variant for s in kernels.list_kernels() if s.name == kernel and "cpu" in s.devices and s.runnable]
        assert found[0] == "naive"
        return list(dict.fromkeys(found))

    return of


@pytest.fixture
def assert_within() -> Callable[..., None]:
    """Compare all elements with a float64 reference; NaN fails unless the reference has it at the same place."""

    def check(actual: Any, reference: Any, bound: Any) -> None:
        actual, reference = np.asarray(actual, np.float64), np.asarray(reference, np.float64)
        assert actual.shape == reference.shape
        finite = np.isfinite(reference)
        np.testing.assert_array_equal(actual[~finite], reference[~finite])
        excess = np.abs(actual[finite] - reference[finite]) - np.broadcast_to(np.asarray(bound), finite.shape)[finite]
        assert not np.isnan(excess).any(), f"{np.isnan(excess).sum()} elements are NaN"
        assert (excess <= 0).all(), f"largest excess over the bound: {excess.max():.3g}"

    return check


@pytest.fixture
def dot_bound() -> Callable[[str, int, Any], Any]:
    """Error bound of a sum of `terms` products with magnitudes summing to `absolute`: γ_n = n·u/(1 − n·u) (Higham)."""

    def bound(dtype: str, terms: int, absolute: Any) -> Any:
        n = (terms + 2) * UNIT_ROUNDOFF[dtype]
        return np.asarray(absolute, np.float64) * (n / (1 - n)) + 1e-300

    return bound
