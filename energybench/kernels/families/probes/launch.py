"""Launching the calibration probes."""

from __future__ import annotations

from typing import Any, Final

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.probes import counts
from energybench.kernels.families.probes.shape import (
    FmaProbeShape,
    StreamProbeShape,
    fma_probe_shape,
    stream_probe_shape,
)
from energybench.kernels.ladder import AUTO, Ladders
from energybench.kernels.operator import Operator


def _probe_fma(begin: Begin, s: FmaProbeShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", s.streams)
    tallies = call.run_cpu(call.dense(x), y, s.steps)
    return call.finish(tallies, y)


def _probe_stream(begin: Begin, s: StreamProbeShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", s.n)
    tallies = call.run_cpu(call.dense(x), y, s.repeats)
    return call.finish(tallies, y)


_LADDERS: Final[Ladders] = {"cpu": ("naive",)}

PROBE_FMA = Operator("probe_fma", "forward", "probe", _LADDERS, fma_probe_shape, counts.probe_fma, _probe_fma)
PROBE_STREAM = Operator(
    "probe_stream", "forward", "probe", _LADDERS, stream_probe_shape, counts.probe_stream, _probe_stream
)


def probe_fma(x: TensorT, *, steps: int, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: MACs without memory traffic.

    Args:
        x: Starting points ``[streams, 14, 8]`` of float32 or ``[streams, 14, 4]`` of float64.
        steps: Rounds; each is 14 MACs on every lane of a stream.
        variant: ``auto``.
        threads: CPU threads; streams are shared among them.

    Returns:
        The sum of each stream's points, ``[streams]``.
    """
    (y,) = run(PROBE_FMA, x, steps=steps, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_stream(x: TensorT, *, repeats: int = 1, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: bytes without arithmetic; copies ``x[n]`` `repeats` times and returns the copy."""
    (y,) = run(PROBE_STREAM, x, repeats=repeats, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
