"""Launching the calibration probes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from energybench.errors import UsageError
from energybench.kernels.call import Begin, Call, Outcome, TensorT
from energybench.kernels.families.probes import counts
from energybench.kernels.families.probes import shape as shapes
from energybench.kernels.families.probes.shape import (
    BLOCK,
    FmaProbeShape,
    ProbeShape,
    StreamProbeShape,
    fma_probe_shape,
    stream_probe_shape,
)
from energybench.kernels.ladder import AUTO, Ladders
from energybench.kernels.operator import Operator

#: Places in a cache line of 64 bytes.
_LINE: Final = 8


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


def _probe(
    call: Call, kind: str, s: ProbeShape, *, x: Any = None, y: Any = None, places: Any = None, ends: Any = None
) -> Any:
    return call.run_cpu(kind, x, y, places, ends, s.n, s.times, s.chains, function="probe")


def _probe_intensity(begin: Begin, s: ProbeShape, x: Any, **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", -(-s.n // BLOCK))
    kind = "read" if call.name == "probe_read" else "intensity"
    return call.finish(_probe(call, kind, s, x=call.dense(x), y=y), y)


def _probe_write(begin: Begin, s: ProbeShape, x: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", s.n)
    return call.finish(_probe(call, "write", s, y=y), y)


def _probe_chase(begin: Begin, s: ProbeShape, places: Any, **_options: Any) -> Outcome:
    call = begin({"places": places})
    ends = call.allocate("ends", s.chains)
    return call.finish(_probe(call, "chase", s, places=call.dense(places), ends=ends), ends)


def _probe_special(begin: Begin, s: ProbeShape, x: Any, *, function: str = "exp", **_options: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", s.n)
    return call.finish(_probe(call, function, s, x=call.dense(x), y=y), y)


def _probe_launch(begin: Begin, s: ProbeShape, x: Any) -> Outcome:
    call = begin({"x": x})
    return call.finish(_probe(call, "launch", s))


_LADDERS: Final[Ladders] = {"cpu": ("naive",)}

PROBE_FMA = Operator("probe_fma", "forward", "probe", _LADDERS, fma_probe_shape, counts.probe_fma, _probe_fma)
PROBE_STREAM = Operator(
    "probe_stream", "forward", "probe", _LADDERS, stream_probe_shape, counts.probe_stream, _probe_stream
)
PROBE_INTENSITY = Operator(
    "probe_intensity", "forward", "probe", _LADDERS, shapes.intensity_shape, counts.probe_intensity, _probe_intensity
)
PROBE_READ = Operator(
    "probe_read", "forward", "probe", _LADDERS, shapes.vector_shape, counts.probe_read, _probe_intensity
)
PROBE_WRITE = Operator(
    "probe_write", "forward", "probe", _LADDERS, shapes.vector_shape, counts.probe_write, _probe_write
)
PROBE_CHASE = Operator(
    "probe_chase", "forward", "probe", _LADDERS, shapes.chase_shape, counts.probe_chase, _probe_chase
)
PROBE_SPECIAL = Operator(
    "probe_special", "forward", "probe", _LADDERS, shapes.special_shape, counts.probe_special, _probe_special
)
PROBE_LAUNCH = Operator(
    "probe_launch", "forward", "probe", _LADDERS, shapes.vector_shape, counts.probe_launch, _probe_launch
)


def probe_fma(x: TensorT, *, steps: int, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: MACs without memory traffic.

    Args:
        x: Starting points ``[streams, 14, 8]`` of float32 or ``[streams, 14, 4]`` of float64, which are worked on
            vectors of 32 bytes, or twice as many of each on vectors of 64 bytes (AVX-512, where the processor has it).
        steps: Rounds; each is 14 MACs on every lane of a stream.
        variant: ``auto``.
        threads: CPU threads; streams are shared among them.

    Returns:
        The sum of each stream's points, ``[streams]``.
    """
    (y,) = PROBE_FMA.run(x, steps=steps, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_stream(x: TensorT, *, repeats: int = 1, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: bytes without arithmetic; copies ``x[n]`` `repeats` times and returns the copy."""
    (y,) = PROBE_STREAM.run(x, repeats=repeats, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_intensity(x: TensorT, *, macs: int, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: MACs at a chosen intensity, `macs` for each element of ``x[n]`` that is loaded.

    An element goes through rounds of ``p ← p/2 + 1/4`` and is added to the sum of its block of 8192; returns the sums.
    """
    (y,) = PROBE_INTENSITY.run(x, macs=macs, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_read(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: reads, each kept by an add; returns the sums of blocks of 8192 elements of ``x[n]``."""
    (y,) = PROBE_READ.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_write(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Calibration probe: writes without reads; returns as many halves as `x` has elements, which are not read."""
    (y,) = PROBE_WRITE.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_chase(
    places: TensorT, *, steps: int, chains: int = 1, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Calibration probe: loads that wait for each other.

    Args:
        places: ``[n]`` of int64, each the place of the next; `pointer_cycle` makes one. Its size decides which cache
            answers.
        steps: Loads of each chain.
        chains: Independent chains, which begin evenly spread; threads share them.
        variant: ``auto``.
        threads: CPU threads.

    Returns:
        Where each chain ends, ``[chains]``.

    Raises:
        UsageError: The arguments cannot work.
        NativeModuleError: A place lies outside the array.
    """
    (ends,) = PROBE_CHASE.run(places, steps=steps, chains=chains, variant=variant, threads=threads)
    return ends  # type: ignore[no-any-return]


def probe_special(
    x: TensorT, *, function: str = "exp", repeats: int = 1, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Calibration probe: one of ``exp tanh erf sqrt log`` of each element of ``x[n]``, `repeats` times."""
    (y,) = PROBE_SPECIAL.run(x, function=function, repeats=repeats, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def probe_launch(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> None:
    """Calibration probe: a parallel region that does nothing; `x` is not read."""
    PROBE_LAUNCH.run(x, variant=variant, threads=threads)


def pointer_cycle(n_bytes: int, seed: int = 0) -> np.ndarray[Any, np.dtype[Any]]:
    """Places for `probe_chase` over `n_bytes` of memory: one random cycle through the first place of every cache line.

    A random order defeats prefetchers; the other places of a line lead to its first. Raises UsageError below two lines.
    """
    lines = n_bytes // (8 * _LINE)
    if lines < 2:
        raise UsageError(f"{n_bytes} bytes are less than two cache lines; give at least {2 * 8 * _LINE}")
    order = np.random.default_rng(seed).permutation(lines)
    places = np.repeat(np.arange(lines) * _LINE, _LINE)
    places[order * _LINE] = np.roll(order, -1) * _LINE
    return places
