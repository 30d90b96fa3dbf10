"""For scripts/mutate.py, loaded into the tests of a bug in C++: the rungs that have the bug run, and the naive one.

All others are sound in the planted module, so that a test which holds rungs against each other would see the bug even
where none looks at what is computed.
"""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Narrow what `list_kernels()` calls runnable, and what `auto` chooses from."""
    from energybench.kernels import ladder, native, registry

    rungs = os.environ["ENERGYBENCH_PLANTED_RUNGS"].split()

    def planted(rung: str, device: str) -> bool:
        return device == "cpu" and rung in rungs

    vectors = tuple(name for name in native.instruction_sets() if name in rungs)
    patch = pytest.MonkeyPatch()
    for module in (ladder, registry):
        patch.setattr(module, "runs_here", planted)
    patch.setattr(native, "instruction_sets", lambda: vectors)
