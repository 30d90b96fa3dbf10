"""`time_operators`: time thousands of operators on a device, without a meter, for the time law of its profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from energybench.errors import RecordError, UsageError
from energybench.records.timed_network import TIMED_NETWORKS_NAME, TimedNetwork
from energybench.records.timed_operator import TIMINGS_NAME, TimedOperator
from energybench.units import Second

if TYPE_CHECKING:
    from energybench.meters.clock import Clock
    from energybench.protocol.executor import HostExecutor

#: An operator runs at least this long, three times over; the median stands. Two thousand take about a minute.
TIMED_AT_LEAST_S: Final[Second] = 0.003
_TIMES: Final = 3
#: A network runs at least this long, as often.
NETWORK_AT_LEAST_S: Final[Second] = 0.05


def time_operators(
    *,
    device: str = "cpu",
    count: int = 2000,
    out: Path | str,
    dtype: str = "float32",
    seed: int = 0,
    threads: int | None = None,
    networks: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Time operators of random shapes and write ``timings.jsonl``.

    Args:
        device: ``cpu`` or ``cuda:N``.
        count: how many shapes.
        out: a directory, of a run or of its own.
        dtype: element type of the operators.
        seed: of shapes and inputs.
        threads: CPU threads; torch's own choice when None.
        networks: also time networks (`networks_to_time`) into ``timed_networks.jsonl``, half a minute more on a CPU.
        progress: called with the number done and the number of all.

    Returns:
        The file. One that is there already is refused: two devices must not end in one law.

    Raises:
        UsageError: an unknown device or element type, or no operators asked for.
        RecordError: the file exists or cannot be written.
        MeterUnavailable: a CUDA device that torch cannot use.
    """
    from statistics import median

    from energybench.meters.clock import MonotonicClock
    from energybench.protocol.call_time import call_time_s
    from energybench.protocol.executor import HostExecutor
    from energybench.records.jsonl import JsonlWriter
    from energybench.workloads.random_operators import random_operators

    if count < 1:
        raise UsageError(f"count={count} asks for no operators; give 1 or more")
    path = Path(out) / TIMINGS_NAME
    if path.exists():
        raise RecordError(f"{path} exists already; choose another --out or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{path.parent} cannot be created ({error.strerror}); choose another --out") from error
    executor = HostExecutor(device, threads=threads, seed=seed)
    clock = MonotonicClock()
    workloads = random_operators(count, seed=seed, gpu=device.startswith("cuda"), dtype=dtype)
    with JsonlWriter(path) as writer:
        for done, workload in enumerate(workloads, start=1):
            prepared = executor.prepare(workload)
            taken_s = median(call_time_s(prepared, clock, at_least_s=TIMED_AT_LEAST_S) for _ in range(_TIMES))
            prepared.release()
            timed = TimedOperator(
                workload=workload.name,
                kernel_class=workload.kernel_class,
                device=executor.device,
                counts=workload.counts(),
                time_s=taken_s,
            )
            writer.append(timed.to_dict())
            if progress is not None:
                progress(done, count)
    if networks:
        _time_networks(path.parent, executor, clock, gpu=device.startswith("cuda"), dtype=dtype)
    return path


def _time_networks(folder: Path, executor: HostExecutor, clock: Clock, *, gpu: bool, dtype: str) -> None:
    """Count and time each network; one that does not fit into the memory that is free is left out."""
    from statistics import median

    from energybench.protocol.call_time import call_time_s
    from energybench.records.jsonl import JsonlWriter
    from energybench.workloads.networks_to_time import networks_to_time
    from energybench.workloads.vendor import ModuleRecipe

    with JsonlWriter(folder / TIMED_NETWORKS_NAME) as writer:
        for workload in networks_to_time(gpu=gpu, dtype=dtype):
            try:
                prepared = executor.prepare(workload)
            except MemoryError:
                continue
            taken_s = median(call_time_s(prepared, clock, at_least_s=NETWORK_AT_LEAST_S) for _ in range(_TIMES))
            prepared.release()
            recipe = workload.recipe
            assert isinstance(recipe, ModuleRecipe)
            timed = TimedNetwork(
                network=workload.network or workload.name,
                workload=workload.name,
                device=executor.device,
                counts=recipe.model_counts(),
                time_s=taken_s,
            )
            writer.append(timed.to_dict())
