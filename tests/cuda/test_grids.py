"""Grids that CUDA launches report, on the host stand-in, and the share of units that their waves keep busy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from energybench.kernels import native
from energybench.kernels.grids import Grid, launched_grids, wave_shape
from energybench.protocol import HostExecutor
from energybench.workloads.native import native_linear
from energybench.workloads.vendor import matmul

pytestmark = pytest.mark.timeout(900)  # compiling the stand-in, on a busy machine

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("blocks", "tiles", "waves"),
    [
        (3, 3, 1),  # one unit without work
        (4, 4, 1),
        (7, 4, 1),  # some units hold two blocks, all at once
        (8, 4, 1),
        (9, 5, 2),  # the last wave is one block
        (25, 13, 4),
    ],
)
def test_a_wave_is_what_all_units_hold_at_once(blocks: int, tiles: int, waves: int) -> None:
    assert wave_shape([Grid(blocks, 128, 2, 1)], 4) == {"tiles": tiles, "waves": waves}


def test_launches_have_waves_of_their_own() -> None:
    assert wave_shape([Grid(3, 128, 1, 5), Grid(9, 128, 2, 1)], 4) == {"tiles": 3 * 5 + 5, "waves": 5 + 2}
    assert wave_shape([], 4) == {}


@pytest.mark.parametrize("counting", [False, True])
def test_a_launch_reports_its_grid(on_stand_in: Run, counting: bool) -> None:
    x, w = torch.ones(70, 37), torch.ones(131, 37)
    double_x, double_w = torch.ones(70, 37, dtype=torch.float64), torch.ones(131, 37, dtype=torch.float64)
    steps = (torch.ones(5, 3, 7), torch.ones(3, 60), torch.ones(180, 7), torch.ones(180, 60))
    gradients = (torch.ones(1, 5, 9, 9), torch.ones(1, 3, 9, 9), torch.ones(5, 3, 3, 3))

    def grids(*call: Any, **options: Any) -> tuple[Grid, ...]:
        return launched_grids(lambda: on_stand_in(*call, counting=counting, **options))

    # a thread for each of 70 · 131 outputs; 2 · 3 tiles of 64 × 64, as many as 228 KiB hold of 2 · 16 · 68 elements
    assert grids("linear", x, w, variant="naive") == (Grid(72, 128, 16, 1),)
    assert grids("linear", x, w, variant="tiled") == (Grid(6, 128, 16, 1),)
    assert grids("linear", double_x, double_w, variant="tiled") == (Grid(6, 128, 13, 1),)
    assert grids("gru", *steps) == (Grid(2, 128, 16, 5),)  # 3 · 60 elements in each of five steps
    of_input, of_weights, of_bias = grids("conv2d_backward", *gradients, padding=1, has_bias=True)
    assert (of_input.blocks, of_weights.blocks, of_bias.blocks) == (3 * 11 * 11 // 128 + 1, 5 * 27 // 128 + 1, 1)


def test_only_what_is_asked_for_is_kept(on_stand_in: Run) -> None:
    def relu() -> None:
        on_stand_in("relu", torch.ones(10))

    relu()
    assert launched_grids(lambda: None) == ()
    assert launched_grids(relu) == launched_grids(relu) == (Grid(1, 128, 16, 1),)

    def fails() -> None:
        relu()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        launched_grids(fails)
    relu()
    assert native.cuda().end_grids() == []


def test_rows_of_our_own_kernels_on_a_gpu_tell_their_waves(on_stand_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = HostExecutor("cpu")
    runnable: Any = SimpleNamespace(
        run=lambda: on_stand_in("linear", torch.ones(70, 37), torch.ones(131, 37), variant="tiled")
    )
    row = native_linear(70, 37, 131)
    assert executor._run_once(row, runnable) == {}  # the CPU has no grid
    properties = SimpleNamespace(multi_processor_count=4)
    monkeypatch.setattr(
        executor, "_torch", SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda _: properties))
    )
    monkeypatch.setattr(executor, "_probe", None)
    assert executor._run_once(row, runnable) == {"tiles": 4, "waves": 1}
    assert executor._run_once(matmul(8, 8, 8), runnable) == {}  # a library's kernel tells nobody
