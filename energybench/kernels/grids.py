"""The grids that CUDA launches of our kernels had, and how far they keep a device's units busy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from energybench.kernels import native


@dataclass(frozen=True, slots=True)
class Grid:
    """`launches` launches of `blocks` blocks of `threads` threads; a unit holds up to `resident` of them at a time."""

    blocks: int
    threads: int
    resident: int
    launches: int


def launched_grids(run: Callable[[], object]) -> tuple[Grid, ...]:
    """Grids of the native CUDA kernels that `run` launches from this thread; no other kernel is seen."""
    module = native.cuda()
    module.begin_grids()
    try:
        run()
    finally:
        grids = module.end_grids()
    return tuple(Grid(*grid) for grid in grids)


def wave_shape(grids: Iterable[Grid], units: int) -> Mapping[str, int]:
    """`tiles` and `waves` of a record's shape, for a device of so many units; empty where nothing was launched.

    A wave is what the device holds at once, `resident` blocks on every unit. A full one keeps all units busy, the last
    one as many as it has blocks, for blocks go to idle units first. `tiles` sums busy units over the waves, so that
    tiles / (waves · units) is the share of units that are busy.
    """
    tiles = waves = 0
    for grid in grids:
        full, rest = divmod(grid.blocks, grid.resident * units)
        tiles += grid.launches * (full * units + min(rest, units))
        waves += grid.launches * (full + (rest > 0))
    return {"tiles": tiles, "waves": waves} if waves else {}
